// SPDX-License-Identifier: BSD-2-Clause
#include "util/descriptor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

int descriptor_fill_standard(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		int filled;

		if (fcntl(fd, F_GETFD) >= 0 || errno != EBADF)
			continue;
		/* Opened the other way round than it is used, so that its use fails. */
		filled = open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
		if (filled < 0)
			filled = open("/", O_PATH | O_DIRECTORY);
		if (filled < 0)
			return -errno;
	}
	return 0;
}

int descriptor_reopen(int fd, int flags, bool *own)
{
	char path[32];
	struct stat status;
	int fresh;

	*own = false;
	if (fstat(fd, &status) < 0)
		return -1;
	if (!S_ISFIFO(status.st_mode) && !S_ISCHR(status.st_mode))
		return fd;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	fresh = open(path, flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fresh < 0)
		return fd;
	*own = true;
	return fresh;
}

int descriptor_write_at(int fd, const void *data, size_t size, off_t offset)
{
	const char *bytes = data;

	while (size) {
		ssize_t done = pwrite(fd, bytes, size, offset);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return done < 0 ? -errno : -EIO;
		bytes += done;
		offset += done;
		size -= (size_t)done;
	}
	return 0;
}
