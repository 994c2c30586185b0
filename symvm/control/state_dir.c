// SPDX-License-Identifier: BSD-2-Clause
/*
 * Takes and releases a VM's name, by two locks. The first is a lock on the file NAME.lock, which
 * the kernel drops when the VMM ends, however it ends. The second is an abstract socket, which has
 * no file, so it still holds the name if the files were removed. Directories are opened once,
 * checked by their descriptors and used through them. A guard process removes the files when the
 * VMM has ended.
 */
#include "control/state_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "machine/vm.h"
#include "util/file_lock.h"
#include "util/hash.h"

#define ROOT_STATE_DIR "/run/symvm"
#define USER_DIR       "/run/user/%u"
#define FALLBACK_DIR   "/tmp/symvm-%u"
#define LINGER_DIR     "/var/lib/systemd/linger"

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

static const char *own_place(void)
{
	const char *own = getenv("SYMVM_RUNTIME_DIR");

	return own && *own ? own : NULL;
}

/* Whether @path is a directory of @uid's own, regardless of who may read it. */
static bool belongs_to(const char *path, uid_t uid)
{
	struct stat status;

	return stat(path, &status) == 0 && S_ISDIR(status.st_mode) && status.st_uid == uid;
}

static size_t add_place(char places[STATE_PLACES_MAX][STATE_PATH_MAX], size_t count,
			const char *format, ...)
{
	va_list args;
	int length;

	va_start(args, format);
	length = vsnprintf(places[count], STATE_PATH_MAX, format, args);
	va_end(args);
	if (length < 0 || (size_t)length >= STATE_PATH_MAX)
		return count;
	for (size_t i = 0; i < count; i++)
		if (strcmp(places[i], places[count]) == 0)
			return count;
	return count + 1;
}

size_t state_dir_places(uid_t uid, char places[STATE_PLACES_MAX][STATE_PATH_MAX])
{
	const char *xdg = getenv("XDG_RUNTIME_DIR");
	bool is_us = uid == geteuid();
	size_t count = 0;

	if (is_us && own_place())
		return add_place(places, 0, "%s", own_place());
	if (uid == 0)
		return add_place(places, 0, "%s", ROOT_STATE_DIR);
	/* After su(1) it may still belong to the other user. */
	if (is_us && xdg && xdg[0] == '/' && belongs_to(xdg, uid))
		count = add_place(places, count, "%s/symvm", xdg);
	count = add_place(places, count, USER_DIR "/symvm", (unsigned)uid);
	return add_place(places, count, FALLBACK_DIR, (unsigned)uid);
}

int state_dir_open_at(const char *path, uid_t uid, bool follow)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | (follow ? 0 : O_NOFOLLOW));
	struct stat status;
	int code = 0;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &status) < 0)
		code = -errno;
	else if (status.st_uid != uid || (status.st_mode & 022))
		code = -EPERM;
	if (code == 0)
		return fd;
	close(fd);
	return code;
}

/* Which of the places is for new VMs: the first one whose parent exists. */
static int choose_place(char *path, size_t size, struct error *err)
{
	char places[STATE_PLACES_MAX][STATE_PATH_MAX];
	size_t count = state_dir_places(geteuid(), places), chosen = 0;
	char user_dir[sizeof(USER_DIR) + 16];

	snprintf(user_dir, sizeof(user_dir), USER_DIR, (unsigned)geteuid());
	if (count > 1 && strncmp(places[0], user_dir, strlen(user_dir)) == 0 &&
	    !belongs_to(user_dir, geteuid()))
		chosen = 1;
	if (count == 0 || strlen(places[chosen]) >= size)
		return error_set(err, -ENAMETOOLONG, "the state directory's path is too long");
	strcpy(path, places[chosen]);
	return 0;
}

int state_dir_open(bool create, char *path, size_t path_size, struct error *err)
{
	int fd, code;

	code = choose_place(path, path_size, err);
	if (code < 0)
		return code;
	if (create && mkdir(path, 0700) < 0 && errno != EEXIST)
		return error_set_errno(err, -errno, "cannot make the state directory '%s'", path);
	fd = state_dir_open_at(path, geteuid(), own_place() != NULL);
	if (fd == -EPERM)
		return error_set(err, fd,
				 "the state directory '%s' must belong to you and be writable by "
				 "you alone",
				 path);
	if (fd < 0)
		return error_set_errno(err, fd, "cannot open the state directory '%s'", path);
	return fd;
}

bool state_dir_ends_at_logout(const struct state_name *state)
{
	char prefix[sizeof(USER_DIR) + 16], linger[512];
	const struct passwd *user;

	snprintf(prefix, sizeof(prefix), USER_DIR "/", (unsigned)geteuid());
	if (strncmp(state->address.sun_path, prefix, strlen(prefix)) != 0)
		return false;
	/* The name service may ask servers. */
	user = getpwuid(geteuid());
	if (!user)
		return false;
	snprintf(linger, sizeof(linger), LINGER_DIR "/%s", user->pw_name);
	return access(linger, F_OK) < 0;
}

int state_name_address(struct sockaddr_un *address, const char *dir, const char *name,
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
	/* Only asks. If this took the lock, a VMM that starts now might find the name taken. */
	if (fcntl(fd, F_OFD_GETLK, &lock) == 0)
		live = lock.l_type != F_UNLCK;
	close(fd);
	return live;
}

/*
 * Takes the lock on NAME.lock. Between open and lock its owner may have unlinked the file. The lock
 * is then on a file that no longer has the name, so try again.
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

socklen_t state_name_abstract(struct sockaddr_un *address, uid_t uid, const char *dir,
			      const char *name)
{
	int length;

	memset(address, 0, sizeof(*address));
	address->sun_family = AF_UNIX;
	if (dir)
		length = snprintf(address->sun_path + 1, sizeof(address->sun_path) - 1,
				  "symvm/%u-%016llx/%s", (unsigned)uid,
				  (unsigned long long)hash_bytes(dir, strlen(dir)), name);
	else
		length = snprintf(address->sun_path + 1, sizeof(address->sun_path) - 1,
				  "symvm/%u/%s", (unsigned)uid, name);
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length);
}

/* The process that listens on an abstract address; 0: there is none, or the kernel does not say. */
static pid_t abstract_owner(const struct sockaddr_un *address, socklen_t length, uid_t uid)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct ucred peer = {0};
	socklen_t size = sizeof(peer);
	pid_t pid = 0;

	if (fd < 0)
		return 0;
	if (connect(fd, (const struct sockaddr *)address, length) == 0 &&
	    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
	    (peer.uid == uid || peer.uid == 0))
		pid = peer.pid;
	close(fd);
	return pid;
}

/*
 * Takes the lock that is not a file. It listens only so that its owner can be found; nobody ever
 * accepts. If another user has the address, that blocks nobody: the lock file decides then.
 */
static int take_name(struct state_name *state, struct error *err)
{
	char link[32], dir[STATE_PATH_MAX];
	struct sockaddr_un address;
	ssize_t got = -1;
	socklen_t length;
	pid_t owner;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", state->dir_fd);
	if (own_place())
		got = readlink(link, dir, sizeof(dir) - 1);
	dir[got > 0 ? got : 0] = '\0';
	length = state_name_abstract(&address, geteuid(), own_place() ? dir : NULL, state->name);
	state->name_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (state->name_fd < 0)
		return error_set_errno(err, -errno, "cannot create a socket");
	if (bind(state->name_fd, (struct sockaddr *)&address, length) == 0 &&
	    listen(state->name_fd, SOMAXCONN) == 0)
		return 0;
	close(state->name_fd);
	state->name_fd = -1;
	owner = abstract_owner(&address, length, geteuid());
	return owner ? error_set(err, -EEXIST, "the name '%s' is taken by a running VM, process %d",
				 state->name, (int)owner)
		     : 0;
}

/* -EEXIST if a VMM has the name in another of this user's places. */
static int check_other_places(const char *name, const char *chosen, struct error *err)
{
	char places[STATE_PLACES_MAX][STATE_PATH_MAX];
	size_t count = state_dir_places(geteuid(), places);
	int status = 0;

	for (size_t i = 0; i < count && status == 0; i++) {
		int fd = strcmp(places[i], chosen) == 0
				 ? -1
				 : state_dir_open_at(places[i], geteuid(), false);

		if (fd < 0)
			continue;
		if (state_name_is_live(fd, name))
			status = error_set(err, -EEXIST,
					   "the name '%s' is taken by a running VM in '%s'", name,
					   places[i]);
		close(fd);
	}
	return status;
}

static void file_name(char *text, size_t size, const char *name, const char *suffix)
{
	snprintf(text, size, "%s%s", name, suffix);
}

static void close_all(struct state_name *state)
{
	int *fds[] = {&state->lock_fd, &state->socket_fd, &state->name_fd, &state->dir_fd};

	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
		if (*fds[i] >= 0)
			close(*fds[i]);
		*fds[i] = -1;
	}
}

int state_name_open_kept(const struct state_name *state, const char *suffix, char *path,
			 size_t path_size, struct error *err)
{
	size_t dir_length = strlen(state->address.sun_path) - strlen(state->name) - strlen(".sock");
	char file[VM_NAME_MAX + 16];
	struct stat status;
	int fd;

	file_name(file, sizeof(file), state->name, suffix);
	snprintf(path, path_size, "%.*s%s", (int)dir_length, state->address.sun_path, file);
	fd = openat(state->dir_fd, file, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK,
		    0600);
	if (fd < 0)
		return error_set_errno(err, -errno, "cannot open '%s'", path);
	if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode))
		return fd;
	close(fd);
	return error_set(err, -EINVAL, "'%s' is not a regular file", path);
}

/* Removes the files of state_name_open_kept() that nothing was written to. */
static void clear_empty(const struct state_name *state, int dir_fd)
{
	static const char *const suffixes[] = {STATE_KEPT_SUFFIXES};
	char file[VM_NAME_MAX + 16];
	struct stat status;

	for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
		file_name(file, sizeof(file), state->name, suffixes[i]);
		if (fstatat(dir_fd, file, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
		    S_ISREG(status.st_mode) && status.st_size == 0)
			unlinkat(dir_fd, file, 0);
	}
}

int state_name_claim(struct state_name *state, const char *name, struct error *err)
{
	char path[STATE_PATH_MAX], file[VM_NAME_MAX + 8];
	int status;

	state->lock_fd = state->socket_fd = state->name_fd = state->dir_fd = -1;
	state->guard = (struct jail_guard){.fd = -1};
	status = state_name_check(name, err);
	if (status < 0)
		return status;
	snprintf(state->name, sizeof(state->name), "%s", name);
	state->dir_fd = state_dir_open(true, path, sizeof(path), err);
	if (state->dir_fd < 0)
		return state->dir_fd;
	status = state_name_address(&state->address, path, name, err);
	if (status == 0)
		status = check_other_places(name, path, err);
	/* The lock file comes first, because its error message is more exact. */
	if (status == 0)
		status = state->lock_fd = take_lock(state->dir_fd, name, err);
	if (status >= 0)
		status = take_name(state, err);
	if (status < 0) {
		/* We created a lock file next to a VM without one. */
		lock_name(file, sizeof(file), name);
		if (state->lock_fd >= 0)
			unlinkat(state->dir_fd, file, 0);
		close_all(state);
		return status;
	}
	/* We hold the lock, so a socket of that name belongs to no living VMM. */
	file_name(file, sizeof(file), name, ".sock");
	unlinkat(state->dir_fd, file, 0);
	return 0;
}

/* Whether NAME.lock is the file that we hold. */
static bool lock_is_ours(const struct state_name *state)
{
	char file[VM_NAME_MAX + 8];
	struct stat held, named;

	lock_name(file, sizeof(file), state->name);
	return fstat(state->lock_fd, &held) == 0 &&
	       fstatat(state->dir_fd, file, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
	       held.st_ino == named.st_ino && held.st_dev == named.st_dev;
}

static bool has_name(int fd)
{
	struct stat status;

	return fstat(fd, &status) == 0 && status.st_nlink > 0;
}

void state_name_watch(struct state_name *state)
{
	char file[VM_NAME_MAX + 8];

	file_name(file, sizeof(file), state->name, ".sock");
	state->socket_fd = openat(state->dir_fd, file, O_PATH | O_NOFOLLOW | O_CLOEXEC);
}

/* Only by descriptors: in the jail the directory may belong to another user. */
bool state_name_is_present(const struct state_name *state)
{
	return has_name(state->lock_fd) && has_name(state->socket_fd);
}

/*
 * In the guard's process: removes the name's files, unless another VM has the name already. A
 * process that is killed closes its files one after the other, so the guard's pipe may end before
 * the lock.
 */
static void clear_name(void *opaque, int dir_fd)
{
	const struct state_name *state = opaque;
	struct stat held, named;
	char file[VM_NAME_MAX + 8], socket_file[VM_NAME_MAX + 8];
	int fd;

	file_name(socket_file, sizeof(socket_file), state->name, ".sock");
	lock_name(file, sizeof(file), state->name);
	fd = openat(dir_fd, file, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 || file_lock_records(fd, false, FILE_LOCK_WAIT_MS) < 0 || fstat(fd, &held) < 0 ||
	    fstatat(dir_fd, file, &named, AT_SYMLINK_NOFOLLOW) < 0 || held.st_ino != named.st_ino ||
	    held.st_dev != named.st_dev)
		return;
	clear_empty(state, dir_fd);
	unlinkat(dir_fd, socket_file, 0);
	unlinkat(dir_fd, file, 0);
}

int state_name_guard(struct state_name *state, struct error *err)
{
	return jail_guard_start(&state->guard, state->dir_fd, clear_name, state, err);
}

void state_name_release(struct state_name *state)
{
	char file[VM_NAME_MAX + 8];

	if (state->lock_fd < 0)
		return;
	if (state->guard.pid <= 0 && lock_is_ours(state)) {
		clear_empty(state, state->dir_fd);
		file_name(file, sizeof(file), state->name, ".sock");
		unlinkat(state->dir_fd, file, 0);
		lock_name(file, sizeof(file), state->name);
		unlinkat(state->dir_fd, file, 0);
	}
	close_all(state);
	jail_guard_end(&state->guard);
}
