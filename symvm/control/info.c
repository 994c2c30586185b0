// SPDX-License-Identifier: BSD-2-Clause
/* The control command `info`: a running VM in one JSON object. */
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "control/control.h"
#include "machine/report.h"
#include "machine/vm.h"
#include "machine/vm_panic.h"

REGISTRY_DECLARE(symvm_reports, struct report);

static const char *state_name(struct vm *vm)
{
	static const char *const names[] = {
		[VM_STATE_CREATED] = "created",
		[VM_STATE_RUNNING] = "running",
		[VM_STATE_PAUSED] = "paused",
		[VM_STATE_ENDED] = "ended",
	};
	enum vm_state state;

	pthread_mutex_lock(&vm->state_lock);
	state = vm->state;
	pthread_mutex_unlock(&vm->state_lock);
	return vm_panic_is_kept(vm) ? "panicked" : names[state];
}

static void set_counter(json_t *object, const char *key, const _Atomic uint64_t *counter)
{
	json_object_set_new(
		object, key,
		json_integer((json_int_t)atomic_load_explicit(counter, memory_order_relaxed)));
}

static json_t *describe_vcpu(const struct vcpu *vcpu)
{
	const struct vcpu_counters *counters = &vcpu->counters;
	json_t *object = json_object(), *exits = json_object();
	uint64_t total = 0;

	json_object_set_new(object, "id", json_integer(vcpu->id));
	for (unsigned reason = 0; reason < VCPU_EXIT_KINDS; reason++) {
		uint64_t count = atomic_load_explicit(&counters->exits[reason],
						      memory_order_relaxed);
		const char *name = vcpu_exit_name(reason);
		char number[24];

		if (!count)
			continue;
		snprintf(number, sizeof(number), "reason-%u", reason);
		json_object_set_new(exits, name ? name : number, json_integer((json_int_t)count));
		total += count;
	}
	json_object_set_new(object, "exits", exits);
	json_object_set_new(object, "exits_total", json_integer((json_int_t)total));
	set_counter(object, "kicks", &counters->kicks);
	set_counter(object, "pio_reads", &counters->pio_reads);
	set_counter(object, "pio_writes", &counters->pio_writes);
	set_counter(object, "mmio_reads", &counters->mmio_reads);
	set_counter(object, "mmio_writes", &counters->mmio_writes);
	set_counter(object, "bus_locks", &counters->bus_locks);
	set_counter(object, "unclaimed", &counters->unclaimed);
	return object;
}

static json_t *describe_memory(const struct vm *vm)
{
	json_t *regions = json_array();

	for (unsigned i = 0; i < vm->memory.count; i++) {
		const struct memory_region *region = &vm->memory.regions[i];

		json_array_append_new(regions,
				      json_pack("{s:I, s:I, s:b, s:b}", "address",
						(json_int_t)region->gpa, "size",
						(json_int_t)region->size, "ram", region->ram,
						"pluggable", region->blocks != NULL));
	}
	return json_pack("{s:I, s:b, s:o}", "size", (json_int_t)vm->memory.ram_size, "huge_pages",
			 vm->config.memory.huge_pages, "regions", regions);
}

static json_t *describe_devices(const struct vm *vm)
{
	json_t *devices = json_array();

	for (struct device *device = vm->devices; device; device = device->next) {
		json_t *object = json_pack("{s:s, s:s}", "name", device->name, "type",
					   device->ops->name);

		if (device->ops->describe)
			device->ops->describe(device, object);
		json_array_append_new(devices, object);
	}
	return devices;
}

static int handle_info(struct vm *vm, json_t *arguments, json_t **result, struct error *err)
{
	const struct report *const *it;
	char panic[SYM_PANIC_SIZE], path[256];
	json_t *info, *vcpus;
	int status = control_arguments_none(arguments, err);

	if (status < 0)
		return status;
	info = json_pack("{s:s, s:i, s:s, s:f, s:o, s:i, s:b}", "name", vm->config.name, "pid",
			 (int)getpid(), "state", state_name(vm), "uptime_seconds", vm_uptime(vm),
			 "kernel", control_text(vm->config.kernel), "cpus", (int)vm->vcpu_count,
			 "symbiotic_offered", vm->symbiotic != NULL);
	if (vm_panic_text(vm, panic) || vm_panic_is_kept(vm))
		json_object_set_new(info, "panic", control_text(panic));
	if (vm_panic_report_path(vm, path))
		json_object_set_new(info, "panic_report", control_text(path));
	json_object_set_new(info, "memory", describe_memory(vm));
	json_object_set_new(info, "devices", describe_devices(vm));
	vcpus = json_array();
	for (unsigned i = 0; i < vm->vcpu_count; i++)
		json_array_append_new(vcpus, describe_vcpu(vm->vcpus[i]));
	json_object_set_new(info, "vcpus", vcpus);
	REGISTRY_FOR_EACH(symvm_reports, it) {
		json_t *section;

		if (!(*it)->info)
			continue;
		section = json_object();
		(*it)->info(vm, section);
		json_object_set_new(info, (*it)->name, section);
	}
	*result = info;
	return 0;
}

static const struct control_command info_command = {
	.name = "info",
	.help = "state, memory, devices and exit counters",
	.is_query = true,
	.handle = handle_info,
};
CONTROL_COMMAND(info_command);
