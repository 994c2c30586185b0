// SPDX-License-Identifier: BSD-2-Clause
#include "memory/memory_lost.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "util/event_loop.h"

#define PAGE_SIZE 4096ull

struct memory_watch {
	const struct guest_memory *memory;
	struct event_loop *loop;
	struct event_source *source;
	int event;
	_Atomic bool lost;
	void (*report)(void *opaque);
	void *opaque;
};

/* A signal handler gets no argument of ours, so it finds its data by this pointer. */
static struct memory_watch *_Atomic watched;

/* The region that contains @address, or NULL. */
static const struct memory_region *region_of(const struct guest_memory *memory,
					     const uint8_t *address)
{
	for (unsigned i = 0; i < memory->count; i++)
		if (address >= memory->regions[i].hva &&
		    address < memory->regions[i].hva + memory->regions[i].size)
			return &memory->regions[i];
	return NULL;
}

/* Async-signal-safe. False if the page is not guest memory, or cannot be replaced. */
static bool page_replace(struct memory_watch *watch, uint8_t *address)
{
	const struct memory_region *region = region_of(watch->memory, address);
	uint64_t page, one = 1;

	if (!region)
		return false;
	page = watch->memory->reserved && region->ram ? MEMORY_HUGE_PAGE_SIZE : PAGE_SIZE;
	address = region->hva + (uint64_t)(address - region->hva) / page * page;
	if (mmap(address, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
		 0) == MAP_FAILED)
		return false;
	atomic_store(&watch->lost, true);
	return write(watch->event, &one, sizeof(one)) == sizeof(one);
}

static void bus_error(int signal, siginfo_t *info, void *context)
{
	static const char words[] = "symvm: error: the host could not give memory that symvm "
				    "itself uses (SIGBUS)\n";
	struct memory_watch *watch = atomic_load(&watched);
	int error = errno;

	(void)signal;
	(void)context;
	if (watch && info->si_code > 0 && page_replace(watch, info->si_addr)) {
		errno = error;
		return;
	}
	if (write(STDERR_FILENO, words, sizeof(words) - 1) < 0)
		_exit(EXIT_FAILURE);
	_exit(EXIT_FAILURE);
}

static void event_arrived(void *opaque, uint32_t events)
{
	struct memory_watch *watch = opaque;
	uint64_t count;

	(void)events;
	if (read(watch->event, &count, sizeof(count)) == sizeof(count))
		watch->report(watch->opaque);
}

static void watch_free(struct memory_watch *watch)
{
	if (watch->source)
		event_source_remove(watch->source);
	if (watch->event >= 0)
		close(watch->event);
	free(watch);
}

int memory_lost_watch(struct guest_memory *memory, struct event_loop *loop,
		      void (*report)(void *opaque), void *opaque, struct error *err)
{
	struct sigaction action = {.sa_sigaction = bus_error, .sa_flags = SA_SIGINFO};
	struct memory_watch *watch = calloc(1, sizeof(*watch)), *none = NULL;
	int status = 0;

	if (!watch)
		return error_set(err, -ENOMEM, "memory: out of memory");
	watch->memory = memory;
	watch->report = report;
	watch->opaque = opaque;
	watch->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (watch->event >= 0)
		watch->source = event_loop_add(loop, watch->event, EPOLLIN, event_arrived, watch);
	sigemptyset(&action.sa_mask);
	if (!watch->source || sigaction(SIGBUS, &action, NULL) < 0)
		status = -errno;
	else if (!atomic_compare_exchange_strong(&watched, &none, watch))
		status = -EBUSY;
	if (status < 0) {
		watch_free(watch);
		return error_set_errno(err, status, "memory: cannot watch for SIGBUS");
	}
	memory->watch = watch;
	return 0;
}

void memory_lost_forget(struct guest_memory *memory)
{
	struct memory_watch *watch = memory->watch;

	if (!watch)
		return;
	memory->watch = NULL;
	atomic_store(&watched, NULL);
	watch_free(watch);
}

bool memory_lost(const struct guest_memory *memory)
{
	return memory->watch && atomic_load(&memory->watch->lost);
}

int memory_lost_explain(struct error *err)
{
	return error_set(err, -ENOMEM,
			 "memory: the host has no memory left for a page of the guest's RAM");
}
