// SPDX-License-Identifier: BSD-2-Clause
/* The CMOS clock: plausible, running, and its RAM keeps its contents. */
#include "runtime.h"

static unsigned number(uint8_t index)
{
	uint8_t value = cmos_read(index);

	return cmos_read(0x0b) & 4 ? value : (value >> 4) * 10u + (value & 15);
}

static void rtc(void)
{
	unsigned seconds = number(0), tries = 0;

	check(cmos_read(0x0d) & 0x80, "the battery is good");
	check(seconds < 60 && number(2) < 60, "seconds and minutes");
	check(number(8) >= 1 && number(8) <= 12 && number(7) >= 1 && number(7) <= 31,
	      "day %u, month %u", number(7), number(8));
	check(number(9) >= 24 && number(9) < 80, "year %u", number(9));
	while (number(0) == seconds && tries++ < 300)
		delay_us(10000);
	check(number(0) != seconds, "the clock runs");
	cmos_write(CMOS_MEMORY, 0xc3);
	check(cmos_read(CMOS_MEMORY) == 0xc3, "CMOS RAM keeps its value");
}
TEST("rtc", rtc);
