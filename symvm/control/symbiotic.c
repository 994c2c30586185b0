// SPDX-License-Identifier: BSD-2-Clause
/* The section `symbiotic` of info, and its metrics: registration, calls, SymSpy pages. */
#include <errno.h>
#include <symbiotic/symcall.h>

#include "control/control.h"
#include "machine/report.h"
#include "machine/vm.h"
#include "services/guest.h"

/* The guest's own data, from its SymSpy page: costs no exit, and the guest need not answer. */
static void describe_guest(struct vm *vm, json_t *object)
{
	struct sym_spy_vm_guest guest;

	if (sym_vm_spy_read(vm->symbiotic, &guest) < 0)
		return;
	json_object_set_new(object, "guest_os", control_text((const char *)guest.os));
	json_object_set_new(object, "guest_state",
			    json_string(guest_boot_state_name(guest.boot_state)));
	json_object_set_new(object, "guest_cpus_online", json_integer(guest.cpus_online));
	json_object_set_new(object, "mem_total", json_integer((json_int_t)guest.mem_total));
	json_object_set_new(object, "mem_free", json_integer((json_int_t)guest.mem_free));
	json_object_set_new(object, "mem_available", json_integer((json_int_t)guest.mem_available));
	json_object_set_new(object, "swap_total", json_integer((json_int_t)guest.swap_total));
	json_object_set_new(object, "swap_free", json_integer((json_int_t)guest.swap_free));
	json_object_set_new(object, "swap_in", json_integer((json_int_t)guest.swap_in));
	json_object_set_new(object, "swap_out", json_integer((json_int_t)guest.swap_out));
}

static json_t *describe_tasks(struct vm *vm)
{
	json_t *tasks = json_array();

	for (unsigned i = 0; i < vm->vcpu_count; i++) {
		struct sym_spy_vcpu_guest guest;

		if (sym_vcpu_spy_read(vm->vcpus[i]->symbiotic, &guest) < 0)
			continue;
		json_array_append_new(tasks, json_pack("{s:i, s:I, s:I, s:o, s:I}", "vcpu", (int)i,
						       "pid", (json_int_t)guest.pid, "tgid",
						       (json_int_t)guest.tgid, "comm",
						       control_text((const char *)guest.comm),
						       "nr_running", (json_int_t)guest.nr_running));
	}
	return tasks;
}

static void stats_add(struct sym_vcpu_stats *sum, const struct sym_vcpu_stats *more)
{
#define STATS_ADD(name, text) sum->name += more->name;
	SYM_STATS(STATS_ADD)
#undef STATS_ADD
}

static void stats_sum(struct vm *vm, struct sym_vcpu_stats *sum)
{
	*sum = (struct sym_vcpu_stats){0};
	for (unsigned i = 0; i < vm->vcpu_count; i++) {
		struct sym_vcpu_stats stats;

		sym_vcpu_get_stats(vm->vcpus[i]->symbiotic, &stats);
		stats_add(sum, &stats);
	}
}

static void symbiotic_info(struct vm *vm, json_t *object)
{
	struct sym_vcpu_stats stats;
	unsigned enabled = 0;

	if (!vm->symbiotic)
		return;
	for (unsigned i = 0; i < vm->vcpu_count; i++)
		enabled += sym_vcpu_enabled(vm->vcpus[i]->symbiotic);
	json_object_set_new(object, "guest_abi", json_integer(sym_vm_guest_version(vm->symbiotic)));
	json_object_set_new(object, "features", json_integer(sym_vm_features(vm->symbiotic)));
	json_object_set_new(object, "vcpus_registered", json_integer(enabled));
	json_object_set_new(object, "host_published", json_boolean(!vm->config.hide_host));
	describe_guest(vm, object);
	json_object_set_new(object, "current_tasks", describe_tasks(vm));
	stats_sum(vm, &stats);
#define STATS_INFO(name, text) \
	if (stats.name)        \
		json_object_set_new(object, #name, json_integer((json_int_t)stats.name));
	SYM_STATS(STATS_INFO)
#undef STATS_INFO
}

static void symbiotic_metrics(struct vm *vm, FILE *out)
{
	struct sym_vcpu_stats stats;

	if (!vm->symbiotic)
		return;
	stats_sum(vm, &stats);
#define STATS_METRIC(name, text)                                                                   \
	metrics_family(out, "symvm_symcall_" #name "_total", "counter", "Symbiotic calls: " text); \
	metrics_sample(out, vm, "symvm_symcall_" #name "_total", (double)stats.name, NULL);
	SYM_STATS(STATS_METRIC)
#undef STATS_METRIC
}

static const struct report symbiotic_report = {
	.name = "symbiotic",
	.info = symbiotic_info,
	.metrics = symbiotic_metrics,
};
REPORT(symbiotic_report);
