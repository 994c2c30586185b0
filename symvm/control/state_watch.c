// SPDX-License-Identifier: BSD-2-Clause
#include "control/state_watch.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "util/log.h"
#include "util/event_loop.h"

#define PERIOD_S 10

struct state_watch {
	const struct state_name *name;
	struct log *log;
	int timer_fd;
	struct event_source *source;
	bool missed; /* logged already */
};

static void state_look(void *opaque, uint32_t events)
{
	struct state_watch *watch = opaque;
	uint64_t expirations;
	bool present;

	if (read(watch->timer_fd, &expirations, sizeof(expirations)) < 0)
		return;
	present = state_name_is_present(watch->name);
	if (!present && !watch->missed)
		log_warn(watch->log,
			 "the state files at %s were removed: other commands cannot reach this VM; "
			 "SIGTERM to process %d stops it",
			 watch->name->address.sun_path, (int)getpid());
	watch->missed = !present;
}

int state_watch_create(struct event_loop *loop, struct state_name *name, struct log *log,
		       struct state_watch **out, struct error *err)
{
	const struct itimerspec period = {
		.it_interval.tv_sec = PERIOD_S,
		.it_value.tv_sec = PERIOD_S,
	};
	struct state_watch *watch = calloc(1, sizeof(*watch));

	if (!watch)
		return error_set(err, -ENOMEM, "state files: out of memory");
	state_name_watch(name);
	watch->name = name;
	watch->log = log;
	watch->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (watch->timer_fd >= 0 && timerfd_settime(watch->timer_fd, 0, &period, NULL) == 0)
		watch->source = event_loop_add(loop, watch->timer_fd, EPOLLIN, state_look, watch);
	if (!watch->source) {
		state_watch_destroy(watch);
		return error_set(err, -ENOMEM, "state files: no timer");
	}
	if (state_dir_ends_at_logout(name))
		log_warn(log,
			 "%s is removed when you log out, and this VM can then be stopped by a "
			 "signal only; 'loginctl enable-linger' or SYMVM_RUNTIME_DIR prevents that",
			 name->address.sun_path);
	*out = watch;
	return 0;
}

void state_watch_destroy(struct state_watch *watch)
{
	if (!watch)
		return;
	event_source_remove(watch->source);
	if (watch->timer_fd >= 0)
		close(watch->timer_fd);
	free(watch);
}
