// SPDX-License-Identifier: BSD-2-Clause
#include "util/watchdog.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "util/clock.h"

struct watchdog {
	struct watchdog_config config;
	pthread_t thread;
	int wake_fd;
	_Atomic uint64_t end_ns; /* UINT64_MAX: not armed */
	_Atomic(const char *) phase;
	_Atomic bool quit;
	pthread_mutex_t lock; /* of watchdog_call() alone; guards the members below */
	pthread_cond_t called;
	int (*function)(void *opaque);
	void *opaque;
	int result;
};

static void watchdog_wake(struct watchdog *watchdog)
{
	const uint64_t one = 1;

	/* A full counter means that the thread is awake already. */
	if (write(watchdog->wake_fd, &one, sizeof(one)) < 0)
		return;
}

/* For poll(): -1 while nothing is armed. */
static int left_ms(const struct watchdog *watchdog)
{
	uint64_t end = atomic_load(&watchdog->end_ns), now = clock_now_ns(), left;

	if (end == UINT64_MAX)
		return -1;
	left = end > now ? (end - now + NS_PER_MS - 1) / NS_PER_MS : 0;
	return left > INT_MAX ? INT_MAX : (int)left;
}

static void run_called(struct watchdog *watchdog)
{
	uint64_t count;

	if (read(watchdog->wake_fd, &count, sizeof(count)) < 0)
		return;
	pthread_mutex_lock(&watchdog->lock);
	if (watchdog->function) {
		watchdog->result = watchdog->function(watchdog->opaque);
		watchdog->function = NULL;
		pthread_cond_signal(&watchdog->called);
	}
	pthread_mutex_unlock(&watchdog->lock);
}

static void *watchdog_thread(void *opaque)
{
	struct watchdog *watchdog = opaque;
	struct signalfd_siginfo info;
	struct pollfd fds[] = {
		{.fd = watchdog->wake_fd, .events = POLLIN},
		{.fd = watchdog->config.signal_fd, .events = POLLIN},
	};

	pthread_setname_np(pthread_self(), "watchdog");
	while (!atomic_load(&watchdog->quit)) {
		int left = left_ms(watchdog);

		if (left == 0) {
			watchdog->config.expired(watchdog->config.opaque,
						 atomic_load(&watchdog->phase));
			return NULL;
		}
		if (poll(fds, 2, left) <= 0)
			continue;
		if (fds[0].revents)
			run_called(watchdog);
		if (fds[1].revents &&
		    read(watchdog->config.signal_fd, &info, sizeof(info)) == sizeof(info))
			watchdog->config.signalled(watchdog->config.opaque, info.ssi_signo);
	}
	return NULL;
}

int watchdog_create(const struct watchdog_config *config, struct watchdog **out)
{
	struct watchdog *watchdog = calloc(1, sizeof(*watchdog));
	int status;

	if (!watchdog)
		return -ENOMEM;
	watchdog->config = *config;
	atomic_store(&watchdog->end_ns, UINT64_MAX);
	pthread_mutex_init(&watchdog->lock, NULL);
	pthread_cond_init(&watchdog->called, NULL);
	watchdog->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	status = watchdog->wake_fd < 0 ? -errno : 0;
	if (status == 0)
		status = -pthread_create(&watchdog->thread, NULL, watchdog_thread, watchdog);
	if (status < 0) {
		if (watchdog->wake_fd >= 0)
			close(watchdog->wake_fd);
		free(watchdog);
		return status;
	}
	*out = watchdog;
	return 0;
}

void watchdog_destroy(struct watchdog *watchdog)
{
	if (!watchdog)
		return;
	atomic_store(&watchdog->quit, true);
	watchdog_wake(watchdog);
	pthread_join(watchdog->thread, NULL);
	close(watchdog->wake_fd);
	pthread_mutex_destroy(&watchdog->lock);
	pthread_cond_destroy(&watchdog->called);
	free(watchdog);
}

int watchdog_call(struct watchdog *watchdog, int (*function)(void *opaque), void *opaque)
{
	int result;

	pthread_mutex_lock(&watchdog->lock);
	watchdog->function = function;
	watchdog->opaque = opaque;
	watchdog_wake(watchdog);
	while (watchdog->function)
		pthread_cond_wait(&watchdog->called, &watchdog->lock);
	result = watchdog->result;
	pthread_mutex_unlock(&watchdog->lock);
	return result;
}

void watchdog_arm(struct watchdog *watchdog, uint64_t ms)
{
	uint64_t end = clock_now_ns() + ms * NS_PER_MS;
	uint64_t old = atomic_load(&watchdog->end_ns);

	while (end < old && !atomic_compare_exchange_weak(&watchdog->end_ns, &old, end))
		;
	watchdog_wake(watchdog);
}

void watchdog_phase(struct watchdog *watchdog, const char *phase)
{
	if (watchdog)
		atomic_store(&watchdog->phase, phase);
}
