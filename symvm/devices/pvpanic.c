// SPDX-License-Identifier: BSD-2-Clause
/*
 * The pvpanic port. A guest's kernel uses it to report its panic. Linux finds the port through ACPI
 * (QEMU0001, driver pvpanic-mmio). Interface: pvpanic in QEMU's specs.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "machine/vm.h"
#include "util/container_of.h"
#include "util/serialize.h"

#define PANIC_PORT	   0x505
#define PANIC_PANICKED	   0x01
#define PANIC_CRASH_LOADED 0x02 /* a crash kernel takes over: the VM continues */
#define PANIC_EVENTS	   (PANIC_PANICKED | PANIC_CRASH_LOADED)

struct panic {
	struct device device;
	_Atomic uint64_t panics;
	_Atomic uint64_t crash_kernels;
};

static void panic_access(void *opaque, uint64_t offset, void *data, unsigned length, bool is_write)
{
	struct panic *panic = opaque;
	struct vm *vm = panic->device.vm;
	uint8_t *value = data;

	if (!is_write) {
		*value = PANIC_EVENTS;
		return;
	}
	if (*value & PANIC_PANICKED) {
		atomic_fetch_add(&panic->panics, 1);
		vm_report_panic(vm);
	} else if (*value & PANIC_CRASH_LOADED) {
		atomic_fetch_add(&panic->crash_kernels, 1);
		log_limited(&vm->log, LOG_LEVEL_WARN,
			    "the guest's kernel panicked and starts its crash kernel");
	}
}

static void panic_reset(struct device *device)
{
}

static struct panic *to_panic(struct device *device)
{
	return container_of(device, struct panic, device);
}

static void panic_destroy(struct device *device)
{
	bus_remove(&device->vm->pio, PANIC_PORT);
	free(to_panic(device));
}

static int panic_save(struct device *device, struct serialize_writer *writer)
{
	struct panic *panic = to_panic(device);

	serialize_put_u64(writer, atomic_load(&panic->panics));
	serialize_put_u64(writer, atomic_load(&panic->crash_kernels));
	return writer->status;
}

static int panic_load(struct device *device, struct serialize_reader *reader, uint32_t version)
{
	struct panic *panic = to_panic(device);

	atomic_store(&panic->panics, serialize_get_u64(reader));
	atomic_store(&panic->crash_kernels, serialize_get_u64(reader));
	return reader->status;
}

static void panic_describe(struct device *device, json_t *object)
{
	struct panic *panic = to_panic(device);

	json_object_set_new(object, "panics",
			    json_integer((json_int_t)atomic_load(&panic->panics)));
	json_object_set_new(object, "crash_kernels",
			    json_integer((json_int_t)atomic_load(&panic->crash_kernels)));
}

static const struct device_ops panic_ops = {
	.name = "pvpanic",
	.version = 1,
	.reset = panic_reset,
	.destroy = panic_destroy,
	.save = panic_save,
	.load = panic_load,
	.describe = panic_describe,
};

static int panic_create(struct vm *vm, const char *argument, struct error *err)
{
	struct panic *panic = calloc(1, sizeof(*panic));
	int status;

	if (!panic)
		return error_set(err, -ENOMEM, "pvpanic: out of memory");
	panic->device.vm = vm;
	status = bus_add(&vm->pio, PANIC_PORT, 1, panic_access, panic);
	if (status < 0) {
		free(panic);
		return error_set_errno(err, status, "pvpanic: cannot claim port 0x%x", PANIC_PORT);
	}
	device_add(vm, &panic->device, &panic_ops, "pvpanic", false);
	return 0;
}

static const struct device_class panic_class = {
	.help = "lets the guest's kernel report a panic",
	.create = panic_create,
};
DEVICE_CLASS(panic_class);
