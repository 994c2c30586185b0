// SPDX-License-Identifier: BSD-2-Clause
#include "jail/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "jail/filter.h"
#include "jail/landlock.h"
#include "jail/limits.h"
#include "jail/sigsys.h"
#include "jail/user.h"

#define PATHS_MAX 8u

static int paths_enter(const struct jail_daemon_path *paths, struct error *err)
{
	struct landlock_path allowed[PATHS_MAX];
	struct landlock_exceptions exceptions = {.clear_dir = -1, .paths = allowed};
	struct landlock_state state;
	int status;

	for (; paths->path && exceptions.path_count < PATHS_MAX; paths++) {
		int fd = open(paths->path, O_PATH | O_DIRECTORY | O_CLOEXEC);

		if (fd >= 0)
			allowed[exceptions.path_count++] = (struct landlock_path){
				.fd = fd, .write = paths->write};
	}
	status = landlock_enter(&exceptions, &state);
	for (unsigned i = 0; i < exceptions.path_count; i++)
		close(allowed[i].fd);
	return status < 0 ? error_set_errno(err, status, "jail: landlock") : 0;
}

static uint32_t refusal(enum jail_mode mode)
{
	if (mode == JAIL_LOG)
		return SECCOMP_RET_LOG;
	return mode == JAIL_TRAP ? SECCOMP_RET_TRAP : JAIL_FILTER_REFUSAL;
}

int jail_daemon_enter(enum jail_mode mode, enum jail_thread kind,
		      const struct jail_daemon_path *paths, struct error *err)
{
	struct jail_user user = {.uid = geteuid(), .gid = getegid()};
	uint64_t heap;
	bool bounding_empty;
	int status;

	if (mode == JAIL_OFF || !jail_is_possible())
		return 0;
	tzset();
	status = jail_limits_set(&heap);
	if (status < 0)
		return error_set_errno(err, status, "jail: limits");
	status = jail_user_become(&user, &bounding_empty);
	if (status == 0 && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		status = -errno;
	if (status < 0)
		return error_set_errno(err, status, "jail: cannot give up capabilities");
	status = paths_enter(paths, err);
	if (status == 0 && mode == JAIL_TRAP)
		status = trap_install(err);
	if (status < 0)
		return status;
	status = jail_filter_enter(kind, 0, refusal(mode));
	return status < 0 ? error_set_errno(err, status, "jail: seccomp filter") : 0;
}
