// SPDX-License-Identifier: BSD-2-Clause
/*
 * Huge pages decide how often a guest's first touch of memory leaves it: once per 2 MiB or once
 * per 4 KiB. Debian's kernels give them to private memory but, by default, not to memfds; RAM is
 * shared memory here, because other processes are to map it (vhost-user, snapshots). A tmpfs
 * instance has a setting of its own (Documentation/admin-guide/mm/transhuge.rst), and an instance
 * that is mounted nowhere is as private as a memfd.
 */
#include "memory/memory_backing.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <unistd.h>

#include "memory/memory_host.h"

#define FILE_NAME   "symvm-ram"
#define THP_ENABLED "/sys/kernel/mm/transparent_hugepage/enabled"

bool memory_file_huge_allowed(void)
{
	char text[64] = "";
	int fd = open(THP_ENABLED, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return false;
	if (read(fd, text, sizeof(text) - 1) < 0)
		text[0] = '\0';
	close(fd);
	return text[0] && !strstr(text, "[never]");
}

/* An unmounted tmpfs with huge=advise and no limit of its own, or -1; needs CAP_SYS_ADMIN. */
static int huge_tmpfs(void)
{
	int context = fsopen("tmpfs", FSOPEN_CLOEXEC), mount = -1;

	if (context < 0)
		return -1;
	if (fsconfig(context, FSCONFIG_SET_STRING, "huge", "advise", 0) == 0 &&
	    fsconfig(context, FSCONFIG_SET_STRING, "size", "0", 0) == 0 &&
	    fsconfig(context, FSCONFIG_SET_STRING, "mode", "0700", 0) == 0 &&
	    fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) == 0)
		mount = fsmount(context, FSMOUNT_CLOEXEC,
				MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
	close(context);
	return mount;
}

static int huge_file(void)
{
	int mount = huge_tmpfs(), fd;

	if (mount < 0)
		return -1;
	fd = openat(mount, FILE_NAME, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd >= 0)
		unlinkat(mount, FILE_NAME, 0);
	close(mount);
	return fd;
}

int memory_file_create(const struct memory_config *config, struct error *err)
{
	unsigned flags = MFD_CLOEXEC | (config->huge_pages ? MFD_HUGETLB | MFD_HUGE_2MB : 0);
	int fd = -1, status;

	if (!config->huge_pages && memory_file_huge_allowed())
		fd = huge_file();
	if (fd < 0)
		fd = memfd_create(FILE_NAME, flags);
	if (fd < 0)
		return error_set_errno(err, -errno, "memory: cannot create a file%s",
				       config->huge_pages ? " of huge pages of 2 MiB" : "");
	if (ftruncate(fd, (off_t)config->size) < 0) {
		status = error_set_errno(err, -errno, "memory: cannot size the memfd to %llu MiB",
					 (unsigned long long)(config->size >> 20));
		close(fd);
		return status;
	}
	return fd;
}

int memory_file_reserve(int fd, uint64_t size, struct error *err)
{
	struct memory_host host;
	int status;

	do {
		status = fallocate(fd, 0, 0, (off_t)size) < 0 ? -errno : 0;
	} while (status == -EINTR);
	if (status == 0)
		return 0;
	/* Give the taken pages back first, so that the count of free pages is right. */
	if (ftruncate(fd, 0) < 0)
		return error_set_errno(err, -errno, "memory: cannot give huge pages back");
	memory_host_read_huge(&host, "");
	return memory_host_explain_huge(&host, size, status == -ENOSPC ? -ENOMEM : status, err);
}
