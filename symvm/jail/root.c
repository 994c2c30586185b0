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

#define RESOLVER "/etc/resolv.conf"
#define BASE	 "/dev" /* any directory that exists: the new root lies on it for a moment */
#define LINKS	 8

static void add_dir(struct jail_root_dirs *dirs, const char *path)
{
	for (unsigned i = 0; i < dirs->count; i++)
		if (strcmp(dirs->paths[i], path) == 0)
			return;
	if (dirs->count < JAIL_ROOT_DIRS_MAX)
		snprintf(dirs->paths[dirs->count++], sizeof(dirs->paths[0]), "%s", path);
}

/* The absolute path, without links in its directories, of the directory of @path. */
static bool directory_of(const char *path, char *dir, size_t size)
{
	char text[32], copy[512], *slash;
	ssize_t length;
	int fd;

	snprintf(copy, sizeof(copy), "%s", path);
	slash = strrchr(copy, '/');
	if (!slash)
		return false;
	slash[slash == copy ? 1 : 0] = '\0';
	fd = open(copy, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return false;
	snprintf(text, sizeof(text), "/proc/self/fd/%d", fd);
	length = readlink(text, dir, size - 1);
	close(fd);
	if (length <= 1) /* never the whole root */
		return false;
	dir[length] = '\0';
	return true;
}

void jail_root_find_resolver(struct jail_root_dirs *dirs)
{
	char path[512] = RESOLVER, dir[256], target[512], next[768];

	for (unsigned i = 0; i < LINKS && directory_of(path, dir, sizeof(dir)); i++) {
		ssize_t length = readlink(path, target, sizeof(target) - 1);

		add_dir(dirs, dir);
		if (length <= 0)
			return;
		target[length] = '\0';
		snprintf(next, sizeof(next), "%s%s%s", target[0] == '/' ? "" : dir,
			 target[0] == '/' ? "" : "/", target);
		if (snprintf(path, sizeof(path), "%s", next) >= (int)sizeof(path))
			return;
	}
}

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

/* A user namespace in which our ids are as outside, and all others have none. */
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

/* mkdir -p of @path below the new root, where we are. */
static void make_dirs(char *path)
{
	for (char *slash = path; (slash = strchr(slash, '/')); slash++) {
		*slash = '\0';
		mkdir(path, 0555);
		*slash = '/';
	}
	mkdir(path, 0555);
}

/* Shows the host's directory @path, whose tree @fd is, at the same place below the new root. */
static int show_dir(int fd, const char *path)
{
	struct mount_attr attributes = {.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID |
						    MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC};
	char below[260];

	snprintf(below, sizeof(below), ".%s", path);
	make_dirs(below);
	if (mount_setattr(fd, "", AT_EMPTY_PATH | AT_RECURSIVE, &attributes, sizeof(attributes)) <
		    0 ||
	    move_mount(fd, "", AT_FDCWD, below, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return -errno;
	return 0;
}

static int show_dirs(const struct jail_root_dirs *dirs, const int *trees)
{
	int status = 0;

	for (unsigned i = 0; i < dirs->count && status == 0; i++)
		if (trees[i] >= 0)
			status = show_dir(trees[i], dirs->paths[i]);
	return status;
}

/* Lays an empty file system on BASE, moves into it and lets go of everything else. */
static int change_root(const struct jail_root_dirs *dirs, const int *trees)
{
	int status;

	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("symvm", BASE, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC,
		  "size=64k,nr_inodes=32,mode=0555") < 0 ||
	    chdir(BASE) < 0)
		return -errno;
	status = show_dirs(dirs, trees);
	if (status < 0)
		return status;
	if (mount(NULL, ".", NULL,
		  MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0 ||
	    syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
		return -errno;
	return 0;
}

static int enter_mount_namespace(const struct jail_root_dirs *dirs)
{
	int trees[JAIL_ROOT_DIRS_MAX], status;

	if (unshare(CLONE_NEWNS) < 0)
		return -errno;
	for (unsigned i = 0; i < dirs->count; i++)
		trees[i] = open_tree(AT_FDCWD, dirs->paths[i],
				     OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
	status = change_root(dirs, trees);
	for (unsigned i = 0; i < dirs->count; i++)
		if (trees[i] >= 0)
			close(trees[i]);
	return status;
}

/* For root without CAP_SYS_ADMIN, as in most containers: a directory that is removed already. */
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

void jail_root_enter(const struct jail_root_dirs *dirs, bool network, struct jail_root_state *state)
{
	int status = 0;

	*state = (struct jail_root_state){0};
	if (geteuid() != 0) {
		status = enter_user_namespace();
		state->user_namespace = status == 0;
	}
	if (status == 0) {
		status = enter_mount_namespace(dirs);
		state->mount_namespace = status == 0;
		if (status < 0 && dirs->count == 0)
			state->changed_root = enter_removed_directory() == 0;
	}
	if (status == 0 && !network) {
		status = unshare(CLONE_NEWNET) < 0 ? -errno : 0;
		state->network_namespace = status == 0;
	}
	state->error = status;
}
