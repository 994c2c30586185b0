// SPDX-License-Identifier: BSD-2-Clause
/*
 * The PC's keyboard controller, reduced to the one command that guests use without a keyboard: a
 * pulse on the CPU's reset line. (Linux's reboot=k does this, and Firecracker's command lines have
 * it.) Without this port a guest reads 0xff, which means that the controller is busy, and polls it
 * for seconds. The ACPI tables say that there is no controller, so no driver looks for one.
 */
#include <errno.h>
#include <stdlib.h>

#include "machine/vm.h"
#include "util/serialize.h"

#define I8042_COMMAND_PORT 0x64 /* read: status */
#define I8042_STATUS_IDLE  0x00 /* takes a command at once, and has no data */
#define I8042_PULSE_MASK   0xf1 /* 0xf0 to 0xff pulse the lines whose bit is 0; bit 0: reset */
#define I8042_PULSE_RESET  0xf0

static void i8042_access(void *opaque, uint64_t offset, void *data, unsigned length, bool is_write)
{
	struct device *device = opaque;
	uint8_t *value = data;

	(void)offset;
	(void)length;
	if (!is_write)
		*value = I8042_STATUS_IDLE;
	else if ((*value & I8042_PULSE_MASK) == I8042_PULSE_RESET)
		vm_request_reset(device->vm);
}

static void i8042_reset(struct device *device)
{
	(void)device;
}

static void i8042_destroy(struct device *device)
{
	bus_remove(&device->vm->pio, I8042_COMMAND_PORT);
	free(device);
}

static int i8042_save(struct device *device, struct serialize_writer *writer)
{
	(void)device;
	return writer->status;
}

static int i8042_load(struct device *device, struct serialize_reader *reader, uint32_t version)
{
	(void)device;
	(void)version;
	return reader->status;
}

static const struct device_ops i8042_ops = {
	.name = "i8042",
	.version = 1,
	.reset = i8042_reset,
	.destroy = i8042_destroy,
	.save = i8042_save,
	.load = i8042_load,
};

static int i8042_create(struct vm *vm, const char *argument, struct error *err)
{
	struct device *device = calloc(1, sizeof(*device));
	int status;

	(void)argument;
	if (!device)
		return error_set(err, -ENOMEM, "i8042: out of memory");
	device->vm = vm;
	status = bus_add(&vm->pio, I8042_COMMAND_PORT, 1, i8042_access, device);
	if (status < 0) {
		free(device);
		return error_set_errno(err, status, "i8042: cannot claim port 0x%x",
				       I8042_COMMAND_PORT);
	}
	device_add(vm, device, &i8042_ops, "i8042", false);
	return 0;
}

static const struct device_class i8042_class = {
	.help = "resets the guest by the keyboard controller's port",
	.create = i8042_create,
};
DEVICE_CLASS(i8042_class);
