// SPDX-License-Identifier: BSD-2-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "devices/virtio/net/net.h"
#include "driver.h"

#define RX	  NET_QUEUE_RX
#define TX	  NET_QUEUE_TX
#define MERGEABLE (1ull << VIRTIO_NET_F_MRG_RXBUF)
#define EVENT_IDX (1ull << VIRTIO_RING_F_EVENT_IDX)

/* A back end that keeps its frames. */
static struct net_backend stub;
static uint8_t sent_frame[NET_FRAME_MAX];
static size_t sent_length;
static unsigned sent_count, batches, resumes;

static void stub_send(struct net_backend *backend, const uint8_t *frame, size_t length)
{
	memcpy(sent_frame, frame, length);
	sent_length = length;
	sent_count++;
}

static void stub_sent(struct net_backend *backend)
{
	batches++;
}

static void stub_resume(struct net_backend *backend)
{
	resumes++;
}

static void stub_destroy(struct net_backend *backend)
{
}

static const struct net_backend_ops stub_ops = {
	.send = stub_send,
	.sent = stub_sent,
	.resume = stub_resume,
	.destroy = stub_destroy,
};

static int stub_create(struct vm *vm, const char *argument, struct net_parameters *parameters,
		       struct net_backend **backend, struct error *err)
{
	stub.ops = &stub_ops;
	*backend = &stub;
	parameters->mtu = 9000;
	return net_parse_mac(*argument ? argument : NULL, parameters, err);
}

static const struct net_backend_class stub_class = {.name = "stub", .create = stub_create};
NET_BACKEND_CLASS(stub_class);

static int setup(void **state)
{
	sent_count = batches = resumes = 0;
	sent_length = 0;
	return driver_create("net", "stub,02:00:00:00:00:01") != NULL;
}

static int teardown(void **state)
{
	driver_destroy();
	return 0;
}

static void frames_go_out_in_one_batch(void **state)
{
	uint8_t request[NET_HEADER_SIZE + 60] = {0};
	struct vring_used_elem used;

	driver_start(MERGEABLE);
	for (unsigned i = 0; i < 10; i++) {
		request[NET_HEADER_SIZE + 20] = (uint8_t)i;
		driver_add_out(TX, request, sizeof(request));
	}
	driver_kick(TX);
	assert_int_equal(sent_count, 10);
	assert_int_equal(batches, 2); /* one at the start */
	assert_int_equal(sent_length, 60);
	assert_int_equal(sent_frame[20], 9);
	for (unsigned i = 0; i < 10; i++)
		assert_true(driver_take_used(TX, &used));
	assert_false(driver_take_used(TX, &used));
	assert_int_equal(driver.interrupts[TX], 1);
}

static void frames_of_bad_length_are_dropped(void **state)
{
	static uint8_t request[NET_HEADER_SIZE + NET_FRAME_MAX + 1];
	struct vring_used_elem used;

	driver_start(MERGEABLE);
	driver_add_out(TX, request, 1);
	driver_add_out(TX, request, NET_HEADER_SIZE);
	driver_add_out(TX, request, NET_HEADER_SIZE + NET_FRAME_MIN - 1);
	driver_add_out(TX, request, sizeof(request));
	driver_kick(TX);
	assert_int_equal(sent_count, 0);
	for (unsigned i = 0; i < 4; i++)
		assert_true(driver_take_used(TX, &used));
	driver_add_out(TX, request, NET_HEADER_SIZE + NET_FRAME_MIN);
	driver_add_out(TX, request, NET_HEADER_SIZE + NET_FRAME_MAX);
	driver_kick(TX);
	assert_int_equal(sent_count, 2);
	assert_int_equal(sent_length, NET_FRAME_MAX);
}

/* The frame that the guest finds in @count buffers of @size bytes from @gpa on. */
static void check_received(uint64_t gpa, uint32_t size, unsigned count, const uint8_t *frame,
			   size_t length)
{
	static uint8_t got[NET_HEADER_SIZE + NET_FRAME_MAX];
	struct virtio_net_hdr_v1 header;
	struct vring_used_elem used;
	size_t total = 0;

	for (unsigned i = 0; i < count; i++) {
		assert_true(driver_take_used(RX, &used));
		assert_true(used.len <= size);
		memcpy(got + total, memory_translate(NULL, gpa + (uint64_t)i * size, used.len),
		       used.len);
		total += used.len;
	}
	assert_int_equal(total, NET_HEADER_SIZE + length);
	memcpy(&header, got, sizeof(header));
	assert_int_equal(header.num_buffers, count);
	assert_int_equal(header.flags, 0);
	assert_memory_equal(got + NET_HEADER_SIZE, frame, length);
}

static void fill(uint8_t *frame, size_t length)
{
	for (size_t i = 0; i < length; i++)
		frame[i] = (uint8_t)(i * 31 + 7);
}

static void a_frame_is_spread_over_buffers(void **state)
{
	static const uint32_t sizes[] = {5, 12, 13, 100, 1500, 4096};
	uint8_t frame[300];

	fill(frame, sizeof(frame));
	for (unsigned i = 0; i < 6; i++) {
		uint32_t size = sizes[i];
		unsigned count = (unsigned)(NET_HEADER_SIZE + sizeof(frame) + size - 1) / size;
		uint64_t gpa;

		if (count > DRIVER_QUEUE_SIZE)
			continue;
		driver_start(MERGEABLE);
		gpa = driver_memory(size * count);
		for (unsigned j = 0; j < count; j++)
			driver_add_in(RX, gpa + (uint64_t)j * size, size);
		assert_true(net_receive(stub.net, NULL, frame, sizeof(frame)));
		net_receive_flush(stub.net);
		check_received(gpa, size, count, frame, sizeof(frame));
		driver_reset();
	}
}

static void too_few_buffers_delay_a_frame(uint64_t features)
{
	uint8_t frame[1000];
	struct vring_used_elem used;
	uint64_t gpa;

	fill(frame, sizeof(frame));
	driver_start(MERGEABLE | features);
	gpa = driver_memory(4 * 300);
	driver_add_in(RX, gpa, 300);
	driver_add_in(RX, gpa + 300, 300);
	assert_false(net_receive(stub.net, NULL, frame, sizeof(frame)));
	net_receive_flush(stub.net);
	assert_false(driver_take_used(RX, &used));
	/* The device must ask for a kick although there are buffers that it has seen. */
	driver_add_in(RX, gpa + 600, 300);
	assert_true(driver_wants_kick(RX, 2));
	driver_kick(RX);
	assert_int_equal(resumes, 0);
	driver_add_in(RX, gpa + 900, 300);
	assert_true(driver_wants_kick(RX, 3));
	driver_kick(RX);
	assert_int_equal(resumes, 1);
	check_received(gpa, 300, 4, frame, sizeof(frame));
	assert_int_equal(driver.interrupts[RX], 1);
}

static void delayed_with_event_index(void **state)
{
	too_few_buffers_delay_a_frame(EVENT_IDX);
}

static void delayed_without_event_index(void **state)
{
	too_few_buffers_delay_a_frame(0);
}

static void the_backlog_is_bounded(void **state)
{
	static uint8_t frame[60000];
	uint64_t gpa;

	driver_start(MERGEABLE);
	for (unsigned i = 0; i < 200; i++)
		assert_false(net_receive(stub.net, NULL, frame, sizeof(frame)));
	gpa = driver_memory(2000);
	driver_add_in(RX, gpa, 2000);
	driver_reset();
	assert_int_equal(resumes, 1);
	/* The reset drops the waiting frames. */
	driver_start(MERGEABLE);
	driver_add_in(RX, driver_memory(2000), 2000);
	driver_kick(RX);
	assert_int_equal(driver.interrupts[RX], 0);
	assert_true(net_receive(stub.net, NULL, frame, 60));
}

static void an_unusable_buffer_costs_one_frame(void **state)
{
	uint8_t frame[200] = {0};
	uint64_t gpa;

	/* Without mergeable buffers a frame must fit into one. */
	driver_start(0);
	gpa = driver_memory(1000);
	driver_add_in(RX, gpa, 100);
	assert_true(net_receive(stub.net, NULL, frame, sizeof(frame)));
	assert_true(net_receive(stub.net, NULL, frame, 80));
	net_receive_flush(stub.net);
	check_received(gpa, 100, 1, frame, 80);
}

/* The available index jumps while frames wait: the device fails, and no frame waits for ever. */
static void a_jumping_index_ends_the_wait(void **state)
{
	const uint8_t frame[60] = {0};

	driver_start(MERGEABLE);
	for (unsigned i = 0; i < 3; i++)
		net_receive(stub.net, NULL, frame, sizeof(frame));
	for (unsigned i = 0; i <= DRIVER_QUEUE_SIZE; i++)
		driver_make_available(RX, 0);
	alarm(20);
	driver_kick(RX);
	alarm(0);
	assert_true(atomic_load(&driver.device->failed));
	driver_reset();
	assert_false(atomic_load(&driver.device->failed));
}

static void a_driver_that_is_not_ready_gets_nothing(void **state)
{
	uint8_t frame[60] = {0};

	assert_true(net_receive(stub.net, NULL, frame, sizeof(frame)));
	net_receive_flush(stub.net);
	driver_start(MERGEABLE);
	assert_true(net_receive(stub.net, NULL, frame, 5));
	assert_int_equal(driver.interrupts[RX], 0);
}

static void state_survives(void **state)
{
	const struct device_ops *ops = driver.device->device.ops;
	struct serialize_writer writer = {0};
	struct serialize_reader reader;
	uint8_t frame[60] = {0};
	uint64_t gpa;

	driver_start(MERGEABLE);
	gpa = driver_memory(400);
	driver_add_in(RX, gpa, 200);
	driver_add_in(RX, gpa + 200, 200);
	assert_true(net_receive(stub.net, NULL, frame, sizeof(frame)));
	net_receive_flush(stub.net);
	check_received(gpa, 200, 1, frame, sizeof(frame));
	assert_int_equal(ops->save(&driver.device->device, &writer), 0);
	/* Saved: guest memory is left alone. */
	assert_false(net_receive(stub.net, NULL, frame, sizeof(frame)));
	assert_int_equal(driver.interrupts[RX], 1);
	reader = (struct serialize_reader){.data = writer.data, .length = writer.length};
	assert_int_equal(ops->load(&driver.device->device, &reader, ops->version), 0);
	assert_true(net_receive(stub.net, NULL, frame, sizeof(frame)));
	net_receive_flush(stub.net);
	check_received(gpa + 200, 200, 1, frame, sizeof(frame));
	serialize_writer_free(&writer);
}

static void a_saved_device_goes_on(void **state)
{
	const struct device_ops *ops = driver.device->device.ops;
	struct serialize_writer writer = {0};
	uint8_t frame[60] = {0};
	uint64_t gpa;

	driver_start(MERGEABLE);
	gpa = driver_memory(200);
	driver_add_in(RX, gpa, 200);
	assert_int_equal(ops->save(&driver.device->device, &writer), 0);
	assert_false(net_receive(stub.net, NULL, frame, sizeof(frame)));
	assert_int_equal(driver.interrupts[RX], 0);
	ops->resume(&driver.device->device);
	assert_int_equal(resumes, 1);
	check_received(gpa, 200, 1, frame, sizeof(frame));
	serialize_writer_free(&writer);
}

static void addresses_are_checked(void **state)
{
	static const char *const bad[] = {"",
					  "52:54:00:12:34",
					  "52:54:00:12:34:5g",
					  "52:54:00:12:34:56:78",
					  "52-54-00-12-34-56",
					  "01:00:00:00:00:01",
					  "ff:ff:ff:ff:ff:ff",
					  "00:00:00:00:00:00",
					  "5:54:00:12:34:567"};
	struct net_parameters parameters;
	uint8_t expected[6] = {0x52, 0x54, 0x00, 0xab, 0xCD, 0x56};
	struct error err;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_true(net_parse_mac(bad[i], &parameters, &err) < 0);
	assert_int_equal(net_parse_mac("52:54:00:ab:CD:56", &parameters, &err), 0);
	assert_memory_equal(parameters.mac, expected, 6);
	assert_false(parameters.mac_made);
	assert_int_equal(net_parse_mac(NULL, &parameters, &err), 0);
	assert_true(parameters.mac_made);
}

static void the_same_vm_has_the_same_address(void **state)
{
	uint8_t first[6], again[6], second[6], other[6];

	net_mac_make("web1", 0, first);
	net_mac_make("web1", 0, again);
	net_mac_make("web1", 1, second);
	net_mac_make("web2", 0, other);
	assert_memory_equal(first, "\x52\x54\x00", 3);
	assert_memory_equal(first, again, 6);
	assert_memory_not_equal(first, second, 6);
	assert_memory_not_equal(first, other, 6);
	assert_memory_not_equal(second, other, 6);
}

static void an_unknown_kind_is_named(void **state)
{
	const char *text = driver_create("net", "usr,mac=1");

	assert_non_null(strstr(text, "'usr'"));
	driver_destroy();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(frames_go_out_in_one_batch, setup, teardown),
		cmocka_unit_test_setup_teardown(frames_of_bad_length_are_dropped, setup, teardown),
		cmocka_unit_test_setup_teardown(a_frame_is_spread_over_buffers, setup, teardown),
		cmocka_unit_test_setup_teardown(delayed_with_event_index, setup, teardown),
		cmocka_unit_test_setup_teardown(delayed_without_event_index, setup, teardown),
		cmocka_unit_test_setup_teardown(the_backlog_is_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(an_unusable_buffer_costs_one_frame, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_jumping_index_ends_the_wait, setup, teardown),
		cmocka_unit_test_setup_teardown(a_driver_that_is_not_ready_gets_nothing, setup,
						teardown),
		cmocka_unit_test_setup_teardown(state_survives, setup, teardown),
		cmocka_unit_test_setup_teardown(a_saved_device_goes_on, setup, teardown),
		cmocka_unit_test(addresses_are_checked),
		cmocka_unit_test(the_same_vm_has_the_same_address),
		cmocka_unit_test(an_unknown_kind_is_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
