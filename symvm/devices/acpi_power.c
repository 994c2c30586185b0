// SPDX-License-Identifier: BSD-2-Clause
/*
 * The platform's power device: the ACPI sleep and reset registers and the status of the generic
 * event device. The port numbers are in machine/acpi/{fadt,dsdt}.asl.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "machine/device.h"
#include "machine/vm.h"
#include "util/clock.h"
#include "util/container_of.h"
#include "util/serialize.h"

#define POWER_BASE	   0x600u
#define POWER_SIZE	   4u
#define POWER_SLEEP	   0u /* sleep control register, ACPI 6.3 section 4.8.3.7 */
#define POWER_RESET	   2u
#define POWER_EVENTS	   3u /* read clears */
#define SLEEP_ENABLE	   0x20u
#define SLEEP_TYPE(value)  (((value) >> 2) & 7u)
#define SLEEP_TYPE_OFF	   5u /* \_S5 in the DSDT */
#define RESET_VALUE	   0x52u
#define EVENT_POWER_BUTTON 0x01u
#define BUTTON_SEEN_MS	   5000u /* before another press, if the guest has read the last one */

struct power {
	struct device device;
	pthread_mutex_t lock;
	uint8_t events;
	/* The button, while the guest is asked to power off. Main loop only. */
	int timer_fd;
	struct event_source *timer_source;
	uint64_t end_ns;  /* CLOCK_MONOTONIC: the presses stop then */
	uint64_t next_ns; /* when the next press is due */
};

static uint8_t events_take(struct power *power)
{
	uint8_t events;

	pthread_mutex_lock(&power->lock);
	events = power->events;
	power->events = 0;
	pthread_mutex_unlock(&power->lock);
	return events;
}

static void power_access(void *opaque, uint64_t offset, void *data, unsigned length, bool is_write)
{
	struct power *power = opaque;
	struct vm *vm = power->device.vm;
	uint8_t *bytes = data;

	for (unsigned i = 0; i < length; i++, offset++) {
		if (!is_write) {
			bytes[i] = offset == POWER_EVENTS ? events_take(power) : 0;
		} else if (offset == POWER_SLEEP && (bytes[i] & SLEEP_ENABLE)) {
			if (SLEEP_TYPE(bytes[i]) == SLEEP_TYPE_OFF)
				vm_end(vm, VM_END_POWEROFF);
		} else if (offset == POWER_RESET && bytes[i] == RESET_VALUE) {
			vm_request_reset(vm);
		}
	}
}

/* Presses the button; -errno if KVM does not take the interrupt. */
static int button_press(struct power *power)
{
	struct vm *vm = power->device.vm;
	int status;

	pthread_mutex_lock(&power->lock);
	power->events |= EVENT_POWER_BUTTON;
	pthread_mutex_unlock(&power->lock);
	status = irq_set_line(&vm->irq, IRQ_GSI_ACPI, true);
	if (status == 0)
		status = irq_set_line(&vm->irq, IRQ_GSI_ACPI, false);
	return status;
}

static bool button_unseen(struct power *power)
{
	bool unseen;

	pthread_mutex_lock(&power->lock);
	unseen = power->events & EVENT_POWER_BUTTON;
	pthread_mutex_unlock(&power->lock);
	return unseen;
}

static void button_timer(struct power *power, bool on)
{
	const struct itimerspec timer = {
		.it_value.tv_sec = on,
		.it_interval.tv_sec = on,
	};

	timerfd_settime(power->timer_fd, 0, &timer, NULL);
}

/*
 * A press is repeated because its interrupt is lost while the guest's kernel has no handler for it,
 * and its event is lost while the kernel has no driver for the button. Both come late in the boot.
 */
static void button_again(void *opaque, uint32_t events)
{
	struct power *power = opaque;
	uint64_t now = clock_now_ns(), count;

	if (read(power->timer_fd, &count, sizeof(count)) < 0)
		return;
	if (now >= power->end_ns) {
		button_timer(power, false);
	} else if (button_unseen(power) || now >= power->next_ns) {
		power->next_ns = now + BUTTON_SEEN_MS * NS_PER_MS;
		button_press(power);
	}
}

static struct power *to_power(struct device *device)
{
	return container_of(device, struct power, device);
}

int vm_power_off(struct vm *vm, unsigned seconds)
{
	uint64_t now = clock_now_ns();
	struct power *power;
	int status;

	if (vm_panic_is_kept(vm)) {
		vm_end(vm, VM_END_PANIC);
		return 0;
	}
	if (!vm->power)
		return -EOPNOTSUPP;
	power = to_power(vm->power);
	power->end_ns = now + seconds * NS_PER_SECOND;
	power->next_ns = now + BUTTON_SEEN_MS * NS_PER_MS;
	status = button_press(power);
	if (status < 0)
		return status;
	button_timer(power, true);
	/* A paused guest would never see its button. */
	vm_resume_later(vm);
	return 0;
}

static void power_reset(struct device *device)
{
	events_take(to_power(device));
}

static void power_free(struct power *power)
{
	event_source_remove(power->timer_source);
	if (power->timer_fd >= 0)
		close(power->timer_fd);
	pthread_mutex_destroy(&power->lock);
	free(power);
}

static void power_destroy(struct device *device)
{
	struct power *power = to_power(device);

	bus_remove(&device->vm->pio, POWER_BASE);
	device->vm->power = NULL;
	power_free(power);
}

static int power_save(struct device *device, struct serialize_writer *writer)
{
	serialize_put_u8(writer, to_power(device)->events);
	return writer->status;
}

static int power_load(struct device *device, struct serialize_reader *reader, uint32_t version)
{
	to_power(device)->events = serialize_get_u8(reader) & EVENT_POWER_BUTTON;
	return reader->status;
}

static const struct device_ops power_ops = {
	.name = "power",
	.version = 1,
	.reset = power_reset,
	.destroy = power_destroy,
	.save = power_save,
	.load = power_load,
};

static int power_create(struct vm *vm, const char *argument, struct error *err)
{
	struct power *power = calloc(1, sizeof(*power));
	int status = -ENOMEM;

	if (!power)
		return error_set(err, -ENOMEM, "power device: out of memory");
	power->device.vm = vm;
	pthread_mutex_init(&power->lock, NULL);
	power->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (power->timer_fd >= 0)
		power->timer_source = event_loop_add(vm->main_loop, power->timer_fd, EPOLLIN,
						     button_again, power);
	if (power->timer_source)
		status = bus_add(&vm->pio, POWER_BASE, POWER_SIZE, power_access, power);
	if (status < 0) {
		power_free(power);
		return error_set_errno(err, status, "power device: ports 0x%x", POWER_BASE);
	}
	device_add(vm, &power->device, &power_ops, "power", false);
	vm->power = &power->device;
	return 0;
}

static const struct device_class power_class = {
	.help = "ACPI sleep, reset and power button",
	.create = power_create,
};
DEVICE_CLASS(power_class);
