// SPDX-License-Identifier: BSD-2-Clause
/* The thread that writes to a file: order, limits, and a write that does not return. */
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "util/file_writer.h"

#define PIECE	 1000u
#define PUT_MOST 100u /* pieces: more than a buffer holds */

struct sink {
	struct file_writer *writer;
	sem_t pass; /* writes that may return, if @held */
	_Atomic bool held;
	pthread_t thread; /* that wrote */
	uint8_t data[4 * FILE_WRITER_SIZE];
	_Atomic size_t length;
	_Atomic unsigned writes, rooms;
};

static void sink_write(void *opaque, const uint8_t *data, size_t length)
{
	struct sink *sink = opaque;

	atomic_fetch_add(&sink->writes, 1);
	if (atomic_load(&sink->held))
		sem_wait(&sink->pass);
	sink->thread = pthread_self();
	memcpy(sink->data + sink->length, data, length);
	atomic_fetch_add(&sink->length, length);
}

static void sink_room(void *opaque)
{
	struct sink *sink = opaque;

	atomic_fetch_add(&sink->rooms, 1);
}

static int enter(void *opaque, struct error *err)
{
	int status = *(int *)opaque;

	return status < 0 ? error_set(err, status, "no entry") : 0;
}

static struct sink *sink_create(void)
{
	static struct sink sink;
	const struct file_writer_config config = {
		.name = "sink", .write = sink_write, .room = sink_room, .opaque = &sink};

	memset(&sink, 0, sizeof(sink));
	sem_init(&sink.pass, 0, 0);
	assert_int_equal(file_writer_create(&config, &sink.writer), 0);
	return &sink;
}

static void start(struct sink *sink)
{
	struct error err = {""};
	int status = 0;

	assert_int_equal(file_writer_start(sink->writer, enter, &status, &err), 0);
}

/* Puts pieces of which each has its own byte, from @first on, until one is refused, at most
 * PUT_MOST. */
static unsigned put_all(struct sink *sink, unsigned first)
{
	uint8_t piece[PIECE];
	unsigned count = 0;

	for (; count < PUT_MOST; count++) {
		memset(piece, (int)(first + count), sizeof(piece));
		if (!file_writer_put(sink->writer, piece, sizeof(piece)))
			break;
	}
	return count;
}

static void assert_in_order(const struct sink *sink, unsigned pieces)
{
	assert_int_equal(sink->length, pieces * PIECE);
	for (unsigned i = 0; i < pieces * PIECE; i++)
		assert_int_equal(sink->data[i], (uint8_t)(i / PIECE));
}

static void wait_for(_Atomic unsigned *count, unsigned value)
{
	for (unsigned i = 0; i < 10000 && atomic_load(count) < value; i++)
		usleep(1000);
	assert_true(atomic_load(count) >= value);
}

/* Puts one piece, and waits until its write began. */
static void put_first(struct sink *sink)
{
	static const uint8_t piece[PIECE];

	assert_true(file_writer_put(sink->writer, piece, sizeof(piece)));
	wait_for(&sink->writes, 1);
}

static void without_a_thread_the_caller_writes(void **state)
{
	struct sink *sink = sink_create();

	assert_true(file_writer_put(sink->writer, (const uint8_t *)"abc", 3));
	assert_int_equal(sink->length, 3);
	assert_true(pthread_equal(sink->thread, pthread_self()));
	assert_true(file_writer_flush(sink->writer, 0));
	assert_true(file_writer_end(sink->writer, 0));
	file_writer_destroy(sink->writer);
}

static void the_thread_writes_in_order(void **state)
{
	struct sink *sink = sink_create();
	uint8_t piece[PIECE];

	start(sink);
	for (unsigned i = 0; i < 200; i++) {
		memset(piece, (int)i, sizeof(piece));
		while (!file_writer_put(sink->writer, piece, sizeof(piece)))
			usleep(1000);
	}
	assert_true(file_writer_end(sink->writer, 10000));
	assert_in_order(sink, 200);
	assert_false(pthread_equal(sink->thread, pthread_self()));
	file_writer_destroy(sink->writer);
}

/* A write that does not return: more is refused, and later there is room again. */
static void what_has_no_room_is_refused(void **state)
{
	struct sink *sink = sink_create();
	unsigned taken;

	atomic_store(&sink->held, true);
	start(sink);
	put_first(sink);
	taken = 1 + put_all(sink, 1);
	assert_int_equal(taken, 1 + FILE_WRITER_SIZE / PIECE);
	assert_false(file_writer_flush(sink->writer, 1));
	assert_int_equal(sink->rooms, 0);
	atomic_store(&sink->held, false);
	sem_post(&sink->pass);
	wait_for(&sink->rooms, 1);
	assert_true(file_writer_flush(sink->writer, 10000));
	assert_in_order(sink, taken);
	taken += put_all(sink, taken);
	assert_true(file_writer_end(sink->writer, 10000));
	assert_in_order(sink, taken);
	file_writer_destroy(sink->writer);
}

/* The end does not wait for a write that does not return. */
static void an_end_has_a_limit(void **state)
{
	struct sink *sink = sink_create();

	atomic_store(&sink->held, true);
	start(sink);
	put_first(sink);
	put_all(sink, 1);
	assert_false(file_writer_end(sink->writer, 10));
	assert_false(file_writer_put(sink->writer, (const uint8_t *)"x", 1));
	/* It returns after all: nothing more is written, and no room announced. */
	sem_post(&sink->pass);
	assert_true(file_writer_end(sink->writer, 10000));
	assert_int_equal(sink->writes, 1);
	assert_int_equal(sink->rooms, 0);
	file_writer_destroy(sink->writer);
}

static void a_thread_that_cannot_enter_its_jail_is_an_error(void **state)
{
	struct sink *sink = sink_create();
	struct error err = {""};
	int status = -13;

	assert_int_equal(file_writer_start(sink->writer, enter, &status, &err), -13);
	assert_string_equal(err.text, "no entry");
	assert_false(file_writer_put(sink->writer, (const uint8_t *)"x", 1));
	assert_true(file_writer_end(sink->writer, 10000));
	file_writer_destroy(sink->writer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_a_thread_the_caller_writes),
		cmocka_unit_test(the_thread_writes_in_order),
		cmocka_unit_test(what_has_no_room_is_refused),
		cmocka_unit_test(an_end_has_a_limit),
		cmocka_unit_test(a_thread_that_cannot_enter_its_jail_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
