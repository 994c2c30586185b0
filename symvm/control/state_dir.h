/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The state directory, in which each running VM has a socket NAME.sock and a lock file NAME.lock.
 * The lock shows whether a name is taken. It is held as long as the VMM lives, and released however
 * the VMM ends. A second lock is an abstract socket, which carries no control protocol. It is not a
 * file, so it survives the removal of the directory. The report of a panic (NAME.panic) and a dump
 * (NAME.vmcore) stay when the VM has ended, until the next one of that name panics.
 *
 * Places. New VMs use the first one that exists; clients search all of them (state_find.h):
 *  - $SYMVM_RUNTIME_DIR alone, if set;
 *  - root: /run/symvm, whatever the environment says;
 *  - others: $XDG_RUNTIME_DIR/symvm, if that directory belongs to the user; /run/user/UID/symvm;
 *    /tmp/symvm-UID.
 */
#ifndef SYMVM_CONTROL_STATE_DIR_H
#define SYMVM_CONTROL_STATE_DIR_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>

#include "jail/guard.h"
#include "util/error.h"

#define STATE_PATH_MAX	 4096u
#define STATE_PLACES_MAX 3u

struct state_name {
	int dir_fd;
	int lock_fd;
	int socket_fd; /* the socket's file, to watch it (O_PATH); -1: none */
	int name_fd;   /* the abstract socket; -1 if another user occupies its address */
	char name[64];
	struct sockaddr_un address;
	struct jail_guard guard; /* removes the files when the VMM has ended */
};

/*
 * Letters, digits, ".", "_" and "-", 1 to VM_NAME_MAX bytes, no leading dot or dash: otherwise
 * -EINVAL with words. Any thread.
 */
int state_name_check(const char *name, struct error *err);

/*
 * The directories in which VMs of user @uid may be, whether they exist or not. Our environment does
 * not apply to those of another user. Returns their number. Paths that are too long are left out.
 * Any thread.
 */
size_t state_dir_places(uid_t uid, char places[STATE_PLACES_MAX][STATE_PATH_MAX]);

/*
 * Opens the state directory for new VMs. It must belong to this user and be writable by no other
 * (-EPERM). Unless it is $SYMVM_RUNTIME_DIR, it must not be a symbolic link. @create creates it
 * (mode 0700); otherwise a missing one gives -ENOENT. @path receives its path. Returns a
 * descriptor, the caller's. Main thread.
 */
int state_dir_open(bool create, char *path, size_t path_size, struct error *err);

/*
 * Opens the directory @path if it belongs to @uid and nobody else may write to it: -EPERM, -ENOENT,
 * -errno. @path may be a symbolic link only with @follow. Any thread.
 */
int state_dir_open_at(const char *path, uid_t uid, bool follow);

/*
 * Whether the directory of @state is removed when its user logs out (systemd-logind, and the user
 * does not linger). Its VM could not be reached after that. Main thread.
 */
bool state_dir_ends_at_logout(const struct state_name *state);

/*
 * Takes @name for this process until state_name_release(), and removes the files that a killed VMM
 * left. -EEXIST if a live VMM of this user has the name, also in another of the user's places or
 * with its files removed. -errno with words. Main thread.
 */
int state_name_claim(struct state_name *state, const char *name, struct error *err);
/*
 * Starts the process that will remove socket and lock file: the VMM's jail allows neither, and it
 * may run as another user by then. Main thread, before other threads exist. -errno with words.
 */
int state_name_guard(struct state_name *state, struct error *err);
/*
 * Removes socket and lock file, unless another VM has them by now (if there is a guard, it does
 * that), and releases the name. Main thread.
 */
void state_name_release(struct state_name *state);

/*
 * Opens the file NAME@suffix of a claimed name for reading and writing, and creates it with mode
 * 0600 if there is none. If it is still empty when the VM has ended, it is removed. @suffix is one
 * of STATE_KEPT_SUFFIXES. Returns a descriptor, the caller's, and the file's path in @path. Main
 * thread, before the jail. -errno with words.
 */
int state_name_open_kept(const struct state_name *state, const char *suffix, char *path,
			 size_t path_size, struct error *err);
#define STATE_KEPT_SUFFIXES ".panic", ".vmcore"

/*
 * Opens the socket's file, once it exists, so that state_name_is_present() needs no path. Main
 * thread.
 */
void state_name_watch(struct state_name *state);
/* Whether socket and lock file of @state still exist. Any thread, also one in the jail. */
bool state_name_is_present(const struct state_name *state);

/*
 * The address of the abstract socket that locks @name for @uid. @dir: the state directory if
 * $SYMVM_RUNTIME_DIR is set (names are taken for each directory separately), else NULL. Returns the
 * address's length. Any thread.
 */
socklen_t state_name_abstract(struct sockaddr_un *address, uid_t uid, const char *dir,
			      const char *name);

/* Fills in the socket's address in the directory @dir: -ENAMETOOLONG with words. Any thread. */
int state_name_address(struct sockaddr_un *address, const char *dir, const char *name,
		       struct error *err);

/* Whether a live VMM holds the lock file NAME.lock in @dir_fd. Takes no lock. Any thread. */
bool state_name_is_live(int dir_fd, const char *name);

/*
 * Fills in the address for a client of @name, "NAME" or "USER/NAME" (state_find.h): -ENOENT with
 * words if no live VMM has that name. Takes no lock and changes nothing. Any thread.
 */
int state_name_lookup(const char *name, struct sockaddr_un *address, struct error *err);

#endif
