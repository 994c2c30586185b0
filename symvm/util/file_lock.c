// SPDX-License-Identifier: BSD-2-Clause
#include "util/file_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "util/clock.h"

#define STEP_US 20000u

/* One try. A descriptor or 0; -EBUSY: it is in use; another -errno. */
struct attempt {
	int (*try)(const struct attempt *attempt);
	int fd;
	bool shared;
	const char *path;
	int flags;
	mode_t mode;
};

static int attempt_until(const struct attempt *attempt, unsigned wait_ms)
{
	uint64_t end = clock_now_ns() + wait_ms * NS_PER_MS;
	int status = attempt->try(attempt);

	while (status == -EBUSY && clock_now_ns() < end) {
		usleep(STEP_US);
		status = attempt->try(attempt);
	}
	return status;
}

static int records_try(const struct attempt *attempt)
{
	struct flock lock = {
		.l_type = attempt->shared ? F_RDLCK : F_WRLCK,
		.l_whence = SEEK_SET,
	};

	if (fcntl(attempt->fd, F_OFD_SETLK, &lock) == 0)
		return 0;
	return errno == EAGAIN || errno == EACCES ? -EBUSY : -errno;
}

int file_lock_records(int fd, bool shared, unsigned wait_ms)
{
	return attempt_until(&(struct attempt){.try = records_try, .fd = fd, .shared = shared},
			     wait_ms);
}

static int whole_try(const struct attempt *attempt)
{
	if (flock(attempt->fd, LOCK_EX | LOCK_NB) == 0)
		return 0;
	return errno == EWOULDBLOCK ? -EBUSY : -errno;
}

int file_lock_whole(int fd, unsigned wait_ms)
{
	return attempt_until(&(struct attempt){.try = whole_try, .fd = fd}, wait_ms);
}

static int open_try(const struct attempt *attempt)
{
	int fd = open(attempt->path, attempt->flags, attempt->mode);

	return fd < 0 ? -errno : fd;
}

int file_lock_open(const char *path, int flags, mode_t mode, unsigned wait_ms)
{
	return attempt_until(
		&(struct attempt){.try = open_try, .path = path, .flags = flags, .mode = mode},
		wait_ms);
}
