// SPDX-License-Identifier: BSD-2-Clause
#include "swap/store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "jail/jail.h"
#include "swap/store/huge_pages.h"
#include "swap/store/store_internal.h"
#include "util/u64.h"

#define MIB	    (1ull << 20)
#define SLOTS_ALIGN (2 * MIB)
#define HUGE_PAGES  "/sys/kernel/mm/transparent_hugepage"

static int config_check(const struct swap_config *config, struct error *err)
{
	if (config->size < SWAP_SIZE_MINIMUM || config->size > SWAP_SIZE_MAXIMUM)
		return error_set(err, -EINVAL, "--swap: size=%llu is not from %llu MiB to %llu GiB",
				 (unsigned long long)config->size,
				 (unsigned long long)(SWAP_SIZE_MINIMUM >> 20),
				 (unsigned long long)(SWAP_SIZE_MAXIMUM >> 30));
	if (config->size % MIB)
		return error_set(err, -EINVAL, "--swap: size=%llu is not a multiple of 1 MiB",
				 (unsigned long long)config->size);
	if (config->budget &&
	    (config->budget < SWAP_BUDGET_MINIMUM || config->budget > SWAP_SIZE_MAXIMUM))
		return error_set(err, -EINVAL,
				 "--swap: memory=%llu is not from %llu MiB to %llu GiB",
				 (unsigned long long)config->budget,
				 (unsigned long long)(SWAP_BUDGET_MINIMUM >> 20),
				 (unsigned long long)(SWAP_SIZE_MAXIMUM >> 30));
	return 0;
}

/* Huge pages behind the memfd would cost the host more than is counted. */
static void huge_pages_warn(const struct swap_store *store)
{
	char name[64];

	if (swap_huge_pages_find(HUGE_PAGES, name, sizeof(name)))
		log_warn(store->log,
			 "swap%u: the host gives huge pages to shared memory (" HUGE_PAGES
			 "/%s): the budget will be kept only roughly",
			 store->config.index, name);
}

/* The window: header, words, slots. Only header and words are mapped here. */
static int window_create(struct swap_store *store, struct error *err)
{
	struct sym_swap_header *header;

	store->slot_count = (uint32_t)(store->config.size / SLOT_SIZE);
	store->words_offset = SYM_PAGE_SIZE;
	store->slots_offset = u64_round_up(
		store->words_offset + store->slot_count * sizeof(uint32_t), SLOTS_ALIGN);
	store->window_size = store->slots_offset + store->config.size;
	store->fd = memfd_create("symvm-swap", MFD_CLOEXEC);
	if (store->fd < 0)
		return error_set_errno(err, -errno, "--swap: memfd_create");
	if (ftruncate(store->fd, (off_t)store->window_size) < 0)
		return error_set_errno(err, -errno, "--swap: cannot size the memfd to %llu MiB",
				       (unsigned long long)(store->window_size >> 20));
	header = mmap(NULL, store->slots_offset, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE,
		      store->fd, 0);
	if (header == MAP_FAILED)
		return error_set_errno(err, -errno, "--swap: mmap");
	madvise(header, store->slots_offset, MADV_DONTDUMP);
	huge_pages_warn(store);
	store->header = header;
	store->words = (uint32_t *)((uint8_t *)header + store->words_offset);
	return 0;
}

static void header_fill(struct swap_store *store)
{
	struct sym_swap_header *header = store->header;
	uint32_t epoch = header->policy_epoch;

	*header = (struct sym_swap_header){
		.magic = SYM_SWAP_MAGIC,
		.version = SYM_ABI_VERSION,
		.index = store->config.index,
		.size = store->window_size,
		.slots = store->slot_count,
		.words_offset = store->words_offset,
		.slots_offset = store->slots_offset,
		.verdicts = store->verdicts,
		.policy_epoch = epoch + 1,
	};
}

static int memory_create(struct swap_store *store)
{
	store->group_count = (store->slot_count + GROUP_SLOTS - 1) / GROUP_SLOTS;
	store->slots = calloc(store->slot_count, sizeof(*store->slots));
	store->groups = calloc(store->group_count, sizeof(*store->groups));
	store->arena = arena_create(store->config.size);
	store->evictor = swap_evictor_create(&store->codec);
	store->sync_evictor = swap_evictor_create(&store->codec);
	return store->slots && store->groups && store->arena && store->evictor &&
			       store->sync_evictor
		       ? 0
		       : -ENOMEM;
}

int swap_store_create(const struct swap_config *config, struct log *log, struct swap_store **out,
		      struct error *err)
{
	struct swap_store *store;
	int status = config_check(config, err);

	if (status < 0)
		return status;
	store = calloc(1, sizeof(*store));
	if (!store)
		return error_set(err, -ENOMEM, "--swap: out of memory");
	store->config = *config;
	store->log = log;
	store->fd = store->uffd = store->stop_fd = -1;
	pthread_mutex_init(&store->lock, NULL);
	pthread_mutex_init(&store->sync_lock, NULL);
	pthread_mutex_init(&store->event_lock, NULL);
	pthread_cond_init(&store->work, NULL);
	pthread_cond_init(&store->room, NULL);
	pthread_cond_init(&store->io, NULL);
	pthread_cond_init(&store->event_added, NULL);
	status = swap_codec_load(config->codec, &store->codec, err);
	if (status == 0)
		status = window_create(store, err);
	if (status == 0 && memory_create(store) < 0)
		status = error_set(err, -ENOMEM, "--swap: out of memory for %u slots",
				   store->slot_count);
	if (status == 0 && config->spill)
		status = spill_open(config->spill, store->slot_count, &store->spill, err);
	store->config.spill = config->spill ? strdup(config->spill) : NULL;
	if (status < 0) {
		swap_store_destroy(store);
		return status;
	}
	header_fill(store);
	swap_store_set_budget(store, config->budget ? config->budget : config->size, NULL);
	*out = store;
	return 0;
}

int swap_store_window_fd(const struct swap_store *store, struct error *err)
{
	int fd = fcntl(store->fd, F_DUPFD_CLOEXEC, 0);

	return fd < 0 ? error_set_errno(err, -errno, "--swap: cannot duplicate the memfd") : fd;
}

uint64_t swap_store_window_size(const struct swap_store *store)
{
	return store->window_size;
}

static void threads_stop(struct swap_store *store)
{
	uint64_t one = 1;

	store->stopping = true;
	swap_lock(store);
	pthread_cond_broadcast(&store->work);
	pthread_cond_broadcast(&store->room);
	pthread_cond_broadcast(&store->io);
	swap_unlock(store);
	pthread_mutex_lock(&store->event_lock);
	pthread_cond_broadcast(&store->event_added);
	pthread_mutex_unlock(&store->event_lock);
	if (store->spill && store->spill->ops->stop)
		store->spill->ops->stop(store->spill);
	if (store->stop_fd >= 0 && write(store->stop_fd, &one, sizeof(one)) < 0)
		log_error(store->log, "swap%u: cannot stop its threads", store->config.index);
	while (store->thread_count)
		pthread_join(store->threads[--store->thread_count], NULL);
}

void swap_store_destroy(struct swap_store *store)
{
	if (!store)
		return;
	threads_stop(store);
	if (store->spill)
		store->spill->ops->close(store->spill);
	if (store->header)
		munmap(store->header, store->slots_offset);
	if (store->uffd >= 0)
		close(store->uffd);
	if (store->stop_fd >= 0)
		close(store->stop_fd);
	if (store->fd >= 0)
		close(store->fd);
	swap_evictor_destroy(store->evictor);
	swap_evictor_destroy(store->sync_evictor);
	arena_destroy(store->arena);
	free(store->slots);
	free(store->groups);
	free((char *)store->config.spill);
	pthread_mutex_destroy(&store->lock);
	pthread_mutex_destroy(&store->sync_lock);
	pthread_mutex_destroy(&store->event_lock);
	pthread_cond_destroy(&store->work);
	pthread_cond_destroy(&store->room);
	pthread_cond_destroy(&store->io);
	pthread_cond_destroy(&store->event_added);
	free(store);
}

static int thread_start(struct swap_store *store, void *(*function)(void *), struct error *err)
{
	int status = -pthread_create(&store->threads[store->thread_count], NULL, function, store);

	if (status < 0)
		return error_set_errno(err, status, "--swap: pthread_create");
	store->thread_count++;
	return 0;
}

int swap_store_start(struct swap_store *store, struct jail *jail, struct error *err)
{
	int status;

	store->jail = jail;
	store->stop_fd = eventfd(0, EFD_CLOEXEC);
	if (store->stop_fd < 0)
		return error_set_errno(err, -errno, "--swap: eventfd");
	status = thread_start(store, swap_scan_thread, err);
	if (status == 0 && store->uffd >= 0)
		status = thread_start(store, swap_uffd_event_thread, err);
	if (status == 0 && store->uffd >= 0)
		status = thread_start(store, swap_uffd_fault_thread, err);
	for (unsigned i = 0; status == 0 && store->spill && i < store->spill->lanes; i++)
		status = thread_start(store, swap_writeback_thread, err);
	if (status < 0)
		return status;
	swap_lock(store);
	while (store->threads_entered < store->thread_count)
		pthread_cond_wait(&store->room, &store->lock);
	if (store->threads_failed)
		status = error_set(err, -EPERM, "--swap: %u of its %u threads could not start",
				   store->threads_failed, store->thread_count);
	swap_unlock(store);
	return status;
}

/* Forgets contents and pages of a group; the caller punches them. */
static void group_reset_locked(struct swap_store *store, uint32_t group)
{
	uint32_t slot = group * GROUP_SLOTS, end = slot + GROUP_SLOTS;
	bool populated = store->groups[group].populated;

	if (!populated && !store->groups[group].stored)
		return;
	end = end < store->slot_count ? end : store->slot_count;
	for (; slot < end; slot++) {
		swap_copy_drop_locked(store, slot);
		if (populated)
			store->slots[slot].flags &= SLOT_IO | SLOT_STALE | SLOT_BUSY;
	}
	store->groups[group].populated = 0;
}

void swap_store_reset(struct swap_store *store)
{
	swap_lock(store);
	for (uint32_t group = 0; group < store->group_count; group++)
		group_reset_locked(store, group);
	store->fetch_count = 0;
	/* Punched rather than written: words of slots that were never used stay without a page. */
	fallocate(store->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)store->words_offset,
		  (off_t)(store->window_size - store->words_offset));
	store->resident = 0;
	for (unsigned state = 0; state < SWAP_STATES; state++)
		store->states[state] = 0;
	store->ring_count = 0;
	store->full = false;
	header_fill(store);
	swap_pressure_update_locked(store);
	swap_unlock(store);
}

void swap_store_set_verdicts(struct swap_store *store, uint32_t verdicts)
{
	swap_lock(store);
	store->verdicts = verdicts;
	__atomic_store_n(&store->header->verdicts, verdicts, __ATOMIC_RELAXED);
	__atomic_fetch_add(&store->header->policy_epoch, 1, __ATOMIC_RELEASE);
	swap_unlock(store);
}

uint32_t swap_store_verdicts(const struct swap_store *store)
{
	return store->verdicts;
}

int swap_store_set_budget(struct swap_store *store, uint64_t budget, struct error *err)
{
	uint64_t unit;

	if (budget < SWAP_BUDGET_MINIMUM || budget > SWAP_SIZE_MAXIMUM)
		return error_set(
			err, -EINVAL, "budget: %llu bytes are not from %llu MiB to %llu GiB",
			(unsigned long long)budget, (unsigned long long)(SWAP_BUDGET_MINIMUM >> 20),
			(unsigned long long)(SWAP_SIZE_MAXIMUM >> 30));
	swap_lock(store);
	store->budget = budget / SLOT_SIZE;
	unit = store->budget / 64;
	store->unit = unit < 16 ? 16 : unit > 512 ? 512 : unit;
	store->ceiling = store->budget;
	if (swap_used_locked(store) > store->ceiling)
		store->ceiling = swap_used_locked(store);
	swap_pressure_update_locked(store);
	swap_unlock(store);
	return 0;
}

void swap_store_usage(struct swap_store *store, struct swap_usage *usage)
{
	*usage = (struct swap_usage){.size = store->config.size};
	usage->budget = store->budget * SLOT_SIZE;
	usage->resident = store->resident * SLOT_SIZE;
	usage->compressed = arena_pages(store->arena) * SLOT_SIZE;
	usage->spilled = store->spilled * SLOT_SIZE;
	usage->full = store->full;
	/* Slots that the scan skips hold nothing. */
	usage->states[SYM_SLOT_FREE] = store->slot_count;
	for (unsigned state = SYM_SLOT_FREE + 1; state < SWAP_STATES; state++) {
		uint64_t left = usage->states[SYM_SLOT_FREE], count = store->states[state];

		usage->states[state] = count < left ? count : left;
		usage->states[SYM_SLOT_FREE] -= usage->states[state];
	}
	usage->mapped = usage->states[SYM_SLOT_MAPPED] * SLOT_SIZE;
}

uint64_t swap_store_used(struct swap_store *store)
{
	return swap_used_locked(store) * SLOT_SIZE;
}

uint64_t swap_store_budget(struct swap_store *store)
{
	return store->budget * SLOT_SIZE;
}

const struct swap_counters *swap_store_counters(const struct swap_store *store)
{
	return &store->counters;
}

const struct swap_config *swap_store_config(const struct swap_store *store)
{
	return &store->config;
}
