// SPDX-License-Identifier: BSD-2-Clause
/* Landlock by system call: glibc has no wrappers. Documentation/userspace-api/landlock.rst. */
#include "jail/landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

/* All rights of the first ABI, which newer kernels take as well. */
#define ALL_RIGHTS_1   ((LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1)
#define RIGHT_REFER    (1ull << 13) /* from ABI 2 */
#define RIGHT_TRUNCATE (1ull << 14) /* from ABI 3 */

static int landlock_abi(void)
{
	return (int)syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
}

bool landlock_supported(void)
{
	return landlock_abi() >= 1;
}

static int allow(int ruleset_fd, int fd, uint64_t rights)
{
	struct landlock_path_beneath_attr rule = {.allowed_access = rights, .parent_fd = fd};

	if (syscall(SYS_landlock_add_rule, ruleset_fd, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0)
		return -errno;
	return 0;
}

int landlock_enter(int unlink_dir_fd, const char *read_path)
{
	struct landlock_ruleset_attr attributes = {.handled_access_fs = ALL_RIGHTS_1};
	int abi = landlock_abi(), ruleset_fd, status = 0, fd;

	if (abi >= 2)
		attributes.handled_access_fs |= RIGHT_REFER;
	if (abi >= 3)
		attributes.handled_access_fs |= RIGHT_TRUNCATE;
	ruleset_fd = (int)syscall(SYS_landlock_create_ruleset, &attributes, sizeof(attributes), 0);
	if (ruleset_fd < 0)
		return -errno;
	if (unlink_dir_fd >= 0)
		status = allow(ruleset_fd, unlink_dir_fd, LANDLOCK_ACCESS_FS_REMOVE_FILE);
	if (status == 0 && read_path) {
		fd = open(read_path, O_PATH | O_CLOEXEC);
		if (fd >= 0) {
			status = allow(ruleset_fd, fd, LANDLOCK_ACCESS_FS_READ_FILE);
			close(fd);
		}
	}
	if (status == 0 && syscall(SYS_landlock_restrict_self, ruleset_fd, 0) < 0)
		status = -errno;
	close(ruleset_fd);
	return status;
}
