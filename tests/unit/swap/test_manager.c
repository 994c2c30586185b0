// SPDX-License-Identifier: BSD-2-Clause
/* The decision service: doorbell to verdict, with stand-ins for the guest, virtio-mem and store. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <symbiotic/symcall.h>

#include "machine/report.h"
#include "devices/virtio/mem.h"
#include "machine/vm.h"
#include "machine/service.h"
#include "swap/manager.h"
#include "swap/policy/policy.h"

#define MIB (1ull << 20)

static struct fixture {
	struct vm vm;
	struct sym_swap_query query;
	int64_t answer; /* result of the guest's handler */
	int call_status;
	unsigned calls;
	sym_doorbell_fn doorbell;
	void *doorbell_opaque;
	bool has_mem;
	struct virtio_mem_state mem;
	struct sym_spy_vm_guest spy;
	uint32_t verdicts;
	unsigned epoch;
	_Atomic unsigned reminders;
	uint64_t budget, slots;
} fixture;
static pthread_t loop_thread;

/* --- stand-ins --- */

int sym_vm_set_doorbell(struct sym_vm *vm, uint32_t reason, sym_doorbell_fn handler, void *opaque)
{
	assert_int_equal(reason, SYM_DOORBELL_SWAP_DECIDE);
	fixture.doorbell = handler;
	fixture.doorbell_opaque = opaque;
	return 0;
}

int sym_call_safepoint(struct sym_vcpu *vcpu, const struct sym_call_request *request,
		       struct sym_call_result *result)
{
	fixture.calls++;
	if (fixture.call_status < 0)
		return fixture.call_status;
	assert_int_equal(request->number, SYM_CALL_SWAP_QUERY);
	assert_int_equal(request->message_size, sizeof(fixture.query));
	result->value = fixture.answer;
	result->message_length = fixture.answer > 0 ? (size_t)fixture.answer : 0;
	memcpy(request->message, &fixture.query, result->message_length);
	return 0;
}

int sym_vm_spy_read(struct sym_vm *vm, struct sym_spy_vm_guest *out)
{
	*out = fixture.spy;
	return 0;
}

int virtio_mem_get(struct vm *vm, struct virtio_mem_state *state)
{
	if (!fixture.has_mem)
		return -EOPNOTSUPP;
	*state = fixture.mem;
	return 0;
}

int virtio_mem_request(struct vm *vm, uint64_t size)
{
	if (size > fixture.mem.limit)
		size = fixture.mem.limit;
	if (size < fixture.mem.floor)
		size = fixture.mem.floor;
	if (size == fixture.mem.requested)
		return 0;
	fixture.mem.requested = size;
	return 1;
}

void virtio_mem_remind(struct vm *vm)
{
	fixture.reminders++;
}

void metrics_family(FILE *out, const char *name, const char *type, const char *help)
{
}

void metrics_sample(FILE *out, const struct vm *vm, const char *name, double value, ...)
{
}

static void set_verdicts(void *opaque, uint32_t verdicts)
{
	fixture.verdicts = verdicts;
	fixture.epoch++;
}

static void usage(void *opaque, uint64_t *budget, uint64_t *slots)
{
	*budget = fixture.budget;
	*slots = fixture.slots;
}

static const struct swap_store_ops store = {.set_verdicts = set_verdicts, .usage = usage};

/* A policy with state of its own: it asks the guest every second time, and takes all back. */
struct turns {
	unsigned wanted, decided;
};

static bool turns_wants_query(void *state, const struct swap_situation *situation)
{
	struct turns *turns = state;

	return ++turns->wanted % 2 == 0;
}

static void turns_decide(void *state, const struct swap_situation *situation,
			 struct swap_decision *decision)
{
	struct turns *turns = state;

	decision->credit = ++turns->decided * 10 + situation->asked;
	decision->reason = SWAP_REASON_COPY;
}

static enum swap_shrink_reason turns_shrink(void *state, struct swap_shrink *shrink,
					    const struct swap_shrink_view *view,
					    uint64_t *requested)
{
	struct turns *turns = state;

	*requested = 0;
	return turns->decided > 1 ? SWAP_SHRINK_IDLE : SWAP_SHRINK_NONE;
}

static const struct swap_policy turns_policy = {
	.name = "turns",
	.help = "a test's own",
	.verdicts = 1u << SYM_VERDICT_COPY,
	.state_size = sizeof(struct turns),
	.wants_query = turns_wants_query,
	.decide = turns_decide,
	.shrink = turns_shrink,
};
SWAP_POLICY(turns_policy);

/* --- the tests --- */

static void *loop_run(void *opaque)
{
	event_loop_run(opaque);
	return NULL;
}

static int setup(void **state)
{
	struct error err = {""};

	memset(&fixture, 0, sizeof(fixture));
	fixture.vm.symbiotic = (struct sym_vm *)&fixture;
	fixture.vm.memory.ram_size = 256 * MIB;
	fixture.has_mem = true;
	fixture.mem = (struct virtio_mem_state){
		.block_size = 2 * MIB, .limit = 512 * MIB, .driver = true};
	fixture.answer = sizeof(fixture.query);
	fixture.query = (struct sym_swap_query){
		.weight = 100,
		.memcg_limit = UINT64_MAX,
		.mem_total = 240 * MIB,
		.mem_free = 6 * MIB,
		.high_watermark = 4 * MIB,
		.swap_used = 160 * MIB,
		.swap_in = 1000,
		.refault_anon = 1000,
	};
	if (event_loop_create(&fixture.vm.main_loop) < 0 || services_start(&fixture.vm, &err) < 0)
		fail_msg("%s", err.text);
	return pthread_create(&loop_thread, NULL, loop_run, fixture.vm.main_loop);
}

static int teardown(void **state)
{
	event_loop_quit(fixture.vm.main_loop);
	pthread_join(loop_thread, NULL);
	services_stop(&fixture.vm);
	event_loop_destroy(fixture.vm.main_loop);
	return 0;
}

static void attach(const char *policy, const char *pressure)
{
	struct error err = {""};

	if (swap_manager_attach(&fixture.vm, &store, NULL, policy, pressure, &err) < 0)
		fail_msg("%s", err.text);
}

static uint64_t ring(uint64_t hints)
{
	const uint64_t request[6] = {0, 0, hints};

	return fixture.doorbell(fixture.doorbell_opaque, NULL, NULL, request);
}

static json_int_t counted(const char *key, const char *inner)
{
	json_t *all = swap_policy_describe(&fixture.vm);
	json_t *value = json_object_get(all, key);
	json_int_t count;

	assert_non_null(value);
	count = json_integer_value(inner ? json_object_get(value, inner) : value);
	json_decref(all);
	return count;
}

/* Lets the service's timer tick on the main loop's thread for @ms. */
static void run_for(unsigned ms)
{
	usleep(ms * 1000);
}

static void test_grant(void **state)
{
	uint64_t verdict;

	attach("grant", NULL);
	assert_int_equal(fixture.verdicts, SYM_SWAP_ASK_OUT | 3);
	assert_int_equal(fixture.epoch, 1);
	verdict = ring(0);
	assert_int_equal(SYM_VERDICT_KIND(verdict), SYM_VERDICT_GRANT);
	assert_true(SYM_VERDICT_CREDIT(verdict) > 100);
	assert_in_range(fixture.mem.requested, 80 * MIB, 90 * MIB);
	assert_int_equal(counted("decisions", "grant-given"), 1);
	assert_int_equal(counted("given_bytes", NULL), fixture.mem.requested);
	/* The grant is under way: no more is given. */
	verdict = ring(0);
	assert_int_equal(SYM_VERDICT_KIND(verdict), SYM_VERDICT_GRANT);
	assert_int_equal(counted("decisions", "grant-pending"), 1);
	assert_int_equal(swap_ram_bytes(&fixture.vm), 256 * MIB + fixture.mem.requested);
	/* Grants up to the maximum; then the service does not even ask the guest. */
	for (unsigned i = 0; i < 20; i++) {
		fixture.mem.plugged = fixture.mem.requested;
		ring(0);
	}
	assert_int_equal(fixture.mem.requested, 512 * MIB);
	fixture.calls = 0;
	assert_int_equal(SYM_VERDICT_KIND(ring(0)), SYM_VERDICT_COPY);
	assert_int_equal(fixture.calls, 0);
	assert_true(counted("decisions", "grant-max") > 0);
}

static void test_budget(void **state)
{
	attach("grant", NULL);
	fixture.budget = 320 * MIB;
	fixture.slots = 40 * MIB;
	ring(0);
	assert_int_equal(fixture.mem.requested, 24 * MIB);
	fixture.mem.plugged = fixture.mem.requested;
	ring(0);
	assert_int_equal(counted("decisions", "grant-budget"), 1);
	/* The target became smaller: the service asks the difference back. */
	fixture.budget = 310 * MIB;
	run_for(1200);
	assert_int_equal(fixture.mem.requested, 14 * MIB);
	assert_int_equal(counted("taken_back", "budget"), 1);
	assert_int_equal(counted("taken_bytes", NULL), 10 * MIB);
}

static void pressure_write(int fd, const char *some)
{
	char text[128];
	int length = snprintf(text, sizeof(text),
			      "some avg10=%s avg60=0.00 avg300=0.00 total=5\n"
			      "full avg10=0.50 avg60=0.00 avg300=0.00 total=1\n",
			      some);

	assert_int_equal(pwrite(fd, text, (size_t)length, 0), length);
}

static void test_pressure(void **state)
{
	int fd = memfd_create("pressure", 0);
	uint64_t given;
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	pressure_write(fd, "00.00");
	attach("auto", path);
	ring(SYM_SWAP_DECIDE_CANMAP);
	given = fixture.mem.plugged = fixture.mem.requested;
	assert_true(given > 0);
	run_for(1200);
	assert_int_equal(fixture.mem.requested, given);
	pressure_write(fd, "25.75");
	run_for(1200);
	assert_int_equal(counted("pressure_some", NULL), 2575);
	assert_int_equal(counted("pressure_full", NULL), 50);
	assert_true(fixture.mem.requested < given);
	assert_int_equal(counted("taken_back", "pressure"), 1);
	/* A mapping helps if RAM cannot. */
	assert_int_equal(SYM_VERDICT_KIND(ring(SYM_SWAP_DECIDE_CANMAP)), SYM_VERDICT_MAP);
	/* Between the two marks it stays as it was; below the lower one RAM is given again. */
	pressure_write(fd, "07.00");
	run_for(1200);
	assert_int_equal(SYM_VERDICT_KIND(ring(SYM_SWAP_DECIDE_CANMAP)), SYM_VERDICT_MAP);
	pressure_write(fd, "04.00");
	run_for(1200);
	fixture.mem.plugged = fixture.mem.requested;
	assert_int_equal(SYM_VERDICT_KIND(ring(SYM_SWAP_DECIDE_CANMAP)), SYM_VERDICT_GRANT);
	close(fd);
}

static void test_policies_change(void **state)
{
	struct error err;

	assert_int_equal(swap_policy_set(&fixture.vm, "grant", &err), -EOPNOTSUPP);
	assert_null(swap_policy_describe(&fixture.vm));
	/* A VM without the service: an ordinary swap-in. */
	assert_int_equal(SYM_VERDICT_KIND(ring(0)), SYM_VERDICT_COPY);
	attach(NULL, NULL);
	assert_int_equal(fixture.verdicts, SYM_SWAP_ASK_OUT | 7);
	assert_int_equal(swap_policy_set(&fixture.vm, "greedy", &err), -EINVAL);
	assert_non_null(strstr(err.text, "greedy"));
	assert_non_null(strstr(err.text, "auto"));
	assert_int_equal(fixture.epoch, 1);
	assert_int_equal(swap_policy_set(&fixture.vm, "off", &err), 0);
	assert_int_equal(fixture.verdicts, 0);
	assert_int_equal(fixture.epoch, 2);
	fixture.calls = 0;
	assert_int_equal(ring(0), SYM_VERDICT(SYM_VERDICT_COPY, SWAP_CREDIT_MAX, 0));
	assert_int_equal(swap_policy_set(&fixture.vm, "copy", &err), 0);
	assert_int_equal(ring(0), SYM_VERDICT(SYM_VERDICT_COPY, SWAP_CREDIT_MAX, 0));
	assert_int_equal(fixture.calls, 0);
	assert_int_equal(swap_policy_set(&fixture.vm, "map", &err), 0);
	assert_int_equal(fixture.verdicts, 5);
	assert_int_equal(SYM_VERDICT_KIND(ring(SYM_SWAP_DECIDE_CANMAP)), SYM_VERDICT_MAP);
	assert_int_equal(fixture.calls, 1);
}

static void test_policy_with_state(void **state)
{
	struct error err;

	attach("turns", NULL);
	fixture.mem.requested = fixture.mem.plugged = 64 * MIB;
	assert_int_equal(ring(0), SYM_VERDICT(SYM_VERDICT_COPY, 10, 0));
	assert_int_equal(ring(0), SYM_VERDICT(SYM_VERDICT_COPY, 21, 0));
	assert_int_equal(fixture.calls, 1);
	for (unsigned i = 0; i < 100 && fixture.mem.requested; i++)
		run_for(100);
	assert_int_equal(fixture.mem.requested, 0);
	assert_int_equal(counted("taken_back", "idle"), 1);
	/* A policy that is set again begins without state. */
	assert_int_equal(swap_policy_set(&fixture.vm, "turns", &err), 0);
	assert_int_equal(ring(0), SYM_VERDICT(SYM_VERDICT_COPY, 10, 0));
}

static void test_bad_attachments(void **state)
{
	struct vm none = {0};
	struct error err;

	assert_int_equal(swap_manager_attach(&fixture.vm, &store, NULL, "all", NULL, &err),
			 -EINVAL);
	assert_int_equal(swap_manager_attach(&fixture.vm, &store, NULL, NULL, "/nowhere", &err),
			 -ENOENT);
	assert_non_null(strstr(err.text, "/nowhere"));
	assert_int_equal(swap_manager_attach(&none, &store, NULL, NULL, NULL, &err), -EOPNOTSUPP);
}

/* A guest that gives no answer or a wrong one gets copies. */
static void test_guest_does_not_say(void **state)
{
	static const int64_t answers[] = {0, -ENOSYS, 100, sizeof(struct sym_swap_query) - 1};

	attach("auto", NULL);
	for (unsigned i = 0; i < 4; i++) {
		fixture.answer = answers[i];
		assert_int_equal(SYM_VERDICT_KIND(ring(SYM_SWAP_DECIDE_CANMAP)), SYM_VERDICT_COPY);
	}
	fixture.call_status = -ETIMEDOUT;
	assert_int_equal(SYM_VERDICT_KIND(ring(SYM_SWAP_DECIDE_CANMAP)), SYM_VERDICT_COPY);
	assert_int_equal(counted("unanswered", NULL), 5);
	assert_int_equal(counted("decisions", "copy-unasked"), 5);
	assert_int_equal(fixture.mem.requested, 0);
}

/* Random words: never beyond the limit, never a crash, and no RAM that was not asked for. */
static void test_hostile_guest(void **state)
{
	struct error err;

	attach("auto", NULL);
	srand(7);
	for (unsigned i = 0; i < 100000; i++) {
		uint8_t *bytes = (uint8_t *)&fixture.query;

		for (unsigned at = 0; at < sizeof(fixture.query); at++)
			if (rand() % 3 == 0)
				bytes[at] = rand() % 2 ? 0xff : (uint8_t)rand();
		fixture.query.flags &= ~SYM_SWAP_QUERY_MEMCG;
		if (i % 1000 == 0)
			swap_policy_set(&fixture.vm, i % 2000 ? "grant" : "auto", &err);
		ring((uint64_t)rand());
		assert_true(fixture.mem.requested <= fixture.mem.limit);
		assert_int_equal(fixture.mem.requested % fixture.mem.block_size, 0);
		fixture.mem.plugged = (uint64_t)rand() % (fixture.mem.limit + 1);
		if (rand() % 50 == 0)
			fixture.mem.requested = 0;
	}
}

static void test_fixed_memory(void **state)
{
	fixture.has_mem = false;
	attach("grant", NULL);
	assert_int_equal(SYM_VERDICT_KIND(ring(0)), SYM_VERDICT_COPY);
	assert_int_equal(counted("decisions", "grant-no-device"), 1);
	assert_int_equal(fixture.calls, 0);
	assert_int_equal(swap_ram_bytes(&fixture.vm), 256 * MIB);
	run_for(1200);
}

/* A guest that does not plug its grant gets a reminder, no more RAM, and in `auto` a mapping.
 */
static void test_stalled(void **state)
{
	attach("auto", NULL);
	ring(SYM_SWAP_DECIDE_CANMAP);
	assert_true(fixture.mem.requested > 0);
	run_for(6300);
	assert_in_range(fixture.reminders, 4, 6); /* kept at it */
	assert_int_equal(SYM_VERDICT_KIND(ring(SYM_SWAP_DECIDE_CANMAP)), SYM_VERDICT_MAP);
	fixture.mem.plugged = 2 * MIB;
	run_for(1200);
	assert_int_equal(SYM_VERDICT_KIND(ring(SYM_SWAP_DECIDE_CANMAP)), SYM_VERDICT_GRANT);
}

/* The first block comes early if RAM may be granted, and only then; it is not taken back. */
static void test_primed(void **state)
{
	struct error err;

	attach("copy", NULL);
	fixture.spy.mem_free = 200 * MIB;
	run_for(1200);
	assert_int_equal(fixture.mem.requested, 0);
	fixture.mem.driver = false;
	assert_int_equal(swap_policy_set(&fixture.vm, "grant", &err), 0);
	run_for(1200);
	assert_int_equal(fixture.mem.requested, 0);
	fixture.mem.driver = true;
	run_for(1200);
	assert_int_equal(fixture.mem.requested, 2 * MIB);
	fixture.mem.plugged = 2 * MIB;
	fixture.budget = 200 * MIB; /* less than the boot's RAM: everything possible is taken */
	run_for(2200);
	assert_int_equal(fixture.mem.requested, 2 * MIB);
	assert_int_equal(swap_policy_set(&fixture.vm, "copy", &err), 0);
	run_for(1200);
	assert_int_equal(fixture.mem.requested, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_grant),
		TEST(test_budget),
		TEST(test_pressure),
		TEST(test_policies_change),
		TEST(test_policy_with_state),
		TEST(test_bad_attachments),
		TEST(test_guest_does_not_say),
		TEST(test_hostile_guest),
		TEST(test_fixed_memory),
		TEST(test_stalled),
		TEST(test_primed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
