// SPDX-License-Identifier: BSD-2-Clause
/*
 * The control command `metrics`: counters in Prometheus' text exposition format
 * (version 0.0.4), as one text.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "util/version.h"
#include "control/control.h"
#include "machine/report.h"
#include "machine/vm.h"

REGISTRY_DECLARE(symvm_reports, struct report);

static double counter_load(const _Atomic uint64_t *counter)
{
	return (double)atomic_load_explicit(counter, memory_order_relaxed);
}

static void write_exits(struct vm *vm, FILE *out)
{
	metrics_family(out, "symvm_vcpu_exits_total", "counter",
		       "Exits of a vCPU to symvm, by KVM exit reason.");
	for (unsigned i = 0; i < vm->vcpu_count; i++) {
		char id[12];

		snprintf(id, sizeof(id), "%u", i);
		for (unsigned reason = 0; reason < VCPU_EXIT_KINDS; reason++) {
			double count = counter_load(&vm->vcpus[i]->counters.exits[reason]);
			const char *name = vcpu_exit_name(reason);
			char number[24];

			if (count == 0)
				continue;
			snprintf(number, sizeof(number), "reason-%u", reason);
			metrics_sample(out, vm, "symvm_vcpu_exits_total", count, "vcpu", id,
				       "reason", name ? name : number, NULL);
		}
	}
}

static void write_vcpus(struct vm *vm, FILE *out)
{
	static const struct {
		const char *name;
		const char *help;
		size_t offset;
	} families[] = {
#define FAMILY(counter, text) \
	{"symvm_vcpu_" #counter "_total", text, offsetof(struct vcpu_counters, counter)}
		FAMILY(kicks, "Signals that took a vCPU out of the guest."),
		FAMILY(pio_reads, "Port reads by the guest."),
		FAMILY(pio_writes, "Port writes by the guest."),
		FAMILY(mmio_reads, "Memory-mapped reads by the guest."),
		FAMILY(mmio_writes, "Memory-mapped writes by the guest."),
		FAMILY(unclaimed, "Accesses that no device took."),
#undef FAMILY
	};

	for (size_t f = 0; f < sizeof(families) / sizeof(families[0]); f++) {
		metrics_family(out, families[f].name, "counter", families[f].help);
		for (unsigned i = 0; i < vm->vcpu_count; i++) {
			const char *base = (const char *)&vm->vcpus[i]->counters;
			char id[12];

			snprintf(id, sizeof(id), "%u", i);
			metrics_sample(
				out, vm, families[f].name,
				counter_load((const _Atomic uint64_t *)(base + families[f].offset)),
				"vcpu", id, NULL);
		}
	}
}

/* Every number in a device's description, with the path that leads to it. */
static void write_values(struct vm *vm, FILE *out, const struct device *device, const char *path,
			 json_t *value)
{
	char inner_path[128];
	const char *key;
	json_t *inner;
	size_t index;

	if (json_is_number(value) || json_is_boolean(value)) {
		metrics_sample(
			out, vm, "symvm_device_value",
			json_is_number(value) ? json_number_value(value) : json_is_true(value),
			"device", device->name, "type", device->ops->name, "value", path, NULL);
		return;
	}
	json_object_foreach(value, key, inner) {
		snprintf(inner_path, sizeof(inner_path), "%s%s%s", path, *path ? "." : "", key);
		write_values(vm, out, device, inner_path, inner);
	}
	json_array_foreach(value, index, inner) {
		snprintf(inner_path, sizeof(inner_path), "%s%s%zu", path, *path ? "." : "", index);
		write_values(vm, out, device, inner_path, inner);
	}
}

static void write_devices(struct vm *vm, FILE *out)
{
	metrics_family(out, "symvm_device_value", "gauge",
		       "Counters and settings that a device reports, by name.");
	for (struct device *device = vm->devices; device; device = device->next) {
		json_t *object;

		if (!device->ops->describe)
			continue;
		object = json_object();
		device->ops->describe(device, object);
		write_values(vm, out, device, "", object);
		json_decref(object);
	}
}

static void write_vm(struct vm *vm, FILE *out)
{
	enum vm_state state;

	pthread_mutex_lock(&vm->state_lock);
	state = vm->state;
	pthread_mutex_unlock(&vm->state_lock);
	metrics_family(out, "symvm_build_info", "gauge", "Always 1; the version is a label.");
	metrics_sample(out, vm, "symvm_build_info", 1, "version", SYMVM_VERSION, NULL);
	metrics_family(out, "symvm_running", "gauge", "1 while the vCPUs may run, 0 while paused.");
	metrics_sample(out, vm, "symvm_running", state == VM_STATE_RUNNING, NULL);
	metrics_family(out, "symvm_uptime_seconds", "gauge", "Seconds since the VM was started.");
	metrics_sample(out, vm, "symvm_uptime_seconds", vm_uptime(vm), NULL);
	metrics_family(out, "symvm_memory_bytes", "gauge", "RAM of the guest.");
	metrics_sample(out, vm, "symvm_memory_bytes", (double)vm->memory.ram_size, NULL);
	metrics_family(out, "symvm_vcpus", "gauge", "vCPUs of the guest.");
	metrics_sample(out, vm, "symvm_vcpus", vm->vcpu_count, NULL);
}

static int handle_metrics(struct vm *vm, json_t *arguments, json_t **result, struct error *err)
{
	const struct report *const *it;
	char *text = NULL;
	size_t size = 0;
	FILE *out;
	int status = control_arguments_none(arguments, err);

	if (status < 0)
		return status;
	out = open_memstream(&text, &size);
	if (!out)
		return error_set(err, -ENOMEM, "out of memory");
	write_vm(vm, out);
	write_exits(vm, out);
	write_vcpus(vm, out);
	write_devices(vm, out);
	REGISTRY_FOR_EACH(symvm_reports, it)
		if ((*it)->metrics)
			(*it)->metrics(vm, out);
	if (fclose(out) != 0) {
		free(text);
		return error_set(err, -ENOMEM, "out of memory");
	}
	*result = json_pack("{s:s#}", "text", text, (int)size);
	free(text);
	return *result ? 0 : error_set(err, -EINVAL, "the metrics hold text that is not UTF-8");
}

static const struct control_command metrics_command = {
	.name = "metrics",
	.help = "counters in Prometheus' text format",
	.is_query = true,
	.handle = handle_metrics,
};
CONTROL_COMMAND(metrics_command);
