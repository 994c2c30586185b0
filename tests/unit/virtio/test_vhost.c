// SPDX-License-Identifier: BSD-2-Clause
/* The steps that a vhost back end gets, their order, and the steps that undo them at the end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "devices/virtio/core/vhost.h"
#include "guest.h"
#include "util/container_of.h"

#define QUEUES	2u
#define OFFERED (1ull << VIRTIO_F_VERSION_1 | 1ull << 3)

/* A back end that writes down its steps, and fails at one of them. */
struct fake {
	struct vhost vhost;
	char steps[64];
	char fails_at; /* the letter of a step */
	uint64_t features;
	bool closed;
};

struct fixture {
	struct guest *guest;
	struct virtio_device *device;
	struct vring_used used[QUEUES];
	struct fake fake;
};

static int step(struct vhost *vhost, char letter)
{
	struct fake *fake = container_of(vhost, struct fake, vhost);

	fake->steps[strlen(fake->steps)] = letter;
	return fake->fails_at == letter ? -EIO : 0;
}

static int fake_set_owner(struct vhost *vhost)
{
	return step(vhost, 'o');
}

static int fake_set_features(struct vhost *vhost, uint64_t features)
{
	container_of(vhost, struct fake, vhost)->features = features;
	return step(vhost, 'f');
}

static int fake_set_memory(struct vhost *vhost, const struct guest_memory *memory)
{
	assert_int_equal(memory->count, 3);
	return step(vhost, 'm');
}

static int fake_queue_start(struct vhost *vhost, struct virtio_queue *queue)
{
	return step(vhost, (char)('0' + queue->index));
}

static int fake_set_running(struct vhost *vhost, bool running)
{
	return step(vhost, running ? 'r' : 's');
}

static int fake_queue_stop(struct vhost *vhost, struct virtio_queue *queue, uint16_t *avail_next)
{
	*avail_next = (uint16_t)(70 + queue->index);
	return step(vhost, (char)('a' + queue->index));
}

static void fake_close(struct vhost *vhost)
{
	container_of(vhost, struct fake, vhost)->closed = true;
}

static const struct vhost_ops fake_ops = {
	.name = "fake",
	.set_owner = fake_set_owner,
	.set_features = fake_set_features,
	.set_memory = fake_set_memory,
	.queue_start = fake_queue_start,
	.set_running = fake_set_running,
	.queue_stop = fake_queue_stop,
	.close = fake_close,
};

static void device_notified(struct virtio_device *device, struct virtio_queue *queue)
{
	fail_msg("an external queue has no notified()");
}

static void device_free(struct virtio_device *device)
{
	free(device);
}

static const struct virtio_ops device_ops = {
	.name = "virtio-served",
	.id = 60,
	.class_code = 0xff0000,
	.version = 1,
	.notified = device_notified,
	.destroy = device_free,
};

static const struct virtio_device_config device_config = {
	.ops = &device_ops,
	.name = "served",
	.queue_count = QUEUES,
	.queue_size = GUEST_SIZE,
};

static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	struct error err;

	fixture->guest = guest_create();
	fixture->device = calloc(1, sizeof(*fixture->device));
	if (virtio_device_create(&fixture->guest->vm, fixture->device, &device_config, &err) < 0)
		return -1;
	fixture->fake.vhost = (struct vhost){.ops = &fake_ops, .features = OFFERED};
	for (unsigned i = 0; i < QUEUES; i++) {
		struct virtio_queue *queue = &fixture->device->queues[i];

		queue->external = true;
		queue->enabled = true;
		queue->used = &fixture->used[i];
	}
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	guest_destroy(fixture->guest);
	free(fixture);
	return 0;
}

static void steps_come_in_order(void **state)
{
	struct fixture *fixture = *state;
	struct fake *fake = &fixture->fake;

	/* The driver took a feature that is ours, not the back end's. */
	fixture->device->features = 1ull << VIRTIO_F_VERSION_1 | 1ull << 5;
	assert_int_equal(vhost_start(&fake->vhost, fixture->device, QUEUES), 0);
	assert_string_equal(fake->steps, "ofm01r");
	assert_int_equal(fake->features, 1ull << VIRTIO_F_VERSION_1);
}

static void positions_come_back(void **state)
{
	struct fixture *fixture = *state;
	struct fake *fake = &fixture->fake;
	const struct virtio_queue *queue = &fixture->device->queues[1];

	assert_int_equal(vhost_start(&fake->vhost, fixture->device, QUEUES), 0);
	fixture->used[1].idx = 69;
	fake->fails_at = 'a'; /* reported, and the rest is still done */
	assert_int_equal(vhost_stop(&fake->vhost), -EIO);
	assert_string_equal(fake->steps, "ofm01rsab");
	assert_int_equal(queue->avail_next, 71);
	assert_int_equal(queue->avail_seen, 71);
	assert_int_equal(queue->used_next, 69);
	assert_int_equal(queue->used_published, 69);

	/* It does not run, so there is nothing to stop. */
	assert_int_equal(vhost_stop(&fake->vhost), 0);
	assert_string_equal(fake->steps, "ofm01rsab");
	vhost_close(&fake->vhost);
	vhost_close(NULL);
	assert_true(fake->closed);
}

/* A start that fails leaves nothing that touches guest memory. */
static void a_start_that_fails_is_undone(void **state)
{
	static const struct {
		char at;
		const char *steps;
	} cases[] = {
		{'o', "o"}, {'f', "of"}, {'m', "ofmsab"}, {'1', "ofm01sab"}, {'r', "ofm01rsab"},
	};
	struct fixture *fixture = *state;
	struct fake *fake = &fixture->fake;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		memset(fake->steps, 0, sizeof(fake->steps));
		fake->fails_at = cases[i].at;
		assert_int_equal(vhost_start(&fake->vhost, fixture->device, QUEUES), -EIO);
		assert_string_equal(fake->steps, cases[i].steps);
		assert_int_equal(vhost_stop(&fake->vhost), 0);
	}
}

static void a_queue_that_is_not_enabled_is_refused(void **state)
{
	struct fixture *fixture = *state;

	fixture->device->queues[1].enabled = false;
	assert_int_equal(vhost_start(&fixture->fake.vhost, fixture->device, QUEUES), -EINVAL);
	assert_string_equal(fixture->fake.steps, "");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(steps_come_in_order),
		TEST(positions_come_back),
		TEST(a_start_that_fails_is_undone),
		TEST(a_queue_that_is_not_enabled_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
