// SPDX-License-Identifier: BSD-2-Clause
#include "util/text_file.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

ssize_t text_file_read_fd(int fd, char *text, size_t size)
{
	ssize_t got = pread(fd, text, size - 1, 0);

	text[got > 0 ? got : 0] = '\0';
	return got < 0 ? -errno : got;
}

ssize_t text_file_read(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got;

	text[0] = '\0';
	if (fd < 0)
		return -errno;
	got = text_file_read_fd(fd, text, size);
	close(fd);
	return got;
}
