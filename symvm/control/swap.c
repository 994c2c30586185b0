// SPDX-License-Identifier: BSD-2-Clause
/* The control command `swap`: slot stores, their budgets and the policy; and their metrics. */
#include <errno.h>
#include <string.h>

#include "control/control.h"
#include "machine/report.h"
#include "machine/vm.h"
#include "swap/manager.h"
#include "swap/device.h"
#include "swap/store/store.h"

static const char *const state_names[SWAP_STATES] = {
	"free", "writing", "resident", "mapped", "copying", "owned", "stored", "failed",
};

static json_t *describe_counters(const struct swap_counters *counters)
{
	json_t *object = json_object();

#define SET(name, text) \
	json_object_set_new(object, #name, json_integer((json_int_t)atomic_load(&counters->name)));
	SWAP_COUNTERS(SET)
#undef SET
	return object;
}

static json_t *describe_window(struct swap_store *store)
{
	const struct swap_config *config = swap_store_config(store);
	json_t *states = json_object(), *object;
	struct swap_usage usage;

	swap_store_usage(store, &usage);
	for (unsigned i = 0; i < SWAP_STATES; i++)
		json_object_set_new(states, state_names[i],
				    json_integer((json_int_t)usage.states[i]));
	object = json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b, s:s, s:o, s:o}", "window",
			   (json_int_t)config->index, "size", (json_int_t)usage.size, "budget",
			   (json_int_t)usage.budget, "resident", (json_int_t)usage.resident,
			   "compressed", (json_int_t)usage.compressed, "spilled",
			   (json_int_t)usage.spilled, "mapped", (json_int_t)usage.mapped, "full",
			   usage.full, "compress", swap_codec_name(config->codec), "slots", states,
			   "counters", describe_counters(swap_store_counters(store)));
	json_object_set_new(object, "spill",
			    config->spill ? control_text(config->spill) : json_null());
	return object;
}

static json_t *stores_describe(struct vm *vm)
{
	json_t *windows = json_array(), *policy = swap_policy_describe(vm);
	struct swap_store *store;

	for (unsigned i = 0; (store = swap_store_find(vm, i)); i++)
		json_array_append_new(windows, describe_window(store));
	return json_pack("{s:o, s:o}", "windows", windows, "policy", policy ? policy : json_null());
}

static int set_budget(struct vm *vm, json_int_t window, json_int_t budget, struct error *err)
{
	if (window < 0 && swap_store_find(vm, 1))
		return error_set(err, -EINVAL, "budget: this VM has several windows: name one");
	return swap_store_set_budget(swap_store_find(vm, window < 0 ? 0 : (unsigned)window),
				     (uint64_t)budget, err);
}

static int handle_swap(struct vm *vm, json_t *arguments, json_t **result, struct error *err)
{
	static const char *const known[] = {"budget", "window", "policy", NULL};
	json_int_t budget = -1, window = -1;
	const char *policy = NULL;
	int status = control_arguments_known(arguments, known, err);

	if (status == 0)
		status = control_argument_integer(arguments, "budget", 0, INT64_MAX, &budget, err);
	if (status == 0)
		status = control_argument_integer(arguments, "window", 0, UINT32_MAX, &window, err);
	if (status == 0)
		status = control_argument_text(arguments, "policy", &policy, err);
	if (status < 0)
		return status;
	if (!swap_store_find(vm, 0))
		return error_set(err, -ENODEV, "this VM has no slot store (run it with --swap)");
	if (window >= 0 && !swap_store_find(vm, (unsigned)window))
		return error_set(err, -ENODEV, "window: no window %lld", window);
	if (policy)
		status = swap_policy_set(vm, policy, err);
	if (status == 0 && budget >= 0)
		status = set_budget(vm, window, budget, err);
	if (status == 0)
		*result = stores_describe(vm);
	return status;
}

static const struct control_command swap_command = {
	.name = "swap",
	.help = "slot stores; budget (bytes, of a window): host memory they may use; policy: what "
		"becomes of swap-ins",
	.handle = handle_swap,
};
CONTROL_COMMAND(swap_command);

static void write_bytes(struct vm *vm, FILE *out)
{
	struct swap_store *store;

	metrics_family(out, "symvm_swap_bytes", "gauge",
		       "Slot stores: size, budget, and what lies where.");
	for (unsigned i = 0; (store = swap_store_find(vm, i)); i++) {
		struct swap_usage usage;
		char id[12];

		swap_store_usage(store, &usage);
		snprintf(id, sizeof(id), "%u", i);
#define SAMPLE(field)                                                                        \
	metrics_sample(out, vm, "symvm_swap_bytes", (double)usage.field, "window", id, "of", \
		       #field, NULL)
		SAMPLE(size);
		SAMPLE(budget);
		SAMPLE(resident);
		SAMPLE(compressed);
		SAMPLE(spilled);
		SAMPLE(mapped);
#undef SAMPLE
	}
}

static void write_slots(struct vm *vm, FILE *out)
{
	struct swap_store *store;

	metrics_family(out, "symvm_swap_slots", "gauge", "Slots by the state of their words.");
	for (unsigned i = 0; (store = swap_store_find(vm, i)); i++) {
		struct swap_usage usage;
		char id[12];

		swap_store_usage(store, &usage);
		snprintf(id, sizeof(id), "%u", i);
		for (unsigned state = 0; state < SWAP_STATES; state++)
			metrics_sample(out, vm, "symvm_swap_slots", (double)usage.states[state],
				       "window", id, "state", state_names[state], NULL);
	}
}

static void write_counter(struct vm *vm, FILE *out, const char *name, const char *help,
			  size_t offset)
{
	struct swap_store *store;
	char id[12];

	metrics_family(out, name, "counter", help);
	for (unsigned i = 0; (store = swap_store_find(vm, i)); i++) {
		const char *base = (const char *)swap_store_counters(store);

		snprintf(id, sizeof(id), "%u", i);
		metrics_sample(out, vm, name,
			       (double)atomic_load((const _Atomic uint64_t *)(base + offset)),
			       "window", id, NULL);
	}
}

static void swap_metrics(struct vm *vm, FILE *out)
{
	if (!swap_store_find(vm, 0))
		return;
	write_bytes(vm, out);
	write_slots(vm, out);
#define WRITE(name, text)                                                              \
	write_counter(vm, out, "symvm_swap_" #name "_total", "Slot stores: " text ".", \
		      offsetof(struct swap_counters, name));
	SWAP_COUNTERS(WRITE)
#undef WRITE
}

static const struct report swap_report = {.name = "swap", .metrics = swap_metrics};
REPORT(swap_report);
