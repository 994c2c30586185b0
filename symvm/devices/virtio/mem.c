// SPDX-License-Identifier: BSD-2-Clause
/*
 * virtio-mem (VIRTIO 1.2, 5.15): memory that the guest plugs and unplugs in blocks, up to the size
 * that it is asked to have. The guest boots with its RAM; the region beyond it
 * (memory/memory_plug.h) belongs to this device. All plugging is done on the I/O loop's thread.
 */
#include "devices/virtio/mem.h"

#include <errno.h>
#include <linux/virtio_mem.h>
#include <stdlib.h>
#include <string.h>

#include "devices/virtio/core/virtio.h"
#include "memory/memory_plug.h"
#include "machine/vm.h"
#include "util/container_of.h"

#define NAME	   "virtio-mem"
#define QUEUE_SIZE 64u
/* Blocks that are plugged, unplugged or checked before other devices have their turn. */
#define BLOCK_BUDGET 1024u

/* Since Linux 5.16; Debian 12's headers may not have the name. */
#ifndef VIRTIO_MEM_F_UNPLUGGED_INACCESSIBLE
#define VIRTIO_MEM_F_UNPLUGGED_INACCESSIBLE 1
#endif

struct mem {
	struct virtio_device virtio;
	struct memory_region *region;
	uint64_t limit;
	pthread_mutex_t lock; /* guards floor, requested, leased; taken before config_lock */
	uint64_t floor;
	uint64_t requested;
	bool leased;
	_Atomic uint64_t plugs, unplugs, refused, busy, errors; /* requests */
};

/* A PLUG, UNPLUG or STATE request, whose form is checked. */
struct range {
	uint64_t gpa;
	uint64_t length;
};

static struct mem *to_mem(struct virtio_device *device)
{
	return container_of(device, struct mem, virtio);
}

static uint64_t plugged_size(const struct mem *mem)
{
	return atomic_load(&mem->region->blocks->plugged);
}

/* The driver reads the config space when it wants to; it knows why it changed. */
static void publish_plugged(struct mem *mem)
{
	uint64_t plugged = plugged_size(mem);

	virtio_device_config_store(&mem->virtio, offsetof(struct virtio_mem_config, plugged_size),
				   &plugged, sizeof(plugged));
}

static uint64_t requested_size(struct mem *mem)
{
	uint64_t requested;

	pthread_mutex_lock(&mem->lock);
	requested = mem->requested;
	pthread_mutex_unlock(&mem->lock);
	return requested;
}

/* Whether any part of the request itself is in the memory that it would unplug. */
static bool chain_lies_in(const struct virtio_chain *chain, const uint8_t *start, uint64_t length)
{
	for (unsigned i = 0; i < chain->out_count + chain->in_count; i++) {
		const uint8_t *part = chain->iov[i].iov_base;

		if (part < start + length && part + chain->iov[i].iov_len > start)
			return true;
	}
	return false;
}

static uint16_t do_plug(struct mem *mem, const struct range *range)
{
	if (!memory_plug_test(mem->region, range->gpa, range->length, false))
		return VIRTIO_MEM_RESP_ERROR;
	if (plugged_size(mem) + range->length > requested_size(mem))
		return VIRTIO_MEM_RESP_NACK;
	if (memory_plug(mem->region, range->gpa, range->length) < 0)
		return VIRTIO_MEM_RESP_BUSY;
	return VIRTIO_MEM_RESP_ACK;
}

/* The pieces of [@gpa, @gpa + @length) that are plugged; for UNPLUG, all of them. */
static uint16_t unplug_pieces(struct mem *mem, const struct range *range)
{
	uint64_t block = mem->region->blocks->block_size, gpa = range->gpa;
	uint64_t end = range->gpa + range->length;

	while (gpa < end) {
		uint64_t start = gpa;

		while (gpa < end && memory_plug_test(mem->region, gpa, block, true))
			gpa += block;
		if (gpa > start && memory_unplug(mem->region, start, gpa - start) < 0)
			return VIRTIO_MEM_RESP_BUSY;
		if (gpa == start)
			gpa += block;
	}
	return VIRTIO_MEM_RESP_ACK;
}

static uint16_t do_unplug(struct mem *mem, const struct range *range,
			  const struct virtio_chain *chain, bool all)
{
	const uint8_t *start = mem->region->hva + (range->gpa - mem->region->gpa);
	uint16_t response;
	int status;

	if (!all && !memory_plug_test(mem->region, range->gpa, range->length, true))
		return VIRTIO_MEM_RESP_ERROR;
	if (chain_lies_in(chain, start, range->length))
		return VIRTIO_MEM_RESP_ERROR;
	status = virtio_devices_quiesce(mem->virtio.vm, start, range->length);
	if (status < 0)
		return status == -EAGAIN ? VIRTIO_MEM_RESP_BUSY : VIRTIO_MEM_RESP_ERROR;
	response = unplug_pieces(mem, range);
	virtio_devices_resume(mem->virtio.vm);
	return response;
}

static uint16_t do_state(struct mem *mem, const struct range *range,
			 struct virtio_mem_resp *response)
{
	if (memory_plug_test(mem->region, range->gpa, range->length, true))
		response->u.state.state = VIRTIO_MEM_STATE_PLUGGED;
	else if (memory_plug_test(mem->region, range->gpa, range->length, false))
		response->u.state.state = VIRTIO_MEM_STATE_UNPLUGGED;
	else
		response->u.state.state = VIRTIO_MEM_STATE_MIXED;
	return VIRTIO_MEM_RESP_ACK;
}

/* 5.15.6: whole blocks within the region. The three requests have one form. */
static bool range_take(const struct mem *mem, const struct virtio_mem_req *request,
		       struct range *range)
{
	const struct memory_region *region = mem->region;
	uint64_t block = region->blocks->block_size;

	range->gpa = request->u.plug.addr;
	range->length = request->u.plug.nb_blocks * block;
	return range->length != 0 && range->gpa % block == 0 && range->gpa >= region->gpa &&
	       range->gpa - region->gpa < region->size &&
	       range->length <= region->size - (range->gpa - region->gpa);
}

static void request_count(struct mem *mem, uint16_t type, uint16_t response)
{
	if (response == VIRTIO_MEM_RESP_ERROR)
		atomic_fetch_add(&mem->errors, 1);
	else if (response == VIRTIO_MEM_RESP_NACK)
		atomic_fetch_add(&mem->refused, 1);
	else if (response == VIRTIO_MEM_RESP_BUSY)
		atomic_fetch_add(&mem->busy, 1);
	else if (type == VIRTIO_MEM_REQ_PLUG)
		atomic_fetch_add(&mem->plugs, 1);
	else if (type != VIRTIO_MEM_REQ_STATE)
		atomic_fetch_add(&mem->unplugs, 1);
}

static void request_handle(struct mem *mem, const struct virtio_mem_req *request,
			   const struct virtio_chain *chain, struct virtio_mem_resp *response)
{
	const struct range whole = {mem->region->gpa, mem->region->size};
	struct range range;

	response->type = VIRTIO_MEM_RESP_ERROR;
	if (request->type == VIRTIO_MEM_REQ_UNPLUG_ALL)
		response->type = do_unplug(mem, &whole, chain, true);
	else if (request->type <= VIRTIO_MEM_REQ_STATE && range_take(mem, request, &range)) {
		if (request->type == VIRTIO_MEM_REQ_PLUG)
			response->type = do_plug(mem, &range);
		else if (request->type == VIRTIO_MEM_REQ_UNPLUG)
			response->type = do_unplug(mem, &range, chain, false);
		else
			response->type = do_state(mem, &range, response);
	}
	request_count(mem, request->type, response->type);
	publish_plugged(mem);
}

/* Answers one request. Returns how many blocks it was about, 0 if the device failed. */
static unsigned chain_answer(struct mem *mem, struct virtio_queue *queue,
			     const struct virtio_chain *chain)
{
	struct virtio_mem_req request = {0};
	struct virtio_mem_resp response = {0};

	if (virtio_chain_read(chain, 0, &request, sizeof(request)) != sizeof(request) ||
	    chain->in_bytes < sizeof(response)) {
		virtio_device_fail(&mem->virtio, "a request of %llu and %llu bytes",
				   (unsigned long long)chain->out_bytes,
				   (unsigned long long)chain->in_bytes);
		return 0;
	}
	request_handle(mem, &request, chain, &response);
	virtio_chain_write(chain, 0, &response, sizeof(response));
	virtio_queue_push(queue, chain, sizeof(response));
	if (request.type == VIRTIO_MEM_REQ_UNPLUG_ALL)
		return mem->region->blocks->count;
	/* The other three have one form. A refused request costs something, too. */
	return request.u.plug.nb_blocks ? request.u.plug.nb_blocks : 1;
}

static void mem_notified(struct virtio_device *device, struct virtio_queue *queue)
{
	struct iovec iov[QUEUE_SIZE];
	struct virtio_chain chain = {.iov = iov, .iov_max = QUEUE_SIZE};
	struct mem *mem = to_mem(device);
	unsigned blocks = 0;

	do {
		virtio_queue_notify_disable(queue);
		while (blocks < BLOCK_BUDGET && virtio_queue_pop(queue, &chain) > 0)
			blocks += chain_answer(mem, queue, &chain);
		virtio_queue_flush(queue);
		if (blocks >= BLOCK_BUDGET) {
			virtio_queue_again(queue);
			return;
		}
	} while (virtio_queue_notify_enable(queue));
}

/* A driver without the feature may read unplugged memory, which would end its guest. */
static int mem_activate(struct virtio_device *device)
{
	return virtio_device_has_feature(device, VIRTIO_MEM_F_UNPLUGGED_INACCESSIBLE) ? 0
										      : -EOPNOTSUPP;
}

/* Tells the driver which size is requested. The lock is held. */
static void request_tell(struct mem *mem)
{
	virtio_device_config_update(&mem->virtio,
				    offsetof(struct virtio_mem_config, requested_size),
				    &mem->requested, sizeof(mem->requested));
}

/* Sets the requested size and tells the driver. The lock is held. */
static bool request_set(struct mem *mem, uint64_t size)
{
	if (size == mem->requested)
		return false;
	mem->requested = size;
	request_tell(mem);
	return true;
}

static void unplug_everything(struct mem *mem)
{
	const struct range whole = {mem->region->gpa, mem->region->size};

	if (unplug_pieces(mem, &whole) != VIRTIO_MEM_RESP_ACK)
		log_limited(&mem->virtio.vm->log, LOG_LEVEL_WARN,
			    "%s: memory could not be taken back at the reset",
			    mem->virtio.device.name);
	publish_plugged(mem);
}

static void power_on_on_loop(void *opaque)
{
	struct mem *mem = opaque;

	unplug_everything(mem);
	pthread_mutex_lock(&mem->lock);
	mem->floor = 0;
	request_set(mem, 0);
	pthread_mutex_unlock(&mem->lock);
}

/*
 * The VM boots again with its initial RAM. Rings of other devices may be in the memory that is
 * unplugged.
 */
static void mem_power_on(struct virtio_device *device)
{
	virtio_devices_stop(device->vm);
	if (event_loop_call(device->vm->io_loop, power_on_on_loop, device) < 0)
		log_error(&device->vm->log, "%s: out of memory at the reset", device->device.name);
}

static void mem_free(struct mem *mem)
{
	pthread_mutex_destroy(&mem->lock);
	free(mem);
}

static void mem_destroy(struct virtio_device *device)
{
	mem_free(to_mem(device));
}

static unsigned word_count(const struct mem *mem)
{
	return (mem->region->blocks->count + 63) / 64;
}

static int mem_save(struct virtio_device *device, struct serialize_writer *writer)
{
	struct mem *mem = to_mem(device);
	const struct memory_blocks *blocks = mem->region->blocks;

	pthread_mutex_lock(&mem->lock);
	serialize_put_u64(writer, mem->floor);
	serialize_put_u64(writer, mem->requested);
	pthread_mutex_unlock(&mem->lock);
	serialize_put_u64(writer, mem->region->gpa);
	serialize_put_u64(writer, blocks->block_size);
	serialize_put_u32(writer, blocks->count);
	for (unsigned i = 0; i < word_count(mem); i++)
		serialize_put_u64(writer, atomic_load(&blocks->bits[i]));
	return writer->status;
}

static int load_word(struct mem *mem, unsigned index, uint64_t bits)
{
	struct memory_blocks *blocks = mem->region->blocks;

	for (unsigned bit = 0; bit < 64; bit++) {
		uint64_t block = index * 64ull + bit;

		if (!(bits >> bit & 1))
			continue;
		if (block >= blocks->count)
			return -EINVAL;
		if (memory_plug(mem->region, mem->region->gpa + block * blocks->block_size,
				blocks->block_size) < 0)
			return -ENOMEM;
	}
	return 0;
}

static void config_fill(struct mem *mem, struct virtio_mem_config *config)
{
	const struct memory_region *region = mem->region;

	*config = (struct virtio_mem_config){
		.block_size = region->blocks->block_size,
		.addr = region->gpa,
		.region_size = region->size,
		.usable_region_size = region->size,
		.plugged_size = plugged_size(mem),
		.requested_size = mem->requested,
	};
}

/*
 * Called after power_on(): nothing is plugged. The contents of the pages are loaded elsewhere,
 * later.
 */
static int mem_load(struct virtio_device *device, struct serialize_reader *reader, uint32_t version)
{
	struct mem *mem = to_mem(device);
	struct virtio_mem_config config;
	uint64_t floor = serialize_get_u64(reader), requested = serialize_get_u64(reader);
	int status = 0;

	if (serialize_get_u64(reader) != mem->region->gpa ||
	    serialize_get_u64(reader) != mem->region->blocks->block_size ||
	    serialize_get_u32(reader) != mem->region->blocks->count || reader->status < 0 ||
	    floor > mem->limit || requested > mem->limit || requested < floor ||
	    requested % mem->region->blocks->block_size)
		return -EINVAL;
	for (unsigned i = 0; i < word_count(mem) && status == 0; i++)
		status = load_word(mem, i, serialize_get_u64(reader));
	if (status == 0)
		status = reader->status;
	if (status < 0) {
		unplug_everything(mem);
		return status;
	}
	pthread_mutex_lock(&mem->lock);
	mem->floor = floor;
	mem->requested = requested;
	config_fill(mem, &config);
	pthread_mutex_unlock(&mem->lock);
	virtio_device_config_store(device, 0, &config, sizeof(config));
	return 0;
}

static void mem_describe(struct virtio_device *device, json_t *object)
{
	struct mem *mem = to_mem(device);
	const struct {
		const char *name;
		uint64_t value;
	} values[] = {
		{"block_size", mem->region->blocks->block_size},
		{"limit", mem->limit},
		{"requested", requested_size(mem)},
		{"plugged", plugged_size(mem)},
		{"plugs", atomic_load(&mem->plugs)},
		{"unplugs", atomic_load(&mem->unplugs)},
		{"refused", atomic_load(&mem->refused)},
		{"busy", atomic_load(&mem->busy)},
		{"errors", atomic_load(&mem->errors)},
	};

	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
		json_object_set_new(object, values[i].name,
				    json_integer((json_int_t)values[i].value));
}

static const struct virtio_ops mem_ops = {
	.name = NAME,
	.id = VIRTIO_ID_MEM,
	.class_code = 0x050000, /* memory */
	.version = 1,
	.activate = mem_activate,
	.notified = mem_notified,
	.power_on = mem_power_on,
	.destroy = mem_destroy,
	.save = mem_save,
	.load = mem_load,
	.describe = mem_describe,
};

static struct mem *mem_find(struct vm *vm)
{
	struct virtio_device *device = virtio_device_find(vm, &mem_ops);

	return device ? to_mem(device) : NULL;
}

int virtio_mem_get(struct vm *vm, struct virtio_mem_state *state)
{
	struct mem *mem = mem_find(vm);

	if (!mem)
		return -EOPNOTSUPP;
	pthread_mutex_lock(&mem->lock);
	*state = (struct virtio_mem_state){
		.block_size = mem->region->blocks->block_size,
		.limit = mem->limit,
		.floor = mem->floor,
		.requested = mem->requested,
		.plugged = plugged_size(mem),
		.driver = atomic_load(&mem->virtio.active) && !atomic_load(&mem->virtio.failed),
		.leased = mem->leased,
	};
	pthread_mutex_unlock(&mem->lock);
	return 0;
}

int virtio_mem_request(struct vm *vm, uint64_t size)
{
	struct mem *mem = mem_find(vm);
	bool changed;

	if (!mem)
		return -EOPNOTSUPP;
	pthread_mutex_lock(&mem->lock);
	if (size > mem->limit)
		size = mem->limit;
	size -= size % mem->region->blocks->block_size;
	changed = !mem->leased && request_set(mem, size < mem->floor ? mem->floor : size);
	pthread_mutex_unlock(&mem->lock);
	return changed;
}

int virtio_mem_lease(struct vm *vm, uint64_t size)
{
	struct mem *mem = mem_find(vm);
	bool changed;

	if (!mem)
		return -EOPNOTSUPP;
	pthread_mutex_lock(&mem->lock);
	if (size > mem->limit)
		size = mem->limit;
	mem->leased = true;
	mem->floor = 0;
	changed = request_set(mem, size - size % mem->region->blocks->block_size);
	pthread_mutex_unlock(&mem->lock);
	return changed;
}

void virtio_mem_remind(struct vm *vm)
{
	struct mem *mem = mem_find(vm);

	if (!mem)
		return;
	pthread_mutex_lock(&mem->lock);
	if (mem->requested != plugged_size(mem))
		request_tell(mem);
	pthread_mutex_unlock(&mem->lock);
}

int virtio_mem_set_floor(struct vm *vm, uint64_t size)
{
	struct mem *mem = mem_find(vm);
	bool leased;

	if (!mem)
		return -EOPNOTSUPP;
	if (size > mem->limit)
		return -ERANGE;
	pthread_mutex_lock(&mem->lock);
	leased = mem->leased;
	if (!leased) {
		mem->floor = size - size % mem->region->blocks->block_size;
		request_set(mem, mem->floor);
	}
	pthread_mutex_unlock(&mem->lock);
	return leased ? -EBUSY : 0;
}

/* Exists if --memory has max=. */
static int mem_create(struct vm *vm, const char *argument, struct error *err)
{
	struct memory_region *region = memory_plug_region(&vm->memory);
	struct virtio_mem_config space;
	const struct virtio_device_config config = {
		.ops = &mem_ops,
		.name = "mem",
		.features = 1ull << VIRTIO_MEM_F_UNPLUGGED_INACCESSIBLE,
		.queue_count = 1,
		.queue_size = QUEUE_SIZE,
		.space = &space,
		.space_size = sizeof(space),
	};
	struct mem *mem;
	int status;

	if (!region)
		return 0;
	mem = calloc(1, sizeof(*mem));
	if (!mem)
		return error_set(err, -ENOMEM, NAME ": out of memory");
	pthread_mutex_init(&mem->lock, NULL);
	mem->region = region;
	mem->limit = vm->config.memory.max - vm->config.memory.size;
	mem->limit -= mem->limit % region->blocks->block_size;
	config_fill(mem, &space);
	status = virtio_device_create(vm, &mem->virtio, &config, err);
	if (status < 0)
		mem_free(mem);
	return status;
}

/* First of the virtio devices: the others' rings may be in its memory when state is loaded. */
static const struct device_class mem_class = {
	.order = 101,
	.create = mem_create,
};
DEVICE_CLASS(mem_class);
