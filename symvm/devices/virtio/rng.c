// SPDX-License-Identifier: BSD-2-Clause
/*
 * virtio-rng (VIRTIO 1.2, 5.4): entropy from the host, at a bounded rate so that a guest cannot
 * keep the I/O loop busy with it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "devices/virtio/core/virtio.h"
#include "machine/vm.h"
#include "util/container_of.h"
#include "util/keyval.h"

#define RNG_QUEUE_SIZE	64u
#define RNG_REQUEST_MAX 4096u	 /* bytes given to one request; less than asked for is fine */
#define RNG_PERIOD_NS	10000000 /* the budget below is for one period of this length */
#define RNG_BUDGET	65536u	 /* bytes a period: 6.4 MB/s */

struct rng {
	struct virtio_device virtio;
	int source_fd; /* -1: getrandom() */
	int timer_fd;
	struct event_source *timer_source;
	bool waiting; /* the budget is used up, the timer runs */
	uint32_t budget;
	_Atomic uint64_t bytes, errors;
};

static struct rng *to_rng(struct virtio_device *device)
{
	return container_of(device, struct rng, virtio);
}

static void timer_arm(struct rng *rng, long ns)
{
	const struct itimerspec when = {.it_value.tv_nsec = ns};

	timerfd_settime(rng->timer_fd, 0, &when, NULL);
	rng->waiting = ns != 0;
}

/* Fills @data. Returns how many bytes were available, or -errno. */
static ssize_t source_read(struct rng *rng, void *data, size_t length)
{
	ssize_t count = rng->source_fd >= 0 ? read(rng->source_fd, data, length)
					    : getrandom(data, length, GRND_NONBLOCK);

	return count < 0 ? -errno : count;
}

/* Answers one request. Returns whether the source gave any bytes. */
static bool request_answer(struct rng *rng, struct virtio_queue *queue, struct virtio_chain *chain)
{
	uint8_t data[RNG_REQUEST_MAX];
	size_t wanted = chain->in_bytes < sizeof(data) ? chain->in_bytes : sizeof(data);
	ssize_t count = wanted ? source_read(rng, data, wanted) : 0;

	if (count == -EAGAIN || count == -EINTR) {
		virtio_queue_unpop(queue, 1);
		return false;
	}
	if (count < 0) {
		atomic_fetch_add(&rng->errors, 1);
		log_limited(&rng->virtio.vm->log, LOG_LEVEL_WARN, "%s: %s", rng->virtio.device.name,
			    strerror((int)-count));
		count = 0;
	}
	virtio_chain_write(chain, 0, data, (size_t)count);
	explicit_bzero(data, sizeof(data));
	virtio_queue_push(queue, chain, (uint32_t)count);
	atomic_fetch_add(&rng->bytes, (uint64_t)count);
	/* An empty request costs something, too. */
	rng->budget -= count < 64 ? 64 : (uint32_t)count;
	return true;
}

static void rng_notified(struct virtio_device *device, struct virtio_queue *queue)
{
	struct iovec iov[RNG_QUEUE_SIZE];
	struct virtio_chain chain = {.iov = iov, .iov_max = RNG_QUEUE_SIZE};
	struct rng *rng = to_rng(device);

	if (rng->waiting)
		return;
	do {
		virtio_queue_notify_disable(queue);
		while (rng->budget >= RNG_REQUEST_MAX && virtio_queue_pop(queue, &chain) > 0)
			if (!request_answer(rng, queue, &chain))
				rng->budget = 0;
		virtio_queue_flush(queue);
		if (rng->budget < RNG_REQUEST_MAX) {
			timer_arm(rng, RNG_PERIOD_NS);
			return;
		}
	} while (virtio_queue_notify_enable(queue));
}

static void timer_fired(void *opaque, uint32_t events)
{
	struct rng *rng = opaque;
	uint64_t count;

	if (read(rng->timer_fd, &count, sizeof(count)) != sizeof(count))
		return;
	rng->waiting = false;
	rng->budget = RNG_BUDGET;
	virtio_queue_run(&rng->virtio.queues[0]);
}

static void rng_reset(struct virtio_device *device)
{
	struct rng *rng = to_rng(device);

	timer_arm(rng, 0);
	rng->budget = RNG_BUDGET;
}

static void rng_free(struct rng *rng)
{
	event_source_remove(rng->timer_source);
	if (rng->timer_fd >= 0)
		close(rng->timer_fd);
	if (rng->source_fd >= 0)
		close(rng->source_fd);
	free(rng);
}

static void rng_destroy(struct virtio_device *device)
{
	rng_free(to_rng(device));
}

static void rng_describe(struct virtio_device *device, json_t *object)
{
	struct rng *rng = to_rng(device);

	json_object_set_new(object, "bytes", json_integer((json_int_t)atomic_load(&rng->bytes)));
	json_object_set_new(object, "errors", json_integer((json_int_t)atomic_load(&rng->errors)));
}

static const struct virtio_ops rng_ops = {
	.name = "virtio-rng",
	.id = VIRTIO_ID_RNG,
	.class_code = 0x100000,
	.version = 1,
	.notified = rng_notified,
	.reset = rng_reset,
	.destroy = rng_destroy,
	.describe = rng_describe,
};

static const struct virtio_device_config rng_config = {
	.ops = &rng_ops,
	.name = "rng",
	.queue_count = 1,
	.queue_size = RNG_QUEUE_SIZE,
};

static int rng_open(struct rng *rng, struct vm *vm, const char *source, struct error *err)
{
	rng->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (rng->timer_fd < 0)
		return error_set_errno(err, -errno, "--rng: timer");
	rng->timer_source = event_loop_add(vm->io_loop, rng->timer_fd, EPOLLIN, timer_fired, rng);
	if (!rng->timer_source)
		return error_set_errno(err, -ENOMEM, "--rng: event loop");
	if (!source)
		return 0;
	rng->source_fd = open(source, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (rng->source_fd < 0)
		return error_set_errno(err, -errno, "--rng: source=%s", source);
	return 0;
}

static int rng_create(struct vm *vm, const char *argument, struct error *err)
{
	struct rng *rng = calloc(1, sizeof(*rng));
	char *source = NULL;
	const struct keyval_field fields[] = {{"source", KEYVAL_TEXT, &source, false, false}, {0}};
	int status;

	if (!rng)
		return error_set(err, -ENOMEM, "--rng: out of memory");
	rng->timer_fd = rng->source_fd = -1;
	rng->budget = RNG_BUDGET;
	status = keyval_parse("rng", argument, fields, err);
	if (status == 0)
		status = rng_open(rng, vm, source, err);
	if (status == 0)
		status = virtio_device_create(vm, &rng->virtio, &rng_config, err);
	if (status < 0)
		rng_free(rng);
	free(source);
	return status;
}

static const struct device_class rng_class = {
	.option = "rng",
	.argument = "source=FILE",
	.help = "entropy for the guest, by default from the host's getrandom()",
	.order = 130,
	.optional_argument = true,
	.create = rng_create,
};
DEVICE_CLASS(rng_class);
