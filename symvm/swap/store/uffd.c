// SPDX-License-Identifier: BSD-2-Clause
/*
 * userfaultfd on the slots in the guest's mapping: a mere access never gets a page there. One
 * thread reads the events and another one backs the slots; neither accesses that mapping. The
 * kernel maps a page that is already in the memfd without an event, so a whole chunk costs one
 * event. Linux Documentation/admin-guide/mm/userfaultfd.rst
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "swap/store/store_internal.h"

#define DEVICE		  "/dev/userfaultfd"
#define IOC_NEW		  _IO(0xAA, 0x00) /* USERFAULTFD_IOC_NEW, Linux 6.1 */
#define EVENTS_AT_ONCE	  16
#define NO_MEMORY_WAIT_MS 20

/* Opens a userfaultfd that also takes faults of the kernel (KVM). -errno. */
static int uffd_open(void)
{
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK), device, status = -errno;

	if (fd >= 0)
		return fd;
	device = open(DEVICE, O_RDWR | O_CLOEXEC);
	if (device < 0)
		return status;
	fd = ioctl(device, IOC_NEW, O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		fd = -errno;
	close(device);
	return fd;
}

int swap_store_guard(struct swap_store *store, void *hva, struct error *err)
{
	struct uffdio_api api = {.api = UFFD_API, .features = UFFD_FEATURE_MISSING_SHMEM};
	struct uffdio_register range = {
		.range = {.start = (uintptr_t)hva + store->slots_offset, .len = store->config.size},
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	int fd = uffd_open();

	if (fd < 0)
		return error_set_errno(err, fd,
				       "--swap: userfaultfd for KVM's accesses (CAP_SYS_PTRACE, "
				       "access to " DEVICE ", or "
				       "sysctl vm.unprivileged_userfaultfd=1; see symvm doctor)");
	store->uffd = fd;
	if (ioctl(fd, UFFDIO_API, &api) < 0)
		return error_set_errno(err, -errno, "--swap: userfaultfd of shared memory");
	if (ioctl(fd, UFFDIO_REGISTER, &range) < 0)
		return error_set_errno(err, -errno, "--swap: userfaultfd on %llu MiB",
				       (unsigned long long)(store->config.size >> 20));
	store->guard_base = range.range.start;
	store->guard_length = range.range.len;
	return 0;
}

static void event_push(struct swap_store *store, uint32_t slot)
{
	pthread_mutex_lock(&store->event_lock);
	/* Each waiting thread has one event. Events that do not fit wait in the kernel. */
	while (store->event_count == EVENT_QUEUE && !store->stopping)
		pthread_cond_wait(&store->event_added, &store->event_lock);
	if (store->event_count < EVENT_QUEUE)
		store->events[(store->event_first + store->event_count++) % EVENT_QUEUE] = slot;
	pthread_cond_broadcast(&store->event_added);
	pthread_mutex_unlock(&store->event_lock);
}

static bool event_pop(struct swap_store *store, uint32_t *slot)
{
	bool got = false;

	pthread_mutex_lock(&store->event_lock);
	while (store->event_count == 0 && !store->stopping)
		pthread_cond_wait(&store->event_added, &store->event_lock);
	if (store->event_count) {
		*slot = store->events[store->event_first];
		store->event_first = (store->event_first + 1) % EVENT_QUEUE;
		store->event_count--;
		pthread_cond_broadcast(&store->event_added);
		got = true;
	}
	pthread_mutex_unlock(&store->event_lock);
	return got;
}

static void events_read(struct swap_store *store)
{
	struct uffd_msg messages[EVENTS_AT_ONCE];
	ssize_t got = read(store->uffd, messages, sizeof(messages));

	for (size_t i = 0; got > 0 && i < (size_t)got / sizeof(messages[0]); i++) {
		uint64_t address = messages[i].arg.pagefault.address;

		if (messages[i].event != UFFD_EVENT_PAGEFAULT || address < store->guard_base ||
		    address - store->guard_base >= store->guard_length)
			continue;
		event_push(store, (uint32_t)((address - store->guard_base) / SLOT_SIZE));
	}
}

void *swap_uffd_event_thread(void *opaque)
{
	struct swap_store *store = opaque;
	struct pollfd polls[2] = {{.fd = store->uffd, .events = POLLIN},
				  {.fd = store->stop_fd, .events = POLLIN}};

	if (!swap_thread_enter(store, "swap-events", true))
		return NULL;
	while (!(polls[1].revents & POLLIN)) {
		if (poll(polls, 2, -1) < 0 && errno != EINTR)
			break;
		if (polls[0].revents & POLLIN)
			events_read(store);
	}
	return NULL;
}

static void waiters_wake(struct swap_store *store, uint32_t first, uint32_t count)
{
	struct uffdio_range range = {
		.start = store->guard_base + (uint64_t)first * SLOT_SIZE,
		.len = (uint64_t)count * SLOT_SIZE,
	};

	if (ioctl(store->uffd, UFFDIO_WAKE, &range) < 0)
		log_limited(store->log, LOG_LEVEL_ERROR, "swap%u: UFFDIO_WAKE: %s",
			    store->config.index, strerror(errno));
}

void *swap_uffd_fault_thread(void *opaque)
{
	const struct timespec pause = {.tv_nsec = NO_MEMORY_WAIT_MS * 1000000};
	struct swap_store *store = opaque;
	uint32_t slot, first, count;

	if (!swap_thread_enter(store, "swap-fault", true))
		return NULL;
	while (event_pop(store, &slot)) {
		first = swap_fault_serve(store, slot, &count);
		while (count == 0 && !store->stopping) {
			nanosleep(&pause, NULL);
			first = swap_fault_serve(store, slot, &count);
		}
		if (count)
			waiters_wake(store, first, count);
	}
	return NULL;
}
