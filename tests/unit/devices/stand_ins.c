// SPDX-License-Identifier: BSD-2-Clause
#include "stand_ins.h"

#include <errno.h>
#include <string.h>

struct stand_in machine;

REGISTRY_DECLARE(symvm_device_classes, struct device_class);

int bus_add(struct bus *bus, uint64_t base, uint64_t size, bus_access access, void *opaque)
{
	if (machine.range.access)
		return -EEXIST;
	machine.range = (struct bus_range){
		.base = base, .size = size, .access = access, .opaque = opaque};
	return 0;
}

int bus_remove(struct bus *bus, uint64_t base)
{
	machine.range.access = NULL;
	return 0;
}

int irq_set_line(struct irq_router *irq, unsigned gsi, bool level)
{
	machine.gsi = gsi;
	machine.raised += level && !machine.line;
	machine.line = level;
	return 0;
}

void device_add(struct vm *vm, struct device *device, const struct device_ops *ops,
		const char *prefix, bool numbered)
{
	device->ops = ops;
	device->vm = vm;
	machine.device = device;
}

void vm_end(struct vm *vm, enum vm_end reason)
{
	machine.ended = reason;
}

void vm_report_panic(struct vm *vm)
{
	machine.panics++;
}

void vm_request_reset(struct vm *vm)
{
	machine.resets++;
}

int machine_try(const char *option, const char *argument, struct error *err)
{
	const struct device_class *const *it;

	memset(&machine, 0, sizeof(machine));
	machine.ended = -1;
	log_init(&machine.vm.log, 2, LOG_LEVEL_ERROR);
	assert_int_equal(event_loop_create(&machine.vm.io_loop), 0);
	machine.vm.main_loop = machine.vm.io_loop; /* one thread plays both */
	REGISTRY_FOR_EACH(symvm_device_classes, it) {
		if (option ? (*it)->option && strcmp((*it)->option, option) == 0 : !(*it)->option)
			return (*it)->create(&machine.vm, argument, err);
	}
	return -ENODEV;
}

void machine_create(const char *option, const char *argument)
{
	struct error err = {0};

	if (machine_try(option, argument, &err) < 0)
		fail_msg("%s", err.text);
}

void machine_destroy(void)
{
	if (machine.device)
		machine.device->ops->destroy(machine.device);
	event_loop_destroy(machine.vm.io_loop);
	machine.device = NULL;
}

static void *loop_thread(void *opaque)
{
	event_loop_run(machine.vm.io_loop);
	return NULL;
}

void machine_run_loop(void)
{
	assert_int_equal(pthread_create(&machine.thread, NULL, loop_thread, NULL), 0);
}

void machine_stop_loop(void)
{
	event_loop_quit(machine.vm.io_loop);
	pthread_join(machine.thread, NULL);
}

uint8_t port_read(unsigned offset)
{
	uint8_t value = 0xff;

	machine.range.access(machine.range.opaque, offset, &value, 1, false);
	return value;
}

void port_write(unsigned offset, uint8_t value)
{
	machine.range.access(machine.range.opaque, offset, &value, 1, true);
}

void machine_save_and_load(void)
{
	const struct device_ops *ops = machine.device->ops;
	struct serialize_writer writer = {0};
	struct serialize_reader reader;

	assert_int_equal(ops->save(machine.device, &writer), 0);
	ops->reset(machine.device);
	reader = (struct serialize_reader){.data = writer.data, .length = writer.length};
	assert_int_equal(ops->load(machine.device, &reader, ops->version), 0);
	assert_int_equal(reader.offset, writer.length);
	/* The device notices a state that is cut off anywhere. */
	for (size_t length = 0; length < writer.length; length++) {
		reader = (struct serialize_reader){.data = writer.data, .length = length};
		assert_int_equal(ops->load(machine.device, &reader, ops->version), -EINVAL);
	}
	reader = (struct serialize_reader){.data = writer.data, .length = writer.length};
	assert_int_equal(ops->load(machine.device, &reader, ops->version), 0);
	serialize_writer_free(&writer);
}
