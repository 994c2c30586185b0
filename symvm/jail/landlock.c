// SPDX-License-Identifier: BSD-2-Clause
/*
 * Landlock by system call: glibc has no wrappers. Documentation/userspace-api/landlock.rst, and
 * linux/landlock.h for the numbers, which Debian 12's headers know up to ABI 2.
 */
#include "jail/landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

/* struct landlock_ruleset_attr as of ABI 6. A kernel takes a longer one if the rest is zero. */
struct ruleset {
	uint64_t handled_access_fs;
	uint64_t handled_access_net;
	uint64_t scoped;
};

#define NET_BIND_TCP	    (1ull << 0) /* LANDLOCK_ACCESS_NET_BIND_TCP */
#define NET_CONNECT_TCP	    (1ull << 1) /* LANDLOCK_ACCESS_NET_CONNECT_TCP */
#define SCOPE_ABSTRACT_UNIX (1ull << 0) /* LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET */
#define SCOPE_SIGNAL	    (1ull << 1) /* LANDLOCK_SCOPE_SIGNAL */

/* The rights that each ABI added. 7 (audit flags) and 8 (all threads at once) added none. */
static const struct {
	int abi;
	struct ruleset brought;
} abis[] = {
	{1, {.handled_access_fs = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1}},
	{2, {.handled_access_fs = 1ull << 13}}, /* LANDLOCK_ACCESS_FS_REFER */
	{3, {.handled_access_fs = 1ull << 14}}, /* LANDLOCK_ACCESS_FS_TRUNCATE */
	{4, {.handled_access_net = NET_BIND_TCP | NET_CONNECT_TCP}},
	{5, {.handled_access_fs = 1ull << 15}}, /* LANDLOCK_ACCESS_FS_IOCTL_DEV */
	{6, {.scoped = SCOPE_ABSTRACT_UNIX | SCOPE_SIGNAL}},
	{9, {.handled_access_fs = 1ull << 16}}, /* LANDLOCK_ACCESS_FS_RESOLVE_UNIX */
};

int landlock_abi(void)
{
	int abi = (int)syscall(SYS_landlock_create_ruleset, NULL, 0,
			       LANDLOCK_CREATE_RULESET_VERSION);

	return abi < 0 ? 0 : abi;
}

static int path_allow(int ruleset_fd, int fd, uint64_t rights)
{
	struct landlock_path_beneath_attr rule = {.allowed_access = rights, .parent_fd = fd};

	if (syscall(SYS_landlock_add_rule, ruleset_fd, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0)
		return -errno;
	return 0;
}

static struct ruleset ruleset_for(int abi, const struct landlock_exceptions *exceptions)
{
	struct ruleset ruleset = {0};

	for (size_t i = 0; i < sizeof(abis) / sizeof(abis[0]) && abis[i].abi <= abi; i++) {
		ruleset.handled_access_fs |= abis[i].brought.handled_access_fs;
		ruleset.handled_access_net |= abis[i].brought.handled_access_net;
		ruleset.scoped |= abis[i].brought.scoped;
	}
	if (exceptions->tcp_connect)
		ruleset.handled_access_net &= ~NET_CONNECT_TCP;
	return ruleset;
}

int landlock_enter(const struct landlock_exceptions *exceptions, struct landlock_state *state)
{
	int abi = landlock_abi(), ruleset_fd, status = 0;
	struct ruleset ruleset = ruleset_for(abi, exceptions);

	*state = (struct landlock_state){0};
	if (abi == 0)
		return 0;
	ruleset_fd = (int)syscall(SYS_landlock_create_ruleset, &ruleset, sizeof(ruleset), 0);
	if (ruleset_fd < 0)
		return -errno;
	if (exceptions->clear_dir >= 0)
		status = path_allow(ruleset_fd, exceptions->clear_dir,
				    LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_READ_FILE |
					    LANDLOCK_ACCESS_FS_WRITE_FILE);
	for (unsigned i = 0; i < exceptions->path_count && status == 0; i++)
		status = path_allow(
			ruleset_fd, exceptions->paths[i].fd,
			LANDLOCK_ACCESS_FS_READ_DIR | LANDLOCK_ACCESS_FS_READ_FILE |
				(exceptions->paths[i].write ? LANDLOCK_ACCESS_FS_WRITE_FILE : 0));
	if (status == 0 && syscall(SYS_landlock_restrict_self, ruleset_fd, 0) < 0)
		status = -errno;
	close(ruleset_fd);
	if (status == 0)
		*state = (struct landlock_state){.abi = abi, .scopes = (unsigned)ruleset.scoped};
	return status;
}
