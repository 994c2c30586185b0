// SPDX-License-Identifier: BSD-2-Clause
/* Format: Linux Documentation/accounting/psi.rst; a cgroup's memory.pressure has the same. */
#include "util/psi.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "util/text_file.h"

#define MACHINE	    "/proc/pressure/memory"
#define OWN_CGROUP  "/proc/self/cgroup"
#define CGROUP_ROOT "/sys/fs/cgroup"

uint32_t psi_hundredths(const char *text)
{
	unsigned whole = 0, fraction = 0;

	if (sscanf(text, "%u.%2u", &whole, &fraction) < 1 || whole > UINT32_MAX / 100 - 1)
		return 0;
	return whole * 100 + fraction;
}

/* The avg10 of the line that starts with @kind. */
static uint32_t average_read(const char *text, const char *kind)
{
	const char *line = strstr(text, kind);
	const char *value = line ? strstr(line, "avg10=") : NULL;

	return value ? psi_hundredths(value + strlen("avg10=")) : 0;
}

/* Some kernels have the file, but refuse to read it: PSI is off by default in Debian. */
static int open_readable(const char *path)
{
	char text[256];
	int fd = open(path, O_RDONLY | O_CLOEXEC), status;

	if (fd < 0)
		return -errno;
	status = (int)text_file_read_fd(fd, text, sizeof(text));
	if (status >= 0)
		return fd;
	close(fd);
	return status;
}

int psi_open(const char *path, struct error *err)
{
	int fd = open_readable(path ? path : MACHINE);

	if (fd < 0)
		return error_set_errno(err, fd, "memory pressure: %s", path ? path : MACHINE);
	return fd;
}

int psi_open_cgroup(void)
{
	char text[PATH_MAX], path[PATH_MAX + sizeof(CGROUP_ROOT) + 32];
	int status = (int)text_file_read(OWN_CGROUP, text, sizeof(text));
	char *line;

	if (status < 0)
		return status;
	/* The line of cgroup v2 is "0::/path". */
	line = strncmp(text, "0::", 3) == 0 ? text : strstr(text, "\n0::");
	if (!line)
		return -ENOENT;
	line = strchr(line, '/');
	if (!line)
		return -ENOENT;
	line[strcspn(line, "\n")] = '\0';
	snprintf(path, sizeof(path), CGROUP_ROOT "%s/memory.pressure", line);
	return open_readable(path);
}

struct psi psi_read(int fd)
{
	char text[512];

	if (text_file_read_fd(fd, text, sizeof(text)) <= 0)
		return (struct psi){0};
	return (struct psi){.some = average_read(text, "some"), .full = average_read(text, "full")};
}
