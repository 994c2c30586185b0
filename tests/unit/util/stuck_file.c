// SPDX-License-Identifier: BSD-2-Clause
#include "stuck_file.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t released = PTHREAD_COND_INITIALIZER;
static struct stat held;
static _Atomic bool holds;
static _Atomic unsigned waiting;

static bool is_held(int fd)
{
	struct stat status;

	return atomic_load(&holds) && fstat(fd, &status) == 0 && status.st_dev == held.st_dev &&
	       status.st_ino == held.st_ino;
}

/* Comes before the C library's. */
ssize_t write(int fd, const void *data, size_t length)
{
	if (is_held(fd)) {
		pthread_mutex_lock(&lock);
		atomic_fetch_add(&waiting, 1);
		while (atomic_load(&holds))
			pthread_cond_wait(&released, &lock);
		atomic_fetch_sub(&waiting, 1);
		pthread_mutex_unlock(&lock);
	}
	return syscall(SYS_write, fd, data, length);
}

void stuck_file_hold(const char *path)
{
	if (stat(path, &held) < 0)
		abort();
	atomic_store(&holds, true);
}

bool stuck_file_reached(void)
{
	for (unsigned i = 0; i < 10000 && atomic_load(&waiting) == 0; i++)
		usleep(1000);
	return atomic_load(&waiting) > 0;
}

void stuck_file_release(void)
{
	pthread_mutex_lock(&lock);
	atomic_store(&holds, false);
	pthread_cond_broadcast(&released);
	pthread_mutex_unlock(&lock);
}
