// SPDX-License-Identifier: BSD-2-Clause
/* The control command `info`: what the library knows of a VM of another VMM. */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "control/control.h"
#include "util/clock.h"
#include "vm.h"

static json_t *counter(const _Atomic uint64_t *value)
{
	return json_integer((json_int_t)atomic_load_explicit(value, memory_order_relaxed));
}

static json_t *describe_vcpu(const struct preload_vcpu *vcpu)
{
	return json_pack("{s:I, s:o, s:o, s:o, s:o, s:o, s:b}", "id", (json_int_t)vcpu->id,
			 "exits_total", counter(&vcpu->exits), "kicks", counter(&vcpu->kicks),
			 "borrowed", counter(&vcpu->calls), "nested_exits",
			 counter(&vcpu->nested_exits), "resets", counter(&vcpu->resets),
			 "registered", sym_vcpu_enabled(vcpu->engine));
}

static json_t *describe_calls(struct preload_vm *vm, unsigned count)
{
	json_t *object = json_pack("{s:I, s:I}", "guest_abi",
				   (json_int_t)sym_vm_guest_version(vm->engine), "features",
				   (json_int_t)sym_vm_features(vm->engine));
	struct sym_vcpu_stats sum = {0};

	for (unsigned i = 0; i < count; i++) {
		struct sym_vcpu_stats stats;

		sym_vcpu_get_stats(vm->vcpus[i]->engine, &stats);
#define ADD(name, text) sum.name += stats.name;
		SYM_STATS(ADD)
#undef ADD
	}
#define SET(name, text) \
	if (sum.name)   \
		json_object_set_new(object, #name, json_integer((json_int_t)sum.name));
	SYM_STATS(SET)
#undef SET
	return object;
}

static int handle_info(struct vm *opaque, json_t *arguments, json_t **result, struct error *err)
{
	struct preload_vm *vm = (struct preload_vm *)opaque;
	unsigned count = atomic_load(&vm->vcpu_count);
	json_t *vcpus = json_array();
	int status = control_arguments_none(arguments, err);

	if (status < 0) {
		json_decref(vcpus);
		return status;
	}
	for (unsigned i = 0; i < count; i++)
		json_array_append_new(vcpus, describe_vcpu(vm->vcpus[i]));
	*result = json_pack("{s:o, s:i, s:s, s:f, s:o, s:i, s:b, s:{s:I}, s:[], s:o, s:o}", "name",
			    json_null(), "pid", (int)getpid(), "state",
			    count ? "running" : "created", "uptime_seconds",
			    (double)(clock_now_ns() - vm->created_ns) / (double)NS_PER_SECOND,
			    "vmm", control_text(program_invocation_short_name), "cpus", (int)count,
			    "symbiotic_offered", !atomic_load(&vm->off), "memory", "size",
			    (json_int_t)memslots_size(&vm->slots), "devices", "vcpus", vcpus,
			    "symbiotic", describe_calls(vm, count));
	return 0;
}

static const struct control_command info_command = {
	.name = "info",
	.help = "the VMM, memory, vCPUs and calls",
	.is_query = true,
	.handle = handle_info,
};
CONTROL_COMMAND(info_command);
