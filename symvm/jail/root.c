// SPDX-License-Identifier: BSD-2-Clause
#include "jail/root.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BASE "/dev" /* any directory that exists: the new root is mounted on it for a moment */

static int write_map(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), status = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		status = -errno;
	close(fd);
	return status;
}

/* Enters a user namespace in which our ids are as outside, and no others exist. */
static int enter_user_namespace(void)
{
	uid_t uid = geteuid();
	gid_t gid = getegid();
	char text[48];
	int status;

	if (unshare(CLONE_NEWUSER) < 0)
		return -errno;
	status = write_map("/proc/self/setgroups", "deny");
	snprintf(text, sizeof(text), "%u %u 1", uid, uid);
	if (status == 0)
		status = write_map("/proc/self/uid_map", text);
	snprintf(text, sizeof(text), "%u %u 1", gid, gid);
	if (status == 0)
		status = write_map("/proc/self/gid_map", text);
	return status;
}

/* Mounts an empty file system on BASE, makes it the root and detaches everything else. */
static int change_root(void)
{
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("symvm", BASE, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC,
		  "size=64k,nr_inodes=2,mode=0555") < 0 ||
	    chdir(BASE) < 0)
		return -errno;
	if (mount(NULL, ".", NULL,
		  MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0 ||
	    syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
		return -errno;
	return 0;
}

static int enter_mount_namespace(void)
{
	return unshare(CLONE_NEWNS) < 0 ? -errno : change_root();
}

/* For root without CAP_SYS_ADMIN, as in most containers: the root becomes a removed directory. */
static int enter_removed_directory(void)
{
	char path[] = "/tmp/symvm-root-XXXXXX";
	int fd, status = 0;

	if (!mkdtemp(path))
		return -errno;
	fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	rmdir(path);
	if (fd < 0 || fchdir(fd) < 0 || chroot(".") < 0)
		status = -errno;
	if (fd >= 0)
		close(fd);
	return status;
}

void jail_root_enter(bool network, struct jail_root_state *state)
{
	int status = 0;

	*state = (struct jail_root_state){0};
	if (geteuid() != 0) {
		status = enter_user_namespace();
		state->user_namespace = status == 0;
	}
	if (status == 0) {
		status = enter_mount_namespace();
		state->mount_namespace = status == 0;
		if (status < 0)
			state->changed_root = enter_removed_directory() == 0;
	}
	if (status == 0 && !network) {
		status = unshare(CLONE_NEWNET) < 0 ? -errno : 0;
		state->network_namespace = status == 0;
	}
	state->error = status;
}
