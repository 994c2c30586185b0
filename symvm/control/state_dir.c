// SPDX-License-Identifier: BSD-2-Clause
#include "control/state_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "machine/vm.h"

#define DEFAULT_STATE_DIR "/run/symvm"

_Static_assert(sizeof(((struct state_name *)0)->name) > VM_NAME_MAX, "a name must fit");

int state_name_check(const char *name, struct error *err)
{
	size_t length = strlen(name);
	size_t good = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				   "0123456789._-");

	if (length == 0)
		return error_set(err, -EINVAL, "the VM's name is empty");
	if (length > VM_NAME_MAX)
		return error_set(err, -EINVAL, "the VM's name is longer than %u bytes: '%.16s...'",
				 VM_NAME_MAX, name);
	if (good != length)
		return error_set(err, -EINVAL,
				 "VM name '%s': only letters, digits, '.', '_' and '-' are allowed",
				 name);
	if (name[0] == '.' || name[0] == '-')
		return error_set(err, -EINVAL, "VM name '%s' must not begin with '%c'", name,
				 name[0]);
	return 0;
}

static int build_path(char *path, size_t size, struct error *err)
{
	const char *own = getenv("SYMVM_RUNTIME_DIR");
	const char *xdg = getenv("XDG_RUNTIME_DIR");
	int length;

	if (own && *own)
		length = snprintf(path, size, "%s", own);
	else if (xdg && *xdg)
		length = snprintf(path, size, "%s/symvm", xdg);
	else
		length = snprintf(path, size, "%s", DEFAULT_STATE_DIR);
	if (length < 0 || (size_t)length >= size)
		return error_set(err, -ENAMETOOLONG, "the state directory's path is too long");
	return 0;
}

int state_dir_open(bool create, char *path, size_t path_size, struct error *err)
{
	struct stat status;
	int fd, code;

	code = build_path(path, path_size, err);
	if (code < 0)
		return code;
	if (create && mkdir(path, 0700) < 0 && errno != EEXIST)
		return error_set_errno(err, -errno, "cannot make the state directory '%s'", path);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return error_set_errno(err, -errno, "cannot open the state directory '%s'", path);
	if (fstat(fd, &status) < 0)
		code = error_set_errno(err, -errno, "cannot stat '%s'", path);
	else if (status.st_uid != geteuid() || (status.st_mode & 022))
		code = error_set(err, -EPERM,
				 "the state directory '%s' must belong to you and be writable by "
				 "you alone",
				 path);
	if (code == 0)
		return fd;
	close(fd);
	return code;
}

static int set_address(struct sockaddr_un *address, const char *dir, const char *name,
		       struct error *err)
{
	int length;

	memset(address, 0, sizeof(*address));
	address->sun_family = AF_UNIX;
	length = snprintf(address->sun_path, sizeof(address->sun_path), "%s/%s.sock", dir, name);
	if (length < 0 || (size_t)length >= sizeof(address->sun_path))
		return error_set(err, -ENAMETOOLONG,
				 "the socket's path '%s/%s.sock' is longer than %zu bytes", dir,
				 name, sizeof(address->sun_path) - 1);
	return 0;
}

static void lock_name(char *text, size_t size, const char *name)
{
	snprintf(text, size, "%s.lock", name);
}

static struct flock whole_file(void)
{
	return (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET};
}

bool state_name_is_live(int dir_fd, const char *name)
{
	struct flock lock = whole_file();
	char file[VM_NAME_MAX + 8];
	bool live = false;
	int fd;

	lock_name(file, sizeof(file), name);
	fd = openat(dir_fd, file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return false;
	/* Asks only: were the lock tried, a VMM that starts now might find the name taken. */
	if (fcntl(fd, F_OFD_GETLK, &lock) == 0)
		live = lock.l_type != F_UNLCK;
	close(fd);
	return live;
}

/*
 * Takes the lock on NAME.lock. Between open and lock its owner may have unlinked
 * it: then the lock is on a file that no longer has the name, so try again.
 */
static int take_lock(int dir_fd, const char *name, struct error *err)
{
	char file[VM_NAME_MAX + 8];
	struct stat held, named;
	int fd;

	lock_name(file, sizeof(file), name);
	for (;;) {
		struct flock lock = whole_file();

		fd = openat(dir_fd, file, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (fd < 0)
			return error_set_errno(err, -errno, "cannot open the lock file '%s'", file);
		if (fcntl(fd, F_OFD_SETLK, &lock) < 0) {
			int code = -errno;

			close(fd);
			if (code == -EAGAIN || code == -EACCES)
				return error_set(err, -EEXIST,
						 "the name '%s' is taken by a running VM", name);
			return error_set_errno(err, code, "cannot lock '%s'", file);
		}
		if (fstat(fd, &held) == 0 &&
		    fstatat(dir_fd, file, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
		    held.st_ino == named.st_ino && held.st_dev == named.st_dev)
			return fd;
		close(fd);
	}
}

static void unlink_socket(const struct state_name *state)
{
	char file[VM_NAME_MAX + 8];

	snprintf(file, sizeof(file), "%s.sock", state->name);
	unlinkat(state->dir_fd, file, 0);
}

int state_name_claim(struct state_name *state, const char *name, struct error *err)
{
	char path[4096];
	int status;

	state->lock_fd = -1;
	state->dir_fd = -1;
	status = state_name_check(name, err);
	if (status < 0)
		return status;
	snprintf(state->name, sizeof(state->name), "%s", name);
	state->dir_fd = state_dir_open(true, path, sizeof(path), err);
	if (state->dir_fd < 0)
		return state->dir_fd;
	status = set_address(&state->address, path, name, err);
	if (status == 0)
		status = take_lock(state->dir_fd, name, err);
	if (status < 0) {
		close(state->dir_fd);
		state->dir_fd = -1;
		return status;
	}
	state->lock_fd = status;
	/* The lock is ours, so a socket of that name belongs to no living VMM. */
	unlink_socket(state);
	return 0;
}

void state_name_release(struct state_name *state)
{
	char file[VM_NAME_MAX + 8];

	if (state->lock_fd < 0)
		return;
	unlink_socket(state);
	lock_name(file, sizeof(file), state->name);
	unlinkat(state->dir_fd, file, 0);
	close(state->lock_fd);
	close(state->dir_fd);
	state->lock_fd = -1;
	state->dir_fd = -1;
}

int state_name_lookup(const char *name, struct sockaddr_un *address, struct error *err)
{
	char path[4096];
	int dir_fd, status;
	bool live;

	status = state_name_check(name, err);
	if (status < 0)
		return status;
	dir_fd = state_dir_open(false, path, sizeof(path), err);
	if (dir_fd == -ENOENT)
		return error_set(err, -ENOENT, "no VM named '%s' is running", name);
	if (dir_fd < 0)
		return dir_fd;
	live = state_name_is_live(dir_fd, name);
	close(dir_fd);
	if (!live)
		return error_set(err, -ENOENT, "no VM named '%s' is running", name);
	return set_address(address, path, name, err);
}
