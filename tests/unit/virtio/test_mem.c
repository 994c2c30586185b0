// SPDX-License-Identifier: BSD-2-Clause
/* virtio-mem: plugs the requested memory and no more, and gives memory back to the host. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <linux/kvm.h>
#include <linux/virtio_mem.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "devices/virtio/mem.h"
#include "guest.h"
#include "memory/memory_plug.h"

#define MIB	(1ull << 20)
#define BLOCK	(2 * MIB)
#define BOOT	(16 * MIB)
#define MOST	(BOOT + 100 * MIB) /* the region is then 128 MiB */
#define REQUEST 0x40000ull
#define ANSWER	0x41000ull

struct fixture {
	struct guest *guest;
	struct driver driver;
	struct ring ring;
	struct memory_region *region;
};

/* Stands in for KVM, which unit tests do not have: it accepts memslots. */
int ioctl(int fd, unsigned long request, ...)
{
	if (request == KVM_SET_USER_MEMORY_REGION)
		return 0;
	errno = EBADF;
	return -1;
}

static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	struct vm *vm;
	struct error err = {""};

	fixture->guest = guest_create();
	vm = &fixture->guest->vm;
	vm->config.memory = (struct memory_config){.size = BOOT, .max = MOST};
	if (memory_plug_create(&vm->memory, &vm->config.memory, &err) < 0 ||
	    guest_device_create(fixture->guest, NULL, NULL, &err) < 0)
		fail_msg("%s", err.text);
	fixture->region = memory_plug_region(&vm->memory);
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;
	struct memory_blocks *blocks = fixture->region->blocks;
	int fd = fixture->region->fd;

	guest_destroy(fixture->guest);
	close(fd);
	free(blocks);
	free(fixture);
	return 0;
}

static void start(struct fixture *fixture)
{
	assert_true(driver_probe(fixture->guest, 1, &fixture->driver));
	driver_msix_enable(&fixture->driver, 2);
	assert_true(driver_negotiate(&fixture->driver,
				     1ull << VIRTIO_F_VERSION_1 |
					     1ull << VIRTIO_MEM_F_UNPLUGGED_INACCESSIBLE));
	ring_setup(&fixture->driver, &fixture->ring, 0, 0x10000);
	driver_ok(&fixture->driver);
}

static void bring_up(struct fixture *fixture)
{
	guest_loop_start(fixture->guest);
	start(fixture);
}

static uint64_t config(struct fixture *fixture, unsigned offset)
{
	uint64_t low = guest_read(fixture->guest, fixture->driver.config + offset, 4);

	return low | guest_read(fixture->guest, fixture->driver.config + offset + 4, 4) << 32;
}
#define CONFIG(member) config(fixture, offsetof(struct virtio_mem_config, member))

/* One request with its answer at @answer: the response's type, or -1 without one. */
static int ask_at(struct fixture *fixture, uint16_t type, uint64_t gpa, uint16_t blocks,
		  uint64_t answer)
{
	struct virtio_mem_req request = {.type = type,
					 .u.plug = {.addr = gpa, .nb_blocks = blocks}};
	struct virtio_mem_resp *response = guest_ram(fixture->guest, answer, sizeof(*response));

	response->type = 0x5555;
	memcpy(guest_ram(fixture->guest, REQUEST, sizeof(request)), &request, sizeof(request));
	ring_desc(&fixture->ring, 0, REQUEST, sizeof(request), VRING_DESC_F_NEXT, 1);
	ring_desc(&fixture->ring, 1, answer, sizeof(*response), VRING_DESC_F_WRITE, 0);
	ring_offer(&fixture->ring, 0);
	ring_kick(&fixture->ring);
	if (ring_wait(&fixture->ring) != sizeof(*response))
		return -1;
	return response->type;
}

static int ask(struct fixture *fixture, uint16_t type, uint64_t gpa, uint16_t blocks)
{
	return ask_at(fixture, type, gpa, blocks, ANSWER);
}

static int state_of(struct fixture *fixture, uint64_t gpa, uint16_t blocks)
{
	struct virtio_mem_resp *response;

	assert_int_equal(ask(fixture, VIRTIO_MEM_REQ_STATE, gpa, blocks), VIRTIO_MEM_RESP_ACK);
	response = guest_ram(fixture->guest, ANSWER, sizeof(*response));
	return response->u.state.state;
}

static void *translate(struct fixture *fixture, uint64_t gpa, uint64_t length)
{
	return memory_translate(&fixture->guest->vm.memory, gpa, length);
}

static uint64_t host_bytes(struct fixture *fixture)
{
	struct stat file;

	assert_int_equal(fstat(fixture->region->fd, &file), 0);
	return (uint64_t)file.st_blocks * 512;
}

/* Waits for it, at most two seconds. */
static bool needs_reset(struct driver *driver)
{
	for (unsigned i = 0; i < 2000; i++) {
		if (driver_status(driver) & VIRTIO_CONFIG_S_NEEDS_RESET)
			return true;
		usleep(1000);
	}
	return false;
}

static void test_says_what_there_is(void **state)
{
	struct fixture *fixture = *state;
	struct virtio_mem_state mem;

	bring_up(fixture);
	assert_int_equal(CONFIG(block_size), BLOCK);
	assert_int_equal(CONFIG(addr), fixture->region->gpa);
	assert_int_equal(CONFIG(addr) % (1ull << 30), 0);
	assert_int_equal(CONFIG(region_size), 128 * MIB);
	assert_int_equal(CONFIG(usable_region_size), 128 * MIB);
	assert_int_equal(CONFIG(plugged_size), 0);
	assert_int_equal(CONFIG(requested_size), 0);
	assert_int_equal(virtio_mem_get(&fixture->guest->vm, &mem), 0);
	assert_int_equal(mem.limit, 100 * MIB);
	assert_true(mem.driver);
}

static void test_requests_reach_the_driver(void **state)
{
	struct fixture *fixture = *state;
	struct vm *vm = &fixture->guest->vm;
	struct virtio_mem_state mem;

	bring_up(fixture);
	guest_interrupts(fixture->guest, 0x40);
	assert_int_equal(virtio_mem_request(vm, 10 * MIB + 4096), 1);
	assert_int_equal(CONFIG(requested_size), 10 * MIB);
	assert_true(guest_interrupts(fixture->guest, 0x40) > 0);
	assert_int_equal(virtio_mem_request(vm, 10 * MIB), 0);
	assert_int_equal(guest_interrupts(fixture->guest, 0x40), 0);
	assert_int_equal(virtio_mem_request(vm, UINT64_MAX), 1);
	assert_int_equal(CONFIG(requested_size), 100 * MIB);
	/* The device reminds the driver while memory is missing, not later. */
	guest_interrupts(fixture->guest, 0x40);
	virtio_mem_remind(vm);
	assert_true(guest_interrupts(fixture->guest, 0x40) > 0);
	assert_int_equal(virtio_mem_request(vm, 0), 1);
	guest_interrupts(fixture->guest, 0x40);
	virtio_mem_remind(vm);
	assert_int_equal(guest_interrupts(fixture->guest, 0x40), 0);
	/* No request goes below the floor, which the operator sets. */
	assert_int_equal(virtio_mem_set_floor(vm, 100 * MIB + 1), -ERANGE);
	assert_int_equal(virtio_mem_set_floor(vm, 20 * MIB), 0);
	assert_int_equal(virtio_mem_request(vm, 0), 0);
	assert_int_equal(virtio_mem_get(vm, &mem), 0);
	assert_int_equal(mem.requested, 20 * MIB);
}

static void test_plugs_and_unplugs(void **state)
{
	struct fixture *fixture = *state;
	uint64_t at = fixture->region->gpa;
	uint64_t before;
	uint8_t *memory;

	bring_up(fixture);
	virtio_mem_request(&fixture->guest->vm, 8 * MIB);
	assert_null(translate(fixture, at, 1));
	assert_int_equal(ask(fixture, VIRTIO_MEM_REQ_PLUG, at + BLOCK, 2), VIRTIO_MEM_RESP_ACK);
	assert_int_equal(CONFIG(plugged_size), 2 * BLOCK);
	memory = translate(fixture, at + BLOCK, 2 * BLOCK);
	assert_non_null(memory);
	assert_null(translate(fixture, at + BLOCK - 1, 1));
	assert_null(translate(fixture, at + BLOCK - 1, 2));
	assert_null(translate(fixture, at + BLOCK, 2 * BLOCK + 1));
	/* Not for a pointer that a device keeps. */
	assert_null(memory_translate_fixed(&fixture->guest->vm.memory, at + BLOCK, 1));
	assert_int_equal(state_of(fixture, at, 1), VIRTIO_MEM_STATE_UNPLUGGED);
	assert_int_equal(state_of(fixture, at + BLOCK, 2), VIRTIO_MEM_STATE_PLUGGED);
	assert_int_equal(state_of(fixture, at, 4), VIRTIO_MEM_STATE_MIXED);

	before = host_bytes(fixture);
	memset(memory, 0xaa, 2 * BLOCK);
	assert_int_equal(host_bytes(fixture) - before, 2 * BLOCK);
	assert_int_equal(ask(fixture, VIRTIO_MEM_REQ_UNPLUG, at + BLOCK, 1), VIRTIO_MEM_RESP_ACK);
	assert_int_equal(host_bytes(fixture) - before, BLOCK);
	assert_null(translate(fixture, at + BLOCK, 1));
	assert_int_equal(memory[BLOCK], 0xaa);
	/* Memory that comes back is empty. */
	assert_int_equal(ask(fixture, VIRTIO_MEM_REQ_PLUG, at + BLOCK, 1), VIRTIO_MEM_RESP_ACK);
	for (unsigned i = 0; i < BLOCK; i += 4096)
		assert_int_equal(memory[i], 0);
	assert_int_equal(ask(fixture, VIRTIO_MEM_REQ_UNPLUG_ALL, 0, 0), VIRTIO_MEM_RESP_ACK);
	assert_int_equal(CONFIG(plugged_size), 0);
	assert_int_equal(host_bytes(fixture), before);
}

static void test_refuses_what_is_wrong(void **state)
{
	struct fixture *fixture = *state;
	uint64_t at = fixture->region->gpa, end = at + fixture->region->size;
	const struct {
		uint16_t type;
		uint64_t gpa;
		uint16_t blocks;
		int response;
	} cases[] = {
		{VIRTIO_MEM_REQ_PLUG, at, 0, VIRTIO_MEM_RESP_ERROR},
		{VIRTIO_MEM_REQ_PLUG, at + 4096, 1, VIRTIO_MEM_RESP_ERROR},
		{VIRTIO_MEM_REQ_PLUG, at + 1, 1, VIRTIO_MEM_RESP_ERROR},
		{VIRTIO_MEM_REQ_PLUG, at - BLOCK, 1, VIRTIO_MEM_RESP_ERROR},
		{VIRTIO_MEM_REQ_PLUG, at - BLOCK, 2, VIRTIO_MEM_RESP_ERROR},
		{VIRTIO_MEM_REQ_PLUG, 0, 1, VIRTIO_MEM_RESP_ERROR},
		{VIRTIO_MEM_REQ_PLUG, end, 1, VIRTIO_MEM_RESP_ERROR},
		{VIRTIO_MEM_REQ_PLUG, end - BLOCK, 2, VIRTIO_MEM_RESP_ERROR},
		{VIRTIO_MEM_REQ_PLUG, at, UINT16_MAX, VIRTIO_MEM_RESP_ERROR},
		{VIRTIO_MEM_REQ_PLUG, UINT64_MAX - BLOCK + 1, 1, VIRTIO_MEM_RESP_ERROR},
		{VIRTIO_MEM_REQ_PLUG, at, 1, VIRTIO_MEM_RESP_ACK},
		{VIRTIO_MEM_REQ_PLUG, at, 1, VIRTIO_MEM_RESP_ERROR},	    /* plugged already */
		{VIRTIO_MEM_REQ_PLUG, at, 2, VIRTIO_MEM_RESP_ERROR},	    /* in part */
		{VIRTIO_MEM_REQ_PLUG, at + BLOCK, 2, VIRTIO_MEM_RESP_NACK}, /* more than asked */
		{VIRTIO_MEM_REQ_PLUG, at + BLOCK, 1, VIRTIO_MEM_RESP_ACK},
		{VIRTIO_MEM_REQ_PLUG, end - BLOCK, 1, VIRTIO_MEM_RESP_NACK},
		{VIRTIO_MEM_REQ_UNPLUG, at, 3, VIRTIO_MEM_RESP_ERROR},
		{VIRTIO_MEM_REQ_UNPLUG, at + 2 * BLOCK, 1, VIRTIO_MEM_RESP_ERROR},
		{VIRTIO_MEM_REQ_UNPLUG, at - BLOCK, 2, VIRTIO_MEM_RESP_ERROR},
		{VIRTIO_MEM_REQ_UNPLUG, at, 0, VIRTIO_MEM_RESP_ERROR},
		{VIRTIO_MEM_REQ_STATE, end, 1, VIRTIO_MEM_RESP_ERROR},
		{VIRTIO_MEM_REQ_STATE, at, 65, VIRTIO_MEM_RESP_ERROR},
		{4, at, 1, VIRTIO_MEM_RESP_ERROR},
		{UINT16_MAX, at, 1, VIRTIO_MEM_RESP_ERROR},
	};

	bring_up(fixture);
	virtio_mem_request(&fixture->guest->vm, 2 * BLOCK);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (ask(fixture, cases[i].type, cases[i].gpa, cases[i].blocks) != cases[i].response)
			fail_msg("case %zu: another response than %d", i, cases[i].response);
	assert_int_equal(CONFIG(plugged_size), 2 * BLOCK);
	assert_false(driver_status(&fixture->driver) & VIRTIO_CONFIG_S_NEEDS_RESET);
}

/* The answer to an unplug, or a ring, in the memory that goes. */
static void test_keeps_what_is_in_use(void **state)
{
	struct fixture *fixture = *state;
	uint64_t at = fixture->region->gpa;
	struct driver rng;
	struct ring ring;
	struct error err;

	assert_int_equal(guest_device_create(fixture->guest, "rng", NULL, &err), 0);
	bring_up(fixture);
	virtio_mem_request(&fixture->guest->vm, 4 * BLOCK);
	assert_int_equal(ask(fixture, VIRTIO_MEM_REQ_PLUG, at, 4), VIRTIO_MEM_RESP_ACK);
	assert_int_equal(ask_at(fixture, VIRTIO_MEM_REQ_UNPLUG, at, 1, at + 64),
			 VIRTIO_MEM_RESP_ERROR);
	assert_int_equal(ask_at(fixture, VIRTIO_MEM_REQ_UNPLUG_ALL, 0, 0, at + 64),
			 VIRTIO_MEM_RESP_ERROR);
	assert_int_equal(ask_at(fixture, VIRTIO_MEM_REQ_UNPLUG, at + BLOCK, 1, at + BLOCK - 8),
			 VIRTIO_MEM_RESP_ERROR);

	assert_true(driver_probe(fixture->guest, 2, &rng));
	assert_true(driver_negotiate(&rng, 1ull << VIRTIO_F_VERSION_1));
	ring_setup(&rng, &ring, 0, at + BLOCK);
	driver_ok(&rng);
	assert_int_equal(ask(fixture, VIRTIO_MEM_REQ_UNPLUG, at + BLOCK, 1), VIRTIO_MEM_RESP_ERROR);
	assert_int_equal(ask(fixture, VIRTIO_MEM_REQ_UNPLUG, at + 2 * BLOCK, 2),
			 VIRTIO_MEM_RESP_ACK);
	driver_reset(&rng);
	assert_int_equal(ask(fixture, VIRTIO_MEM_REQ_UNPLUG, at + BLOCK, 1), VIRTIO_MEM_RESP_ACK);
	/* A ring must not lie in memory that is not plugged. */
	assert_true(driver_negotiate(&rng, 1ull << VIRTIO_F_VERSION_1));
	ring_setup(&rng, &ring, 0, at);
	assert_int_equal(ask(fixture, VIRTIO_MEM_REQ_UNPLUG, at, 1), VIRTIO_MEM_RESP_ACK);
	driver_ok(&rng);
	assert_true(needs_reset(&rng));
}

static void test_broken_requests_fail_the_device(void **state)
{
	struct fixture *fixture = *state;

	bring_up(fixture);
	ring_desc(&fixture->ring, 0, REQUEST, 8, VRING_DESC_F_NEXT, 1);
	ring_desc(&fixture->ring, 1, ANSWER, sizeof(struct virtio_mem_resp), VRING_DESC_F_WRITE, 0);
	ring_offer(&fixture->ring, 0);
	ring_kick(&fixture->ring);
	assert_true(needs_reset(&fixture->driver));
	driver_reset(&fixture->driver);
	start(fixture);
	ring_desc(&fixture->ring, 0, REQUEST, sizeof(struct virtio_mem_req), VRING_DESC_F_NEXT, 1);
	ring_desc(&fixture->ring, 1, ANSWER, 4, VRING_DESC_F_WRITE, 0);
	ring_offer(&fixture->ring, 0);
	ring_kick(&fixture->ring);
	assert_true(needs_reset(&fixture->driver));
}

static void test_wants_a_careful_driver(void **state)
{
	struct fixture *fixture = *state;

	guest_loop_start(fixture->guest);
	assert_true(driver_probe(fixture->guest, 1, &fixture->driver));
	assert_true(driver_negotiate(&fixture->driver, 1ull << VIRTIO_F_VERSION_1));
	ring_setup(&fixture->driver, &fixture->ring, 0, 0x10000);
	driver_ok(&fixture->driver);
	assert_true(needs_reset(&fixture->driver));
}

/* The driver's reset keeps memory, the machine's takes it back, with other devices' rings in it. */
static void test_resets(void **state)
{
	struct fixture *fixture = *state;
	struct virtio_mem_state mem;
	uint64_t at = fixture->region->gpa;
	struct device *device;
	struct driver rng;
	struct ring ring;
	struct error err;

	device = &guest_virtio(fixture->guest)->device;
	assert_int_equal(guest_device_create(fixture->guest, "rng", NULL, &err), 0);
	bring_up(fixture);
	virtio_mem_set_floor(&fixture->guest->vm, BLOCK);
	assert_int_equal(ask(fixture, VIRTIO_MEM_REQ_PLUG, at, 1), VIRTIO_MEM_RESP_ACK);
	driver_reset(&fixture->driver);
	assert_non_null(translate(fixture, at, BLOCK));
	start(fixture);
	assert_int_equal(CONFIG(plugged_size), BLOCK);

	assert_true(driver_probe(fixture->guest, 2, &rng));
	assert_true(driver_negotiate(&rng, 1ull << VIRTIO_F_VERSION_1));
	ring_setup(&rng, &ring, 0, at);
	driver_ok(&rng);
	device->ops->reset(device);
	assert_null(translate(fixture, at, 1));
	assert_int_equal(host_bytes(fixture), 0);
	ring_kick(&ring);
	guest_loop_settle(fixture->guest);
	virtio_mem_get(&fixture->guest->vm, &mem);
	assert_int_equal(mem.requested, 0);
	assert_int_equal(mem.floor, 0);
	assert_int_equal(mem.plugged, 0);
}

static void test_save_load(void **state)
{
	struct fixture *fixture = *state;
	struct serialize_writer first = {0}, second = {0};
	struct serialize_reader reader;
	uint64_t at = fixture->region->gpa;
	struct device *device = &guest_virtio(fixture->guest)->device;

	bring_up(fixture);
	virtio_mem_set_floor(&fixture->guest->vm, 3 * BLOCK);
	ask(fixture, VIRTIO_MEM_REQ_PLUG, at + BLOCK, 1);
	ask(fixture, VIRTIO_MEM_REQ_PLUG, at + 63 * BLOCK, 1);
	assert_int_equal(device->ops->save(device, &first), 0);
	device->ops->reset(device);
	assert_null(translate(fixture, at + BLOCK, 1));
	reader = (struct serialize_reader){.data = first.data, .length = first.length};
	assert_int_equal(device->ops->load(device, &reader, 1), 0);
	assert_int_equal(reader.offset, first.length);
	assert_non_null(translate(fixture, at + BLOCK, BLOCK));
	assert_non_null(translate(fixture, at + 63 * BLOCK, BLOCK));
	assert_null(translate(fixture, at, 1));
	assert_int_equal(CONFIG(plugged_size), 2 * BLOCK);
	assert_int_equal(CONFIG(requested_size), 3 * BLOCK);
	assert_int_equal(device->ops->save(device, &second), 0);
	assert_int_equal(first.length, second.length);
	/* The state of virtio-mem itself. In the rest the config space's generation may differ. */
	assert_memory_equal(first.data + first.length - 44, second.data + first.length - 44, 44);
	/* A state that is shorter or has nonsense in it is refused, and no memory is plugged. */
	for (size_t length = 0; length < first.length; length++) {
		reader = (struct serialize_reader){.data = first.data, .length = length};
		assert_true(device->ops->load(device, &reader, 1) < 0);
		assert_int_equal(host_bytes(fixture), 0);
		assert_null(translate(fixture, at + BLOCK, 1));
	}
	for (unsigned back = 9; back <= 44; back++) {
		uint8_t old = first.data[first.length - back];

		first.data[first.length - back] ^= 0x81;
		reader = (struct serialize_reader){.data = first.data, .length = first.length};
		assert_true(device->ops->load(device, &reader, 1) < 0);
		first.data[first.length - back] = old;
	}
	serialize_writer_free(&first);
	serialize_writer_free(&second);
}

/* A turn on the loop is bounded, by the blocks that requests are about. */
static void test_a_full_queue_has_turns(void **state)
{
	struct fixture *fixture = *state;
	struct virtio_mem_req request = {
		.type = VIRTIO_MEM_REQ_STATE,
		.u.state = {.addr = fixture->region->gpa, .nb_blocks = 64}};

	assert_true(driver_probe(fixture->guest, 1, &fixture->driver));
	driver_msix_enable(&fixture->driver, 2);
	assert_true(driver_negotiate(&fixture->driver,
				     1ull << VIRTIO_F_VERSION_1 |
					     1ull << VIRTIO_MEM_F_UNPLUGGED_INACCESSIBLE));
	ring_setup(&fixture->driver, &fixture->ring, 0, 0x10000);
	memcpy(guest_ram(fixture->guest, REQUEST, sizeof(request)), &request, sizeof(request));
	ring_desc(&fixture->ring, 0, REQUEST, sizeof(request), VRING_DESC_F_NEXT, 1);
	ring_desc(&fixture->ring, 1, ANSWER, sizeof(struct virtio_mem_resp), VRING_DESC_F_WRITE, 0);
	for (unsigned i = 0; i < GUEST_SIZE; i++)
		ring_offer(&fixture->ring, 0);
	/* No thread runs the loop yet, so this is one turn. */
	driver_ok(&fixture->driver);
	assert_in_range(ring_used(&fixture->ring), 1, GUEST_SIZE / 2);
	guest_loop_start(fixture->guest);
	for (unsigned i = 0; i < 5000 && ring_used(&fixture->ring) < GUEST_SIZE; i++)
		usleep(1000);
	assert_int_equal(ring_used(&fixture->ring), GUEST_SIZE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_says_what_there_is),
		TEST(test_a_full_queue_has_turns),
		TEST(test_requests_reach_the_driver),
		TEST(test_plugs_and_unplugs),
		TEST(test_refuses_what_is_wrong),
		TEST(test_keeps_what_is_in_use),
		TEST(test_broken_requests_fail_the_device),
		TEST(test_wants_a_careful_driver),
		TEST(test_resets),
		TEST(test_save_load),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
