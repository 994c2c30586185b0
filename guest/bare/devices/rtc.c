// SPDX-License-Identifier: BSD-2-Clause
/* The CMOS clock: sane, running, RAM kept. */
#include "runtime.h"

static uint8_t cmos(uint8_t index)
{
	out8(0x70, index);
	return in8(0x71);
}

static unsigned number(uint8_t index)
{
	uint8_t value = cmos(index);

	return cmos(0x0b) & 4 ? value : (value >> 4) * 10u + (value & 15);
}

static void rtc(void)
{
	unsigned seconds = number(0), tries = 0;

	check(cmos(0x0d) & 0x80, "the battery is good");
	check(seconds < 60 && number(2) < 60, "seconds and minutes");
	check(number(8) >= 1 && number(8) <= 12 && number(7) >= 1 && number(7) <= 31,
	      "day %u, month %u", number(7), number(8));
	check(number(9) >= 24 && number(9) < 80, "year %u", number(9));
	while (number(0) == seconds && tries++ < 300)
		delay_us(10000);
	check(number(0) != seconds, "the clock runs");
	out8(0x70, 0x40);
	out8(0x71, 0xc3);
	check(cmos(0x40) == 0xc3, "CMOS RAM keeps its value");
}
TEST("rtc", rtc);
