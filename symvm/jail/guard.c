// SPDX-License-Identifier: BSD-2-Clause
#include "jail/guard.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "jail/filter.h"
#include "jail/landlock.h"
#include "jail/user.h"

#define PIPE_FD STDOUT_FILENO
#define DIR_FD	STDERR_FILENO

/*
 * If the host does not let us drop something, it stays: a guard without a jail is better than none.
 */
static void enter_jail(int dir_fd)
{
	struct landlock_exceptions exceptions = {.clear_dir = dir_fd};
	struct jail_user user = {.uid = geteuid(), .gid = getegid()};
	struct landlock_state landlock;
	bool bounding_empty;
	struct stat dir;

	prctl(PR_SET_NAME, "symvm-guard");
	if (user.uid == 0 && dir_fd >= 0 && fstat(dir_fd, &dir) == 0 && dir.st_uid != 0) {
		user.uid = dir.st_uid;
		user.gid = dir.st_gid;
		user.change = true;
	}
	if (jail_user_become(&user, &bounding_empty) < 0)
		return;
	prctl(PR_SET_DUMPABLE, 0);
	landlock_enter(&exceptions, &landlock);
	jail_filter_enter(JAIL_THREAD_GUARD, 0, JAIL_FILTER_REFUSAL);
}

static void guard_main(int pipe_fd, int dir_fd, jail_guard_act act, void *opaque)
{
	sigset_t all;
	char byte;

	/* This includes SIGTTOU: the shell may have taken the terminal back already. */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	/* No descriptor of the VM may stay open in this process. */
	pipe_fd = fcntl(pipe_fd, F_DUPFD, DIR_FD + 1);
	if (dir_fd >= 0)
		dup2(dir_fd, DIR_FD);
	else
		close(DIR_FD);
	if (pipe_fd < 0 || dup2(pipe_fd, PIPE_FD) < 0)
		_exit(1);
	close_range(DIR_FD + 1, ~0u, 0);
	enter_jail(dir_fd >= 0 ? DIR_FD : -1);
	while (read(PIPE_FD, &byte, 1) < 0 && errno == EINTR)
		;
	act(opaque, dir_fd >= 0 ? DIR_FD : -1);
	_exit(0);
}

int jail_guard_start(struct jail_guard *guard, int dir_fd, jail_guard_act act, void *opaque,
		     struct error *err)
{
	int ends[2];

	*guard = (struct jail_guard){.fd = -1};
	if (pipe2(ends, O_CLOEXEC) < 0)
		return error_set_errno(err, -errno, "cannot start a guard");
	guard->pid = fork();
	if (guard->pid == 0) {
		close(ends[1]);
		guard_main(ends[0], dir_fd, act, opaque);
	}
	close(ends[0]);
	if (guard->pid > 0) {
		guard->fd = ends[1];
		return 0;
	}
	guard->pid = 0;
	close(ends[1]);
	return error_set_errno(err, -errno, "cannot start a guard");
}

void jail_guard_end(struct jail_guard *guard)
{
	if (guard->pid <= 0)
		return;
	close(guard->fd);
	while (waitpid(guard->pid, NULL, 0) < 0 && errno == EINTR)
		;
	*guard = (struct jail_guard){.fd = -1};
}
