// SPDX-License-Identifier: BSD-2-Clause
/*
 * --swap: a window with a slot store behind it. The guest finds it in its VM's SymSpy page and
 * rings doorbells about it.
 */
#include "swap/device.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <symbiotic/symcall.h>

#include "machine/publish.h"
#include "machine/vm.h"
#include "swap/manager.h"
#include "swap/store/store.h"
#include "util/keyval.h"

struct swap_device {
	struct device device;
	struct swap_store *store;
	uint64_t gpa;
	bool has_budget; /* memory= was given */
};

static const struct device_ops swap_ops;

static struct swap_device *window_find(struct vm *vm, unsigned index)
{
	struct device *device = device_find(vm, &swap_ops);

	while (device && index--)
		device = device_find_next(device);
	return (struct swap_device *)device;
}

struct swap_store *swap_store_find(struct vm *vm, unsigned index)
{
	struct swap_device *swap = window_find(vm, index);

	return swap ? swap->store : NULL;
}

static void windows_fill(struct vm *vm, struct sym_publication *publication)
{
	struct swap_device *swap;

	for (unsigned i = 0; i < SYM_SWAP_WINDOWS_MAX && (swap = window_find(vm, i)); i++)
		publication->swap_windows[i] = swap->gpa;
}

static const struct publisher swap_publisher = {.name = "swap", .fill = windows_fill};
PUBLISHER(swap_publisher);

static uint64_t on_reserve(void *opaque, struct sym_vcpu *vcpu, void *vcpu_opaque,
			   const uint64_t request[6])
{
	struct swap_store *store = request[0] < SYM_SWAP_WINDOWS_MAX
					   ? swap_store_find(opaque, (unsigned)request[0])
					   : NULL;

	return (uint64_t)(int64_t)(store ? swap_store_reserve(store, request[1]) : -EINVAL);
}

static uint64_t on_fetch(void *opaque, struct sym_vcpu *vcpu, void *vcpu_opaque,
			 const uint64_t request[6])
{
	struct swap_store *store = request[0] < SYM_SWAP_WINDOWS_MAX
					   ? swap_store_find(opaque, (unsigned)request[0])
					   : NULL;

	return (uint64_t)(int64_t)(store ? swap_store_fetch(store, request[1]) : -EINVAL);
}

static void windows_set_verdicts(void *opaque, uint32_t verdicts)
{
	struct swap_store *store;

	for (unsigned i = 0; (store = swap_store_find(opaque, i)); i++)
		swap_store_set_verdicts(store, verdicts);
}

/*
 * If a window has a budget of its own, the VM's budget is its boot-time RAM plus the budgets of all
 * windows.
 */
static void windows_usage(void *opaque, uint64_t *budget, uint64_t *slots)
{
	struct vm *vm = opaque;
	struct swap_device *swap;
	bool bounded = false;

	*budget = vm->memory.ram_size;
	*slots = 0;
	for (unsigned i = 0; (swap = window_find(vm, i)); i++) {
		*budget += swap_store_budget(swap->store);
		*slots += swap_store_used(swap->store);
		bounded = bounded || swap->has_budget;
	}
	if (!bounded)
		*budget = 0;
}

static const struct swap_store_ops store_ops = {.set_verdicts = windows_set_verdicts,
						.usage = windows_usage};

static int swap_start(struct device *device, struct error *err)
{
	return swap_store_start(((struct swap_device *)device)->store, device->vm->jail, err);
}

static void swap_reset(struct device *device)
{
	swap_store_reset(((struct swap_device *)device)->store);
}

static void swap_destroy(struct device *device)
{
	swap_store_destroy(((struct swap_device *)device)->store);
	free(device);
}

static void counters_describe(struct swap_store *store, json_t *object)
{
	const struct swap_counters *counters = swap_store_counters(store);

#define SET_COUNTER(name, text) \
	json_object_set_new(object, #name, json_integer((json_int_t)atomic_load(&counters->name)));
	SWAP_COUNTERS(SET_COUNTER)
#undef SET_COUNTER
}

static void swap_describe(struct device *device, json_t *object)
{
	struct swap_device *swap = (struct swap_device *)device;
	const struct swap_config *config = swap_store_config(swap->store);

	json_object_set_new(object, "window", json_integer((json_int_t)config->index));
	json_object_set_new(object, "address", json_integer((json_int_t)swap->gpa));
	json_object_set_new(object, "size", json_integer((json_int_t)config->size));
	json_object_set_new(object, "budget",
			    json_integer((json_int_t)swap_store_budget(swap->store)));
	json_object_set_new(object, "used", json_integer((json_int_t)swap_store_used(swap->store)));
	json_object_set_new(object, "compress", json_string(swap_codec_name(config->codec)));
	counters_describe(swap->store, object);
}

static int swap_save(struct device *device, struct serialize_writer *writer)
{
	return swap_store_save(((struct swap_device *)device)->store, writer);
}

static int swap_load(struct device *device, struct serialize_reader *reader, uint32_t version)
{
	return swap_store_load(((struct swap_device *)device)->store, reader);
}

static const struct device_ops swap_ops = {
	.name = "swap",
	.version = 1,
	.start = swap_start,
	.reset = swap_reset,
	.destroy = swap_destroy,
	.save = swap_save,
	.load = swap_load,
	.describe = swap_describe,
};

struct swap_options {
	struct swap_config config;
	char *compress, *spill, *policy, *pressure;
};

static void options_free(struct swap_options *options)
{
	free(options->compress);
	free(options->spill);
	free(options->policy);
	free(options->pressure);
}

static int options_parse(struct swap_options *options, const char *argument, struct error *err)
{
	const struct keyval_field fields[] = {
		{.key = "size",
		 .type = KEYVAL_SIZE,
		 .value = &options->config.size,
		 .required = true},
		{.key = "memory", .type = KEYVAL_SIZE, .value = &options->config.budget},
		{.key = "compress", .type = KEYVAL_TEXT, .value = &options->compress},
		{.key = "spill", .type = KEYVAL_TEXT, .value = &options->spill},
		{.key = "policy", .type = KEYVAL_TEXT, .value = &options->policy},
		{.key = "pressure", .type = KEYVAL_TEXT, .value = &options->pressure},
		{0},
	};
	int status;

	options->config.codec = SWAP_CODEC_LZ4;
	options->config.budget = UINT64_MAX;
	status = keyval_parse("swap", argument, fields, err);
	if (status < 0)
		return status;
	options->config.spill = options->spill;
	if (options->compress && swap_codec_parse(options->compress, &options->config.codec) < 0)
		return error_set(err, -EINVAL, "--swap: compress='%s' is not lz4, zstd or none",
				 options->compress);
	return 0;
}

/*
 * Makes the store visible: adds the window to guest-physical space and lets the store serve its
 * faults.
 */
static int window_add(struct swap_device *swap, struct vm *vm, struct error *err)
{
	uint64_t limit = 1ull << vm->physical_bits;
	const struct memory_region *region;
	int fd = swap_store_window_fd(swap->store, err), status;

	if (fd < 0)
		return fd;
	status = memory_window_add(&vm->memory, swap_store_window_size(swap->store), fd, limit,
				   &region, err);
	if (status < 0) {
		close(fd);
		return status;
	}
	swap->gpa = region->gpa;
	return swap_store_guard(swap->store, region->hva, err);
}

static int doorbells_connect(struct vm *vm, struct error *err)
{
	int status = sym_vm_set_doorbell(vm->symbiotic, SYM_DOORBELL_SWAP_RESERVE, on_reserve, vm);

	if (status == 0)
		status = sym_vm_set_doorbell(vm->symbiotic, SYM_DOORBELL_SWAP_FETCH, on_fetch, vm);
	return status < 0 ? error_set_errno(err, status, "--swap: doorbells") : 0;
}

static int manager_attach(struct vm *vm, const struct swap_options *options, struct error *err)
{
	struct error inner = {0};
	int status = swap_manager_attach(vm, &store_ops, vm, options->policy, options->pressure,
					 &inner);

	return status < 0 ? error_set(err, status, "--swap: %s", inner.text) : 0;
}

/* A store never holds more than its window; words and records take less than 1/64 of that. */
static void add_jail_needs(struct vm *vm, const struct swap_config *config)
{
	vm->jail_needs.features |= JAIL_FEATURE_SLOT_STORE;
	if (config->spill && strncmp(config->spill, "nbd", 3) == 0)
		vm->jail_needs.features |= JAIL_FEATURE_NBD;
	vm->jail_needs.memory += config->size + config->size / 64;
}

static int device_create(struct vm *vm, struct swap_options *options, struct error *err)
{
	struct swap_config *config = &options->config;
	struct swap_device *swap;
	int status;

	if (!vm->symbiotic)
		return error_set(err, -EINVAL,
				 "--swap: needs the symbiotic interface "
				 "(--symbiotic on)");
	while (window_find(vm, config->index))
		config->index++;
	if (config->index >= SYM_SWAP_WINDOWS_MAX)
		return error_set(err, -E2BIG, "--swap: more than %u windows", SYM_SWAP_WINDOWS_MAX);
	if (config->index > 0 && (options->policy || options->pressure))
		return error_set(err, -EINVAL,
				 "--swap: policy= and pressure= are the VM's: give "
				 "them with the first --swap");
	swap = calloc(1, sizeof(*swap));
	if (!swap)
		return error_set(err, -ENOMEM, "--swap: out of memory");
	swap->has_budget = config->budget != UINT64_MAX;
	if (!swap->has_budget)
		config->budget = 0;
	else if (config->budget == 0)
		config->budget = 1; /* refused, with words */
	status = swap_store_create(config, &vm->log, &swap->store, err);
	if (status < 0) {
		free(swap);
		return status;
	}
	status = window_add(swap, vm, err);
	if (status == 0 && config->index == 0)
		status = doorbells_connect(vm, err);
	if (status < 0) {
		swap_store_destroy(swap->store);
		free(swap);
		return status;
	}
	device_add(vm, &swap->device, &swap_ops, "swap", true);
	add_jail_needs(vm, config);
	if (config->index == 0)
		status = manager_attach(vm, options, err);
	else
		swap_store_set_verdicts(swap->store, swap_store_verdicts(swap_store_find(vm, 0)));
	publish_refresh(vm);
	return status;
}

static int swap_create(struct vm *vm, const char *argument, struct error *err)
{
	struct swap_options options = {0};
	int status = options_parse(&options, argument, err);

	if (status == 0)
		status = device_create(vm, &options, err);
	options_free(&options);
	return status;
}

static const struct device_class swap_class = {
	.option = "swap",
	.argument = "size=SIZE[,memory=SIZE][,compress=lz4|zstd|none][,spill=FILE|nbd://HOST:PORT/"
		    "EXPORT][,policy=POLICY][,pressure=FILE]",
	.help = "a slot store for the guest's swapped pages; memory: host memory that it may use "
		"(default: size); may be given several times",
	.order = 90, /* after all devices that add RAM */
	.create = swap_create,
};
DEVICE_CLASS(swap_class);
