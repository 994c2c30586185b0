// SPDX-License-Identifier: BSD-2-Clause
/*
 * Publishes to the guest through SymSpy, once a second and without an exit. This file adds the
 * host's load and its shortage of memory. Other publishers add their own data (machine/publish.h).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>
#include <symbiotic/symcall.h>

#include "machine/publish.h"
#include "machine/service.h"
#include "machine/vm.h"
#include "util/psi.h"
#include "util/text_file.h"

#define PUBLISH_SECONDS 1

/* The files stay open, because inside the jail nothing can be opened any more. */
struct publish {
	struct vm *vm;
	int timer_fd;
	int load_fd;
	int pressure_fd; /* -1 if the host's kernel has no PSI */
	uint32_t host_cpus;
	struct event_source *source;
};

static const struct service_ops publish_ops;

static void fill_host(struct vm *vm, struct sym_publication *publication)
{
	struct publish *publish = service_find(vm, &publish_ops);
	struct psi pressure;
	char text[128];

	if (!publish)
		return;
	/* With --publish-host no the files are not open, and all values stay 0. */
	publication->host_cpus = publish->host_cpus;
	if (text_file_read_fd(publish->load_fd, text, sizeof(text)) > 0)
		publication->host_load = psi_hundredths(text);
	pressure = psi_read(publish->pressure_fd);
	publication->psi_some = pressure.some;
	publication->psi_full = pressure.full;
}

static const struct publisher host_publisher = {.name = "host", .fill = fill_host};
PUBLISHER(host_publisher);

static void timer_fired(void *opaque, uint32_t events)
{
	struct publish *publish = opaque;
	uint64_t count;

	if (read(publish->timer_fd, &count, sizeof(count)) == (ssize_t)sizeof(count))
		publish_refresh(publish->vm);
}

static void publish_stop(void *state)
{
	struct publish *publish = state;

	event_source_remove(publish->source);
	if (publish->timer_fd >= 0)
		close(publish->timer_fd);
	if (publish->load_fd >= 0)
		close(publish->load_fd);
	if (publish->pressure_fd >= 0)
		close(publish->pressure_fd);
	free(publish);
}

static int publish_start(struct vm *vm, void **state, struct error *err)
{
	const struct itimerspec period = {
		.it_interval.tv_sec = PUBLISH_SECONDS,
		.it_value.tv_sec = PUBLISH_SECONDS,
	};
	struct publish *publish = calloc(1, sizeof(*publish));
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	if (!publish)
		return error_set(err, -ENOMEM, "publishing: out of memory");
	publish->vm = vm;
	publish->load_fd = publish->pressure_fd = -1;
	if (!vm->config.hide_host) {
		publish->host_cpus = cpus > 0 ? (uint32_t)cpus : 0;
		publish->load_fd = open("/proc/loadavg", O_RDONLY | O_CLOEXEC);
		publish->pressure_fd = psi_open(NULL, err);
	}
	publish->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (publish->timer_fd >= 0 && timerfd_settime(publish->timer_fd, 0, &period, NULL) == 0)
		publish->source = event_loop_add(vm->main_loop, publish->timer_fd, EPOLLIN,
						 timer_fired, publish);
	if (!publish->source) {
		publish_stop(publish);
		return error_set(err, -ENOMEM, "publishing: no timer");
	}
	*state = publish;
	return 0;
}

static const struct service_ops publish_ops = {
	.name = "publish",
	.start = publish_start,
	.stop = publish_stop,
};
SERVICE(publish_ops);
