// SPDX-License-Identifier: BSD-2-Clause
/*
 * The part of `symvm doctor` that says which parts of the jail would be in force if this user
 * started a VM now. No probe changes anything: namespaces are tried in a child process.
 */
#include "cli/doctor.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "jail/landlock.h"
#include "jail/limits.h"
#include "jail/root.h"
#include "jail/user.h"

/* What root.h can create, as a child's exit status. */
#define HAS_MOUNT   1
#define HAS_NETWORK 2
#define HAS_USER    4
#define HAS_ROOT    8

static int probe_seccomp(const struct doctor_machine *machine, int value, char *detail, size_t size)
{
	unsigned action = SECCOMP_RET_KILL_PROCESS;

	return syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) < 0 ? -errno : 0;
}

static int probe_landlock(const struct doctor_machine *machine, int value, char *detail,
			  size_t size)
{
	int abi = landlock_abi();

	if (abi == 0) {
		snprintf(detail, size,
			 "not in this kernel: paths are held by seccomp and namespaces alone");
		return -EOPNOTSUPP;
	}
	snprintf(detail, size, "ABI %d%s", abi,
		 abi >= 6   ? ""
		 : abi >= 4 ? ", without signals and abstract sockets (Linux 6.12)"
			    : ", without TCP (Linux 6.7), signals and abstract sockets (6.12)");
	return 0;
}

static int probe_user(const struct doctor_machine *machine, int value, char *detail, size_t size)
{
	struct jail_user user;
	struct error err;
	int status = jail_user_choose(NULL, &user, &err);

	if (status < 0)
		return status;
	snprintf(detail, size, "%u:%u, %s", (unsigned)user.uid, (unsigned)user.gid, user.reason);
	return user.uid == 0 ? -EPERM : 0;
}

static int try_namespaces(void)
{
	struct jail_root_state state;
	int status;
	pid_t child;

	fflush(stdout);
	child = fork();
	if (child < 0)
		return -errno;
	if (child == 0) {
		jail_root_enter(false, &state);
		_exit((state.mount_namespace ? HAS_MOUNT : 0) |
		      (state.network_namespace ? HAS_NETWORK : 0) |
		      (state.user_namespace ? HAS_USER : 0) | (state.changed_root ? HAS_ROOT : 0));
	}
	if (waitpid(child, &status, 0) != child || !WIFEXITED(status))
		return -ECHILD;
	return WEXITSTATUS(status);
}

static int probe_namespaces(const struct doctor_machine *machine, int value, char *detail,
			    size_t size)
{
	int made = try_namespaces();

	if (made < 0)
		return made;
	snprintf(detail, size, "%s%s%s%s",
		 made & HAS_MOUNT  ? "mount (empty root)"
		 : made & HAS_ROOT ? "none, but an empty root"
				   : "none: paths are held by landlock and seccomp alone",
		 made & HAS_NETWORK ? ", network" : "", made & HAS_USER ? ", user" : "",
		 made & HAS_MOUNT && !(made & HAS_NETWORK) ? ", no network" : "");
	return made & (HAS_MOUNT | HAS_ROOT) ? 0 : -EPERM;
}

static int probe_cgroup(const struct doctor_machine *machine, int value, char *detail, size_t size)
{
	return jail_cgroup_probe(detail, size);
}

const struct doctor_check doctor_jail_checks[] = {
	{"seccomp", DOCTOR_WANTED, "the jail",
	 "use a kernel with CONFIG_SECCOMP_FILTER, or run with --jail off", probe_seccomp, 0},
	{"landlock", DOCTOR_WANTED, "the jail's hold on files, TCP and signals",
	 "boot the host's kernel with lsm=landlock,... (CONFIG_SECURITY_LANDLOCK)", probe_landlock,
	 0},
	{"user", DOCTOR_WANTED, "the jail: whom a VM runs as",
	 "make a system user symvm (adduser --system --group symvm), or give --user", probe_user,
	 0},
	{"namespaces", DOCTOR_OPTIONAL, "the jail: a root and a network of its own",
	 "start VMs as root, or set sysctl kernel.unprivileged_userns_clone=1", probe_namespaces,
	 0},
	{"memory bound", DOCTOR_OPTIONAL, "the jail: memory.max of a control group",
	 "start each VM in a group of its own: systemd-run --scope -p Delegate=memory symvm run "
	 "...; "
	 "the VMM's heap is bounded by RLIMIT_DATA in any case",
	 probe_cgroup, 0},
};
const size_t doctor_jail_check_count = sizeof(doctor_jail_checks) / sizeof(doctor_jail_checks[0]);
