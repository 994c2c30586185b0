// SPDX-License-Identifier: BSD-2-Clause
/*
 * The VM's side of the broker (`--broker SOCKET`): it says what the VM needs, and keeps the VM to
 * its lease by virtio-mem. A lease is host memory, everything included, so the guest gets what is
 * left of it after the VMM's own memory and the slots:
 *
 *   plugged RAM = lease - own memory - boot RAM - slots
 *
 * What the VM holds is never more than its lease, because the guest is asked for less RAM before
 * the broker is told that less is held. Without a broker (it was killed, or hangs) the VM keeps the
 * lease that it has.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>
#include <symbiotic/symcall.h>

#include "broker/message.h"
#include "devices/virtio/mem.h"
#include "machine/device.h"
#include "machine/report.h"
#include "machine/vm.h"
#include "services/broker_link.h"
#include "services/broker_misses.h"
#include "swap/device.h"
#include "swap/store/store.h"
#include "util/container_of.h"
#include "util/u64.h"

#define MIB	       (1ull << 20)
#define TICK_NS	       250000000
#define TICKS_A_SECOND 4u
#define JOIN_MS	       120000u /* the broker answers or refuses before, at its recall's deadline */
#define WEIGHT_USUAL   100u
#define OWN_BASE       (8 * MIB) /* the VMM's heap, stacks, buffers */
#define OWN_PART       256u /* and for page tables on both sides, this part of the guest's max */
#define KEEP_LEAST     (64 * MIB) /* available memory that a guest needs to grow into */
#define KEEP_PART      8u

struct vm_broker {
	struct device device;
	struct broker_link *link;
	char *path;
	int timer_fd;
	struct event_source *timer;
	struct message_request join; /* constant, but .held */
	uint64_t own;		     /* constant: the VMM's own memory */
	int refusal;		     /* of the join; 0: none */
	struct error words;
	unsigned ticks, stalled_ticks;
	uint64_t last_plugged;
	struct broker_misses misses;

	pthread_mutex_t lock; /* guards the rest, for describe() */
	bool joined;
	struct message_lease lease;
	struct accounts_demand demand;
	uint64_t leases; /* times that it changed */
};

static const struct device_ops broker_ops;

static struct vm_broker *broker_find(struct vm *vm)
{
	struct device *device = device_find(vm, &broker_ops);

	return device ? container_of(device, struct vm_broker, device) : NULL;
}

static uint64_t slot_bytes(struct vm *vm)
{
	struct swap_store *store;
	uint64_t bytes = 0;

	for (unsigned i = 0; (store = swap_store_find(vm, i)); i++) {
		struct swap_usage usage;

		swap_store_usage(store, &usage);
		bytes += usage.resident + usage.compressed;
	}
	return bytes;
}

/* What slots may use: it is part of the VM's min, because the guest's swapped pages cannot go
 * elsewhere. */
static uint64_t slots_most(struct vm *vm)
{
	struct swap_store *store;
	uint64_t bytes = 0;

	for (unsigned i = 0; (store = swap_store_find(vm, i)); i++)
		bytes += swap_store_budget(store);
	return bytes;
}

/*
 * Linux adds memory in blocks of 128 MiB, each of which needs 2 MiB in one piece for its page
 * structures. A guest that is short of memory does not find them, so the first one is there in
 * advance.
 */
static uint64_t first_block(const struct virtio_mem_state *mem)
{
	return mem->limit >= mem->block_size ? mem->block_size : 0;
}

/* Memory that the guest needs at hand, of @total. */
static uint64_t keep_bytes(uint64_t total)
{
	return u64_max(total / KEEP_PART, KEEP_LEAST);
}

/* What the guest says (SymSpy), and what the stores count. */
static void misses_count(struct vm_broker *broker)
{
	struct vm *vm = broker->device.vm;
	struct broker_miss_counts counts = {0};
	struct sym_spy_vm_guest guest;
	struct swap_store *store;

	if (!vm->symbiotic || sym_vm_spy_read(vm->symbiotic, &guest) < 0)
		return;
	counts.swap_ins = guest.swap_in;
	counts.refaults = guest.refault_file;
	for (unsigned i = 0; (store = swap_store_find(vm, i)); i++) {
		const struct swap_counters *stored = swap_store_counters(store);

		counts.fetches += atomic_load(&stored->fetches);
		counts.fetch_ns += atomic_load(&stored->fetch_ns);
		counts.has_store = true;
	}
	broker_misses_update(&broker->misses, &counts);
}

/* What the guest says (SymSpy), which is a claim. Without it, the VM wants what it has. */
static void demand_ask(struct vm_broker *broker, const struct virtio_mem_state *mem, uint64_t slots,
		       struct accounts_demand *demand)
{
	struct vm *vm = broker->device.vm;
	uint64_t total = vm->memory.ram_size + mem->plugged, available, need;
	struct sym_spy_vm_guest guest;

	demand->want = demand->held;
	if (!mem->driver)
		demand->want = broker->join.min;
	if (!vm->symbiotic || sym_vm_spy_read(vm->symbiotic, &guest) < 0 || !guest.mem_total)
		return;
	available = u64_min(guest.mem_available, total);
	if (available > keep_bytes(total))
		demand->idle = u64_min(available - keep_bytes(total), mem->plugged);
	if (!mem->driver)
		return;
	need = total - available + keep_bytes(total);
	if (guest.swap_free < guest.swap_total)
		need += u64_min(guest.swap_total - guest.swap_free, ACCOUNTS_BYTES_MAX);
	demand->want = u64_min(u64_max(broker->own + slots + need, broker->join.min),
			       broker->join.max);
}

/* Keeps the VM to its lease, and says in @demand what it holds and wants. */
static void lease_apply(struct vm_broker *broker, struct accounts_demand *demand)
{
	struct vm *vm = broker->device.vm;
	uint64_t slots = slot_bytes(vm), fixed = broker->own + vm->memory.ram_size + slots;
	struct virtio_mem_state mem = {0};

	virtio_mem_lease(vm, broker->lease.bytes > fixed ? broker->lease.bytes - fixed : 0);
	virtio_mem_get(vm, &mem);
	if (mem.requested == mem.plugged || mem.plugged != broker->last_plugged)
		broker->stalled_ticks = 0;
	else if (++broker->stalled_ticks % TICKS_A_SECOND == 0)
		virtio_mem_remind(vm);
	broker->last_plugged = mem.plugged;
	*demand = (struct accounts_demand){
		.held = fixed + u64_max(mem.requested, mem.plugged),
		.serial = broker->lease.serial,
		.swap_ins = broker->misses.swap_ins,
		.refaults = broker->misses.refaults,
		.miss_ns = broker->misses.miss_ns,
	};
	demand_ask(broker, &mem, slots, demand);
}

/* Tells the broker, if something changed or a second is over. */
static void demand_send(struct vm_broker *broker, bool regular)
{
	struct accounts_demand demand;
	bool news;

	if (regular)
		misses_count(broker);
	pthread_mutex_lock(&broker->lock);
	lease_apply(broker, &demand);
	news = demand.held != broker->demand.held || demand.serial != broker->demand.serial;
	broker->demand = demand;
	pthread_mutex_unlock(&broker->lock);
	if (broker->joined && (news || regular))
		broker_link_send(broker->link, message_demand_line(&demand));
}

static void line_arrived(void *opaque, const char *line, size_t length)
{
	struct vm_broker *broker = opaque;
	struct log *log = &broker->device.vm->log;
	struct message_lease lease;
	int status = message_lease_read(line, length, &lease, &broker->words);

	if (status < 0) {
		broker->refusal = status;
		if (broker->timer)
			log_limited(log, LOG_LEVEL_WARN, "broker: %s", broker->words.text);
		broker_link_drop(broker->link);
		return;
	}
	pthread_mutex_lock(&broker->lock);
	broker->joined = true;
	broker->leases += lease.bytes != broker->lease.bytes;
	broker->lease = lease;
	pthread_mutex_unlock(&broker->lock);
	if (broker->timer)
		demand_send(broker, false);
}

static void join_send(void *opaque)
{
	struct vm_broker *broker = opaque;

	broker->join.held = broker->demand.held;
	broker_link_send(broker->link, message_join_line(&broker->join));
}

static void link_lost(void *opaque)
{
	struct vm_broker *broker = opaque;

	if (broker->joined)
		log_limited(&broker->device.vm->log, LOG_LEVEL_WARN,
			    "broker: the connection is lost; this VM keeps its %llu MiB",
			    (unsigned long long)(broker->lease.bytes / MIB));
	pthread_mutex_lock(&broker->lock);
	broker->joined = false;
	pthread_mutex_unlock(&broker->lock);
}

static const struct broker_link_ops link_ops = {
	.line = line_arrived,
	.connected = join_send,
	.lost = link_lost,
};

static void timer_arrived(void *opaque, uint32_t events)
{
	struct vm_broker *broker = opaque;
	uint64_t count;

	if (read(broker->timer_fd, &count, sizeof(count)) != (ssize_t)sizeof(count))
		return;
	broker->ticks++;
	if (!broker_link_is_connected(broker->link) && broker->ticks % TICKS_A_SECOND == 0)
		broker_link_retry(broker->link);
	demand_send(broker, broker->ticks % TICKS_A_SECOND == 0);
}

/* Waits until the broker gives the VM its min, or says why it does not. */
static int join_wait(struct vm_broker *broker, struct error *err)
{
	int status;

	broker_link_send(broker->link, message_join_line(&broker->join));
	status = broker_link_wait(broker->link, JOIN_MS);
	if (status < 0)
		return error_set_errno(err, status, "--broker: no answer from '%s'", broker->path);
	if (broker->refusal < 0)
		return error_set(err, broker->refusal, "--broker: %.400s", broker->words.text);
	return 0;
}

static int timer_start(struct vm_broker *broker, struct error *err)
{
	const struct itimerspec tick = {.it_value.tv_nsec = TICK_NS,
					.it_interval.tv_nsec = TICK_NS};
	struct vm *vm = broker->device.vm;

	broker->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (broker->timer_fd < 0 || timerfd_settime(broker->timer_fd, 0, &tick, NULL) < 0)
		return error_set_errno(err, -errno, "--broker: cannot create a timer");
	broker->timer = event_loop_add(vm->main_loop, broker->timer_fd, EPOLLIN, timer_arrived,
				       broker);
	if (!broker->timer || broker_link_watch(broker->link, vm->main_loop) < 0)
		return error_set(err, -ENOMEM, "--broker: out of memory");
	return 0;
}

static void join_fill(struct vm_broker *broker, struct vm *vm)
{
	const struct memory_config *memory = &vm->config.memory;
	uint64_t max = u64_max(memory->max, memory->size);
	struct virtio_mem_state mem = {0};

	virtio_mem_get(vm, &mem);
	broker->own = OWN_BASE + max / OWN_PART;
	broker->join = (struct message_request){
		.min = broker->own + u64_max(memory->min, memory->size + first_block(&mem)) +
		       slots_most(vm),
		.max = broker->own + max + slots_most(vm),
		.weight = vm->config.weight ? vm->config.weight : WEIGHT_USUAL,
	};
	snprintf(broker->join.name, sizeof(broker->join.name), "%s", vm->config.name);
	broker->demand.held = broker->own + memory->size;
}

static int broker_start(struct vm_broker *broker, const char *path, struct error *err)
{
	int status;

	broker->path = strdup(path);
	if (!broker->path)
		return error_set(err, -ENOMEM, "--broker: out of memory");
	status = broker_link_create(path, &link_ops, broker, &broker->link, err);
	if (status == 0)
		status = join_wait(broker, err);
	return status == 0 ? timer_start(broker, err) : status;
}

static void broker_destroy(struct device *device)
{
	struct vm_broker *broker = container_of(device, struct vm_broker, device);

	event_source_remove(broker->timer);
	if (broker->timer_fd >= 0)
		close(broker->timer_fd);
	broker_link_destroy(broker->link);
	pthread_mutex_destroy(&broker->lock);
	free(broker->path);
	free(broker);
}

static int broker_create(struct vm *vm, const char *path, struct error *err)
{
	struct vm_broker *broker;

	if (broker_find(vm))
		return error_set(err, -EINVAL, "--broker: given twice");
	if (vm->config.memory.huge_pages)
		return error_set(err, -EINVAL,
				 "--broker: not with --memory huge: the pages of the pool are "
				 "taken before");
	broker = calloc(1, sizeof(*broker));
	if (!broker)
		return error_set(err, -ENOMEM, "--broker: out of memory");
	broker->timer_fd = -1;
	pthread_mutex_init(&broker->lock, NULL);
	device_add(vm, &broker->device, &broker_ops, "broker", false);
	join_fill(broker, vm);
	return broker_start(broker, path, err);
}

static void broker_reset(struct device *device)
{
}

static int broker_save(struct device *device, struct serialize_writer *writer)
{
	return 0;
}

static int broker_load(struct device *device, struct serialize_reader *reader, uint32_t version)
{
	return 0;
}

/* The lease is the host's, not the guest's: nothing of it is saved. */
static const struct device_ops broker_ops = {
	.name = "broker",
	.version = 1,
	.reset = broker_reset,
	.destroy = broker_destroy,
	.save = broker_save,
	.load = broker_load,
};

static const struct device_class broker_class = {
	.option = "broker",
	.argument = "SOCKET",
	.help = "Join the broker (symvm broker) on this socket, which decides how much of the "
		"host's "
		"memory the VM has, between min and max of --memory",
	.order = 1000, /* the last one: a VM that is refused has begun nothing */
	.create = broker_create,
};
DEVICE_CLASS(broker_class);

static void broker_info(struct vm *vm, json_t *object)
{
	struct vm_broker *broker = broker_find(vm);
	json_t *all;

	if (!broker)
		return;
	pthread_mutex_lock(&broker->lock);
	all = json_pack(
		"{s:s, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "socket",
		broker->path, "connected", broker->joined, "lease_bytes",
		(json_int_t)broker->lease.bytes, "held_bytes", (json_int_t)broker->demand.held,
		"want_bytes", (json_int_t)broker->demand.want, "idle_bytes",
		(json_int_t)broker->demand.idle, "min_bytes", (json_int_t)broker->join.min,
		"max_bytes", (json_int_t)broker->join.max, "weight",
		(json_int_t)broker->join.weight, "changes", (json_int_t)broker->leases, "swap_ins",
		(json_int_t)broker->demand.swap_ins, "refaults",
		(json_int_t)broker->demand.refaults, "miss_ns", (json_int_t)broker->demand.miss_ns);
	pthread_mutex_unlock(&broker->lock);
	if (all)
		json_object_update(object, all);
	json_decref(all);
}

static void gauge_write(struct vm *vm, FILE *out, const char *name, const char *help, double value)
{
	metrics_family(out, name, "gauge", help);
	metrics_sample(out, vm, name, value, NULL);
}

static void broker_metrics(struct vm *vm, FILE *out)
{
	struct vm_broker *broker = broker_find(vm);

	if (!broker)
		return;
	pthread_mutex_lock(&broker->lock);
	gauge_write(vm, out, "symvm_broker_connected", "1 while the VM has joined its broker.",
		    broker->joined);
	gauge_write(vm, out, "symvm_broker_lease_bytes", "Host memory that the broker leases.",
		    (double)broker->lease.bytes);
	gauge_write(vm, out, "symvm_broker_held_bytes", "Host memory that the VM may use now.",
		    (double)broker->demand.held);
	gauge_write(vm, out, "symvm_broker_want_bytes", "Host memory that the VM could use.",
		    (double)broker->demand.want);
	gauge_write(vm, out, "symvm_broker_idle_bytes", "Memory that the guest could give back.",
		    (double)broker->demand.idle);
	pthread_mutex_unlock(&broker->lock);
}

static const struct report broker_report = {
	.name = "broker",
	.info = broker_info,
	.metrics = broker_metrics,
};
REPORT(broker_report);
