// SPDX-License-Identifier: BSD-2-Clause
/*
 * A CMOS clock (MC146818A data sheet; century and memory as on a PC). It follows the host's clock,
 * shifted by the guest's setting. It has update and alarm interrupts. The periodic interrupt (PIE)
 * is missing, and its enable bit reads back as clear.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "machine/vm.h"
#include "util/container_of.h"
#include "util/serialize.h"

#define RTC_PORT      0x70
#define RTC_REGISTERS 128u
#define NS_PER_SECOND 1000000000L
/* The update-in-progress bit rises this long before the second changes. */
#define UPDATE_AHEAD_NS 244000L

enum {
	REG_SECONDS = 0,
	REG_SECONDS_ALARM = 1,
	REG_MINUTES = 2,
	REG_MINUTES_ALARM = 3,
	REG_HOURS = 4,
	REG_HOURS_ALARM = 5,
	REG_WEEKDAY = 6,
	REG_DAY = 7,
	REG_MONTH = 8,
	REG_YEAR = 9,
	REG_A = 10,
	REG_B = 11,
	REG_C = 12,
	REG_D = 13,
	REG_CENTURY = 0x32,
};

#define A_UPDATING 0x80
#define A_DEFAULT  0x26 /* 32768 Hz, divider running */

#define B_SET	   0x80
#define B_PERIODIC 0x40
#define B_ALARM	   0x20
#define B_UPDATE   0x10
#define B_BINARY   0x04
#define B_24_HOURS 0x02

#define C_REQUEST 0x80
#define C_ALARM	  0x20
#define C_UPDATE  0x10

#define D_VALID 0x80

#define HOUR_PM	      0x80
#define ALARM_ANY     0xc0	     /* an alarm byte of this value or more matches always */
#define SECONDS_LIMIT 253402300799ll /* end of the year 9999 */

struct rtc {
	struct device device;
	pthread_mutex_t lock;
	uint8_t index;
	uint8_t memory[RTC_REGISTERS]; /* clock registers: valid only while B_SET */
	int64_t offset; /* seconds by which the guest's clock is ahead of the host's */
	bool line;
	int timer_fd;
	time_t second; /* the second that second_passes() saw last */
	struct event_source *timer_source;
	uint64_t alarms;
};

static bool is_clock_register(unsigned index)
{
	return index == REG_SECONDS || index == REG_MINUTES || index == REG_HOURS ||
	       (index >= REG_WEEKDAY && index <= REG_YEAR) || index == REG_CENTURY;
}

static uint8_t encode(const struct rtc *rtc, int value)
{
	if (rtc->memory[REG_B] & B_BINARY)
		return (uint8_t)value;
	return (uint8_t)(value / 10 << 4 | value % 10);
}

static int decode(const struct rtc *rtc, uint8_t value)
{
	if (rtc->memory[REG_B] & B_BINARY)
		return value;
	return (value >> 4) * 10 + (value & 15);
}

static uint8_t encode_hour(const struct rtc *rtc, int hour)
{
	if (rtc->memory[REG_B] & B_24_HOURS)
		return encode(rtc, hour);
	return encode(rtc, hour % 12 ? hour % 12 : 12) | (hour >= 12 ? HOUR_PM : 0);
}

static int decode_hour(const struct rtc *rtc, uint8_t value)
{
	if (rtc->memory[REG_B] & B_24_HOURS)
		return decode(rtc, value);
	return decode(rtc, value & ~HOUR_PM) % 12 + (value & HOUR_PM ? 12 : 0);
}

/* Puts the current time into the clock registers. */
static void latch_time(struct rtc *rtc)
{
	time_t now = time(NULL) + rtc->offset;
	struct tm tm;

	if (!gmtime_r(&now, &tm))
		return;
	rtc->memory[REG_SECONDS] = encode(rtc, tm.tm_sec);
	rtc->memory[REG_MINUTES] = encode(rtc, tm.tm_min);
	rtc->memory[REG_HOURS] = encode_hour(rtc, tm.tm_hour);
	rtc->memory[REG_WEEKDAY] = encode(rtc, tm.tm_wday + 1);
	rtc->memory[REG_DAY] = encode(rtc, tm.tm_mday);
	rtc->memory[REG_MONTH] = encode(rtc, tm.tm_mon + 1);
	rtc->memory[REG_YEAR] = encode(rtc, (tm.tm_year + 1900) % 100);
	rtc->memory[REG_CENTURY] = encode(rtc, (tm.tm_year + 1900) / 100);
}

/* Sets the guest's time from the clock registers, which the guest wrote. */
static void commit_time(struct rtc *rtc)
{
	struct tm tm = {
		.tm_sec = decode(rtc, rtc->memory[REG_SECONDS]),
		.tm_min = decode(rtc, rtc->memory[REG_MINUTES]),
		.tm_hour = decode_hour(rtc, rtc->memory[REG_HOURS]),
		.tm_mday = decode(rtc, rtc->memory[REG_DAY]),
		.tm_mon = decode(rtc, rtc->memory[REG_MONTH]) - 1,
		.tm_year = decode(rtc, rtc->memory[REG_CENTURY]) * 100 +
			   decode(rtc, rtc->memory[REG_YEAR]) - 1900,
	};
	time_t guest = timegm(&tm);

	/* Any bytes give some date; limit it to one that four digits can show. */
	if (guest >= -62167219200ll && guest <= SECONDS_LIMIT)
		rtc->offset = guest - time(NULL);
}

static bool alarm_matches(struct rtc *rtc)
{
	static const uint8_t pairs[3] = {REG_SECONDS, REG_MINUTES, REG_HOURS};

	latch_time(rtc);
	for (unsigned i = 0; i < 3; i++) {
		uint8_t alarm = rtc->memory[pairs[i] + 1];

		if (alarm < ALARM_ANY && alarm != rtc->memory[pairs[i]])
			return false;
	}
	return true;
}

static void update_line(struct rtc *rtc)
{
	bool level = rtc->memory[REG_B] & rtc->memory[REG_C] & (B_ALARM | B_UPDATE);

	if (level)
		rtc->memory[REG_C] |= C_REQUEST;
	else
		rtc->memory[REG_C] &= (uint8_t)~C_REQUEST;
	if (level == rtc->line)
		return;
	rtc->line = level;
	irq_set_line(&rtc->device.vm->irq, IRQ_GSI_RTC, level);
}

/*
 * The timer fires at the next full second while an interrupt is enabled. It counts elapsed time,
 * each second from the last. So the clock continues even if the host's clock is set back.
 */
static void arm_timer(struct rtc *rtc)
{
	struct itimerspec timer = {0};
	uint8_t control = rtc->memory[REG_B];
	struct timespec now;

	if ((control & (B_ALARM | B_UPDATE)) && !(control & B_SET)) {
		clock_gettime(CLOCK_REALTIME, &now);
		timer.it_value = (struct timespec){.tv_nsec = NS_PER_SECOND - now.tv_nsec};
		if (now.tv_nsec == 0)
			timer.it_value = (struct timespec){.tv_sec = 1};
	}
	timerfd_settime(rtc->timer_fd, 0, &timer, NULL);
}

static void second_passes(void *opaque, uint32_t events)
{
	struct rtc *rtc = opaque;
	uint64_t expirations;

	if (read(rtc->timer_fd, &expirations, sizeof(expirations)) < 0)
		return;
	pthread_mutex_lock(&rtc->lock);
	arm_timer(rtc);
	/* The two clocks do not run at exactly the same speed, so the timer may be early. */
	if (rtc->second == time(NULL)) {
		pthread_mutex_unlock(&rtc->lock);
		return;
	}
	rtc->second = time(NULL);
	rtc->memory[REG_C] |= C_UPDATE;
	if (!(rtc->memory[REG_B] & B_SET) && alarm_matches(rtc)) {
		rtc->memory[REG_C] |= C_ALARM;
		rtc->alarms++;
	}
	update_line(rtc);
	pthread_mutex_unlock(&rtc->lock);
}

static bool rtc_is_updating(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_nsec >= NS_PER_SECOND - UPDATE_AHEAD_NS;
}

static uint8_t read_register(struct rtc *rtc, unsigned index)
{
	uint8_t value;

	if (is_clock_register(index) && !(rtc->memory[REG_B] & B_SET))
		latch_time(rtc);
	value = rtc->memory[index];
	if (index == REG_A && !(rtc->memory[REG_B] & B_SET) && rtc_is_updating())
		value |= A_UPDATING;
	if (index == REG_C) {
		rtc->memory[REG_C] = 0;
		update_line(rtc);
	}
	return value;
}

static void write_register(struct rtc *rtc, unsigned index, uint8_t value)
{
	uint8_t control = rtc->memory[REG_B];

	switch (index) {
	case REG_A:
		rtc->memory[REG_A] = value & (uint8_t)~A_UPDATING;
		return;
	case REG_B:
		value &= (uint8_t)~B_PERIODIC;
		if (value & B_SET)
			value &= (uint8_t)~B_UPDATE;
		if (!(control & B_SET) && (value & B_SET))
			latch_time(rtc);
		rtc->memory[REG_B] = value;
		if ((control & B_SET) && !(value & B_SET))
			commit_time(rtc);
		arm_timer(rtc);
		update_line(rtc);
		return;
	case REG_C:
	case REG_D:
		return;
	}
	if (is_clock_register(index) && !(control & B_SET)) {
		latch_time(rtc);
		rtc->memory[index] = value;
		commit_time(rtc);
		return;
	}
	rtc->memory[index] = value;
}

static void rtc_access(void *opaque, uint64_t offset, void *data, unsigned length, bool is_write)
{
	struct rtc *rtc = opaque;
	uint8_t *bytes = data;

	pthread_mutex_lock(&rtc->lock);
	for (unsigned i = 0; i < length; i++) {
		if (offset + i == 0) {
			/* Bit 7 masks NMIs on a PC; the port cannot be read. */
			if (is_write)
				rtc->index = bytes[i] & (RTC_REGISTERS - 1);
		} else if (is_write) {
			write_register(rtc, rtc->index, bytes[i]);
		} else {
			bytes[i] = read_register(rtc, rtc->index);
		}
	}
	pthread_mutex_unlock(&rtc->lock);
}

static struct rtc *to_rtc(struct device *device)
{
	return container_of(device, struct rtc, device);
}

/* A reset clears the interrupt enables and flags. Time and memory have a battery. */
static void rtc_reset(struct device *device)
{
	struct rtc *rtc = to_rtc(device);

	pthread_mutex_lock(&rtc->lock);
	rtc->index = 0;
	rtc->memory[REG_B] = B_24_HOURS;
	rtc->memory[REG_C] = 0;
	arm_timer(rtc);
	update_line(rtc);
	pthread_mutex_unlock(&rtc->lock);
}

static void rtc_destroy(struct device *device)
{
	struct rtc *rtc = to_rtc(device);

	bus_remove(&device->vm->pio, RTC_PORT);
	event_source_remove(rtc->timer_source);
	close(rtc->timer_fd);
	pthread_mutex_destroy(&rtc->lock);
	free(rtc);
}

static int rtc_save(struct device *device, struct serialize_writer *writer)
{
	struct rtc *rtc = to_rtc(device);

	pthread_mutex_lock(&rtc->lock);
	serialize_put_u8(writer, rtc->index);
	serialize_put_bytes(writer, rtc->memory, sizeof(rtc->memory));
	serialize_put_u64(writer, (uint64_t)rtc->offset);
	pthread_mutex_unlock(&rtc->lock);
	return writer->status;
}

static int rtc_load(struct device *device, struct serialize_reader *reader, uint32_t version)
{
	struct rtc *rtc = to_rtc(device);
	int64_t offset;

	pthread_mutex_lock(&rtc->lock);
	rtc->index = serialize_get_u8(reader) & (RTC_REGISTERS - 1);
	serialize_get_bytes(reader, rtc->memory, sizeof(rtc->memory));
	rtc->memory[REG_A] &= (uint8_t)~A_UPDATING;
	rtc->memory[REG_B] &= (uint8_t)~B_PERIODIC;
	rtc->memory[REG_C] &= C_REQUEST | C_ALARM | C_UPDATE;
	rtc->memory[REG_D] = D_VALID;
	offset = (int64_t)serialize_get_u64(reader);
	if (reader->status == 0 && (offset > SECONDS_LIMIT || offset < -2 * SECONDS_LIMIT))
		reader->status = -EINVAL;
	if (reader->status == 0)
		rtc->offset = offset;
	arm_timer(rtc);
	update_line(rtc);
	pthread_mutex_unlock(&rtc->lock);
	return reader->status;
}

static void rtc_describe(struct device *device, json_t *object)
{
	struct rtc *rtc = to_rtc(device);

	pthread_mutex_lock(&rtc->lock);
	json_object_set_new(object, "offset_seconds", json_integer((json_int_t)rtc->offset));
	json_object_set_new(object, "alarms", json_integer((json_int_t)rtc->alarms));
	pthread_mutex_unlock(&rtc->lock);
}

static const struct device_ops rtc_ops = {
	.name = "rtc",
	.version = 1,
	.reset = rtc_reset,
	.destroy = rtc_destroy,
	.save = rtc_save,
	.load = rtc_load,
	.describe = rtc_describe,
};

static int rtc_create(struct vm *vm, const char *argument, struct error *err)
{
	struct rtc *rtc = calloc(1, sizeof(*rtc));
	int status = -ENOMEM;

	if (!rtc)
		return error_set(err, -ENOMEM, "rtc: out of memory");
	rtc->device.vm = vm;
	pthread_mutex_init(&rtc->lock, NULL);
	rtc->memory[REG_A] = A_DEFAULT;
	rtc->memory[REG_B] = B_24_HOURS;
	rtc->memory[REG_D] = D_VALID;
	rtc->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (rtc->timer_fd >= 0)
		rtc->timer_source = event_loop_add(vm->io_loop, rtc->timer_fd, EPOLLIN,
						   second_passes, rtc);
	if (rtc->timer_source)
		status = bus_add(&vm->pio, RTC_PORT, 2, rtc_access, rtc);
	if (status < 0) {
		event_source_remove(rtc->timer_source);
		if (rtc->timer_fd >= 0)
			close(rtc->timer_fd);
		pthread_mutex_destroy(&rtc->lock);
		free(rtc);
		return error_set_errno(err, status, "rtc: cannot claim ports 0x%x and 0x%x",
				       RTC_PORT, RTC_PORT + 1);
	}
	device_add(vm, &rtc->device, &rtc_ops, "rtc", false);
	return 0;
}

static const struct device_class rtc_class = {
	.help = "the CMOS clock",
	.create = rtc_create,
};
DEVICE_CLASS(rtc_class);
