/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a running VMM may still do. All files are open and all devices made when the jail closes,
 * before the first guest instruction. Then the process has a user of its own without capabilities,
 * an empty read-only root, and landlock's limits on files, TCP, signals and abstract sockets; and
 * each thread has the few system calls of its kind. A guest that takes over a thread gets no more.
 */
#ifndef SYMVM_JAIL_JAIL_H
#define SYMVM_JAIL_JAIL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "util/error.h"
#include "util/log.h"

enum jail_mode {
	JAIL_OFF,
	JAIL_ON,   /* a call outside of the list kills the process (SIGSYS) */
	JAIL_LOG,  /* it goes through, and the kernel's log names it: for development */
	JAIL_TRAP, /* it is refused, and one line on standard error names it before the process
		    * ends: for development */
};

/* A kind of thread; each has its own list of system calls (jail/rules.c). */
enum jail_thread {
	JAIL_THREAD_VCPU,
	JAIL_THREAD_IO,	    /* device back ends */
	JAIL_THREAD_MAIN,   /* control socket, lifecycle, tear-down */
	JAIL_THREAD_WORKER, /* control commands and services that may wait */
	JAIL_THREAD_SWAP,   /* slot stores: missing pages, scan, spill; disks; log and console files
			     */
	JAIL_THREAD_GUARD,  /* a process of its own, see jail/guard.h */
	JAIL_THREAD_BROKER, /* a process of its own, see jail/daemon.h */
	JAIL_THREAD_COUNT,
};

/* What a VM has. System calls that only such a VM needs are refused in others. */
enum jail_feature {
	JAIL_FEATURE_NET_USER = 1 << 0,	      /* --net user */
	JAIL_FEATURE_NET_HOST = 1 << 1,	      /* a tap device, or vhost (--vsock) */
	JAIL_FEATURE_CONSOLE_SOCKET = 1 << 2, /* a console on a socket */
	JAIL_FEATURE_SLOT_STORE = 1 << 3,     /* --swap */
	JAIL_FEATURE_NBD = 1 << 4,	      /* a spill store on an NBD server */
};
#define JAIL_FEATURE_COUNT 5

/* What the parts of a VM need of its jail. Each part adds its needs while it is made. */
struct jail_needs {
	unsigned features; /* enum jail_feature */
	uint64_t memory; /* bytes of the host that the VM may use at most, without the VMM's heap */
};

/* What is in force, for display: `symvm info`. */
struct jail_state {
	enum jail_mode mode;
	uid_t uid;
	gid_t gid;
	const char *user; /* why this user: "of --user", ... */
	bool user_changed;
	bool user_namespace;	  /* an unprivileged user needs it for the others */
	bool mount_namespace;	  /* with an empty root */
	bool changed_root;	  /* an empty root without a mount namespace */
	bool network_namespace;	  /* with nothing in it */
	bool bounding_empty;	  /* the bounding set too, and securebits locked */
	int landlock_abi;	  /* 0: none */
	unsigned landlock_scopes; /* LANDLOCK_SCOPE_...; 0 before ABI 6 */
	unsigned features;	  /* enum jail_feature: which filters */
	uint64_t heap_limit;	  /* bytes of RLIMIT_DATA */
	uint64_t memory_limit;	  /* bytes of the cgroup's memory.max; 0: none */
	char cgroup[160];	  /* its path below the mount, or why there is none */
};

struct jail_config {
	enum jail_mode mode;
	const char *user; /* --user: NAME or UID, and perhaps :GID; NULL: by itself */
	struct log *log;
};

struct jail;

/* False in a build with a sanitizer, which needs calls of its own: then there is no jail. */
bool jail_is_possible(void);

/*
 * Finds the user that the VMM is to run as, and joins a control group of its own if one can be
 * made. Main thread, before any thread or device is made. With JAIL_OFF, or in a build with a
 * sanitizer (which needs calls of its own), *@jail is NULL, which all functions below accept.
 * -EINVAL for a bad @user, -EPERM if only root may choose it, with words.
 */
int jail_create(const struct jail_config *config, struct jail **jail, struct error *err);

/*
 * Closes the jail of the whole process: user, capabilities, namespaces, limits, landlock. Also
 * makes the filters for @needs ready, so that a thread enters with one system call. Main thread,
 * when all is open and no other thread runs yet. A step that the host does not allow is logged and
 * left out, unless the user asked for it or it drops capabilities: then it is an error.
 */
int jail_enter_process(struct jail *jail, const struct jail_needs *needs, struct error *err);

/* Frees the filters; threads stay in theirs. */
void jail_destroy(struct jail *jail);

/*
 * Puts the calling thread, for ever, under the filter of its kind. To be called by each thread
 * before the first guest instruction. @jail may be NULL: nothing happens.
 */
int jail_enter_thread(struct jail *jail, enum jail_thread kind, struct error *err);

/* What is in force after jail_enter_process(); NULL for no jail. Any thread. Owner: @jail. */
const struct jail_state *jail_state(const struct jail *jail);

/* Parses "on", "off", "log" or "trap"; -EINVAL otherwise. */
int jail_mode_parse(const char *text, enum jail_mode *mode);
const char *jail_mode_name(enum jail_mode mode);

#endif
