// SPDX-License-Identifier: BSD-2-Clause
#include "util/file_writer.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "util/clock.h"

enum state {
	STATE_NONE,    /* no thread: callers write */
	STATE_RUNNING, /* or about to enter its jail */
	STATE_ENDING,  /* it ends when all is written */
	STATE_LEFT,    /* nobody waits for it: it ends after the call under way */
	STATE_ENDED,
};

struct file_writer {
	struct file_writer_config config;
	pthread_t thread;
	int (*enter)(void *opaque, struct error *err);
	void *enter_opaque;
	struct error *err;

	pthread_mutex_t lock;	/* guards the members below */
	pthread_cond_t wanted;	/* the thread waits */
	pthread_cond_t changed; /* for the thread */
	enum state state;
	bool entered;
	int status;   /* of @enter */
	bool refused; /* config.room is due */
	bool writing; /* the other buffer */
	unsigned current;
	size_t count; /* bytes in the current buffer */
	uint8_t buffers[2][FILE_WRITER_SIZE];
};

/*
 * Writes what was put so far in one piece, so that lines stay whole. The lock is held, except
 * during the write; meanwhile callers fill the other buffer.
 */
static void write_current(struct file_writer *writer)
{
	const struct file_writer_config *config = &writer->config;
	const uint8_t *data = writer->buffers[writer->current];
	size_t count = writer->count;
	bool room = writer->refused && config->room && writer->state == STATE_RUNNING;

	writer->current ^= 1;
	writer->count = 0;
	writer->refused = false;
	writer->writing = true;
	pthread_mutex_unlock(&writer->lock);
	if (room)
		config->room(config->opaque);
	config->write(config->opaque, data, count);
	pthread_mutex_lock(&writer->lock);
	writer->writing = false;
	pthread_cond_broadcast(&writer->changed);
}

static void *writer_thread(void *opaque)
{
	struct file_writer *writer = opaque;
	int status;

	pthread_setname_np(pthread_self(), writer->config.name);
	status = writer->enter(writer->enter_opaque, writer->err);
	pthread_mutex_lock(&writer->lock);
	writer->status = status;
	writer->entered = true;
	pthread_cond_broadcast(&writer->changed);
	while (status == 0 && writer->state != STATE_LEFT) {
		if (writer->count)
			write_current(writer);
		else if (writer->state == STATE_RUNNING)
			pthread_cond_wait(&writer->wanted, &writer->lock);
		else
			break;
	}
	writer->state = STATE_ENDED;
	pthread_cond_broadcast(&writer->changed);
	pthread_mutex_unlock(&writer->lock);
	return NULL;
}

int file_writer_create(const struct file_writer_config *config, struct file_writer **out)
{
	struct file_writer *writer = calloc(1, sizeof(*writer));

	if (!writer)
		return -ENOMEM;
	writer->config = *config;
	pthread_mutex_init(&writer->lock, NULL);
	pthread_cond_init(&writer->wanted, NULL);
	clock_condition_init(&writer->changed);
	*out = writer;
	return 0;
}

int file_writer_start(struct file_writer *writer, int (*enter)(void *opaque, struct error *err),
		      void *enter_opaque, struct error *err)
{
	int status;

	writer->enter = enter;
	writer->enter_opaque = enter_opaque;
	writer->err = err;
	pthread_mutex_lock(&writer->lock);
	writer->state = STATE_RUNNING;
	status = -pthread_create(&writer->thread, NULL, writer_thread, writer);
	if (status < 0) {
		writer->state = STATE_NONE;
		pthread_mutex_unlock(&writer->lock);
		return error_set_errno(err, status, "%s: pthread_create", writer->config.name);
	}
	while (!writer->entered)
		pthread_cond_wait(&writer->changed, &writer->lock);
	status = writer->status;
	pthread_mutex_unlock(&writer->lock);
	return status;
}

bool file_writer_put(struct file_writer *writer, const uint8_t *data, size_t length)
{
	bool fits;

	pthread_mutex_lock(&writer->lock);
	if (writer->state == STATE_NONE) {
		writer->config.write(writer->config.opaque, data, length);
		pthread_mutex_unlock(&writer->lock);
		return true;
	}
	fits = writer->state == STATE_RUNNING && length <= FILE_WRITER_SIZE - writer->count;
	if (fits) {
		memcpy(writer->buffers[writer->current] + writer->count, data, length);
		writer->count += length;
	} else {
		writer->refused = true;
	}
	pthread_cond_signal(&writer->wanted);
	pthread_mutex_unlock(&writer->lock);
	return fits;
}

bool file_writer_flush(struct file_writer *writer, unsigned ms)
{
	struct timespec until = clock_deadline(CLOCK_MONOTONIC, ms);
	bool empty;

	pthread_mutex_lock(&writer->lock);
	while ((writer->count || writer->writing) && writer->state != STATE_ENDED)
		if (pthread_cond_timedwait(&writer->changed, &writer->lock, &until) != 0)
			break;
	empty = writer->count == 0 && !writer->writing;
	pthread_mutex_unlock(&writer->lock);
	return empty;
}

/* Asks the thread to end, and waits for that until @until. The lock is held. */
static bool wait_for_end(struct file_writer *writer, const struct timespec *until)
{
	if (writer->state == STATE_RUNNING)
		writer->state = STATE_ENDING;
	pthread_cond_signal(&writer->wanted);
	while (writer->state != STATE_ENDED)
		if (pthread_cond_timedwait(&writer->changed, &writer->lock, until) != 0)
			break;
	if (writer->state == STATE_ENDED)
		return true;
	writer->state = STATE_LEFT;
	return false;
}

bool file_writer_end(struct file_writer *writer, unsigned ms)
{
	struct timespec until = clock_deadline(CLOCK_MONOTONIC, ms);
	bool started, ended;

	if (!writer)
		return true;
	pthread_mutex_lock(&writer->lock);
	started = writer->state != STATE_NONE;
	ended = !started || wait_for_end(writer, &until);
	pthread_mutex_unlock(&writer->lock);
	if (!started || !ended)
		return ended;
	pthread_join(writer->thread, NULL);
	pthread_mutex_lock(&writer->lock);
	writer->state = STATE_NONE;
	pthread_mutex_unlock(&writer->lock);
	return true;
}

void file_writer_destroy(struct file_writer *writer)
{
	if (!writer)
		return;
	pthread_mutex_destroy(&writer->lock);
	pthread_cond_destroy(&writer->wanted);
	pthread_cond_destroy(&writer->changed);
	free(writer);
}
