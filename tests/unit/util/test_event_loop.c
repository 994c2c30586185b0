// SPDX-License-Identifier: BSD-2-Clause
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <cmocka.h>

#include "util/event_loop.h"

struct fixture {
	struct event_loop *loop;
	pthread_t thread;
	int fd;
	_Atomic int fired;
	_Atomic int inside;   /* of exclusively() */
	_Atomic int overlaps; /* that it saw */
	struct event_source *source;
};

static void *run(void *opaque)
{
	event_loop_run(((struct fixture *)opaque)->loop);
	return NULL;
}

static int setup(void **state)
{
	static struct fixture fixture;

	fixture.fired = 0;
	fixture.fd = eventfd(0, EFD_NONBLOCK);
	if (event_loop_create(&fixture.loop) < 0)
		return -1;
	*state = &fixture;
	return pthread_create(&fixture.thread, NULL, run, &fixture);
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	event_loop_quit(fixture->loop);
	pthread_join(fixture->thread, NULL);
	event_loop_destroy(fixture->loop);
	close(fixture->fd);
	return 0;
}

static void count_event(void *opaque, uint32_t events)
{
	struct fixture *fixture = opaque;
	uint64_t value;

	if (read(fixture->fd, &value, sizeof(value)) > 0)
		fixture->fired++;
}

static void nothing(void *opaque)
{
}

static void ring(struct fixture *fixture)
{
	uint64_t one = 1;

	assert_int_equal(write(fixture->fd, &one, sizeof(one)), sizeof(one));
}

static void wait_for(struct fixture *fixture, int count)
{
	for (int i = 0; i < 2000 && fixture->fired < count; i++)
		usleep(1000);
	assert_int_equal(fixture->fired, count);
}

static void test_source_fires_until_removed(void **state)
{
	struct fixture *fixture = *state;

	fixture->source = event_loop_add(fixture->loop, fixture->fd, EPOLLIN, count_event, fixture);
	assert_non_null(fixture->source);
	ring(fixture);
	wait_for(fixture, 1);
	event_source_remove(fixture->source);
	ring(fixture);
	event_loop_call(fixture->loop, nothing, NULL);
	assert_int_equal(fixture->fired, 1);
}

static void remove_itself(void *opaque, uint32_t events)
{
	struct fixture *fixture = opaque;

	event_source_remove(fixture->source);
	fixture->fired++;
}

static void test_source_may_remove_itself(void **state)
{
	struct fixture *fixture = *state;

	fixture->source = event_loop_add(fixture->loop, fixture->fd, 0, remove_itself, fixture);
	ring(fixture);
	assert_int_equal(event_source_modify(fixture->source, EPOLLIN), 0);
	wait_for(fixture, 1);
	event_loop_call(fixture->loop, nothing, NULL);
	assert_int_equal(fixture->fired, 1);
}

static void add_one(void *opaque)
{
	(*(_Atomic int *)opaque)++;
}

static void test_call_waits_for_its_end(void **state)
{
	struct fixture *fixture = *state;

	for (int i = 1; i <= 100; i++) {
		assert_int_equal(event_loop_call(fixture->loop, add_one, &fixture->fired), 0);
		assert_int_equal(fixture->fired, i);
	}
	for (int i = 0; i < 100; i++)
		assert_int_equal(event_loop_post(fixture->loop, add_one, &fixture->fired), 0);
	wait_for(fixture, 200);
}

static void test_call_without_a_thread_runs_at_once(void **state)
{
	struct event_loop *loop;
	_Atomic int count = 0;

	assert_int_equal(event_loop_create(&loop), 0);
	assert_int_equal(event_loop_call(loop, add_one, &count), 0);
	assert_int_equal(count, 1);
	event_loop_destroy(loop);
}

/* Functions of both threads below. The test would see two at once. */
static void exclusively(void *opaque)
{
	struct fixture *fixture = opaque;

	if (atomic_fetch_add(&fixture->inside, 1) != 0)
		fixture->overlaps++;
	usleep(100);
	atomic_fetch_sub(&fixture->inside, 1);
	fixture->fired++;
}

static void *call_often(void *opaque)
{
	struct fixture *fixture = opaque;

	for (int i = 0; i < 50; i++)
		event_loop_call(fixture->loop, exclusively, fixture);
	return NULL;
}

static void post_again(void *opaque)
{
	struct fixture *fixture = opaque;

	fixture->fired++;
	event_loop_post(fixture->loop, post_again, fixture);
}

static void a_function_that_posts_itself_holds_up_no_end(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(event_loop_post(fixture->loop, post_again, fixture), 0);
	while (fixture->fired < 10)
		usleep(1000);
	/* The teardown ends the loop. */
}

static void calls_exclude_each_other_while_the_loop_ends(void **state)
{
	struct fixture *fixture = *state;
	pthread_t caller;

	fixture->overlaps = 0;
	for (int round = 0; round < 50; round++) {
		int before = fixture->fired;

		assert_int_equal(pthread_create(&caller, NULL, call_often, fixture), 0);
		for (int i = 0; i < 20; i++)
			assert_int_equal(event_loop_post(fixture->loop, exclusively, fixture), 0);
		event_loop_quit(fixture->loop);
		pthread_join(fixture->thread, NULL);
		pthread_join(caller, NULL);
		assert_true(fixture->fired - before >= 50);
		event_loop_destroy(fixture->loop);
		assert_int_equal(event_loop_create(&fixture->loop), 0);
		assert_int_equal(pthread_create(&fixture->thread, NULL, run, fixture), 0);
	}
	assert_int_equal(fixture->overlaps, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_source_fires_until_removed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_source_may_remove_itself, setup, teardown),
		cmocka_unit_test_setup_teardown(test_call_waits_for_its_end, setup, teardown),
		cmocka_unit_test_setup_teardown(a_function_that_posts_itself_holds_up_no_end, setup,
						teardown),
		cmocka_unit_test_setup_teardown(calls_exclude_each_other_while_the_loop_ends, setup,
						teardown),
		cmocka_unit_test(test_call_without_a_thread_runs_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
