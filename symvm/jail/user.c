// SPDX-License-Identifier: BSD-2-Clause
#include "jail/user.h"

#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <pwd.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SYSTEM_USER "symvm"

/* A whole number that is an id: not (uid_t)-1, which the kernel takes for "none". */
static bool parse_id(const char *text, uint32_t *id)
{
	unsigned long long value;
	char *end;

	if (!text || *text < '0' || *text > '9')
		return false;
	errno = 0;
	value = strtoull(text, &end, 10);
	if (*end || errno || value >= UINT32_MAX)
		return false;
	*id = (uint32_t)value;
	return true;
}

/* Parses NAME or UID, up to ':'. Sets the primary group too if there is an account. */
static int parse_user(const char *text, struct jail_user *user, bool *group_known,
		      struct error *err)
{
	const struct passwd *account;
	uint32_t id;

	*group_known = true;
	if (parse_id(text, &id)) {
		account = getpwuid(id);
		user->uid = id;
		*group_known = account != NULL;
		user->gid = account ? account->pw_gid : id;
		return 0;
	}
	account = getpwnam(text);
	if (!account)
		return error_set(err, -EINVAL, "--user: no user '%s'", text);
	user->uid = account->pw_uid;
	user->gid = account->pw_gid;
	return 0;
}

static int parse_group(const char *text, struct jail_user *user, struct error *err)
{
	const struct group *group;
	uint32_t id;

	if (parse_id(text, &id)) {
		user->gid = id;
		return 0;
	}
	group = getgrnam(text);
	if (!group)
		return error_set(err, -EINVAL, "--user: no group '%s'", text);
	user->gid = group->gr_gid;
	return 0;
}

static int parse_option(const char *text, struct jail_user *user, struct error *err)
{
	const char *colon = strchr(text, ':');
	char *name = strndup(text, colon ? (size_t)(colon - text) : strlen(text));
	bool group_known;
	int status;

	if (!name)
		return error_set(err, -ENOMEM, "--user: out of memory");
	status = parse_user(name, user, &group_known, err);
	free(name);
	if (status == 0 && colon)
		status = parse_group(colon + 1, user, err);
	user->wanted = true;
	user->reason = "of --user";
	return status;
}

/* By /etc/passwd alone: the name service may ask servers, and each start would wait for them. */
static bool find_system_user(struct jail_user *user)
{
	FILE *file = fopen("/etc/passwd", "re");
	struct passwd *account;
	bool found = false;

	if (!file)
		return false;
	while (!found && (account = fgetpwent(file))) {
		found = strcmp(account->pw_name, SYSTEM_USER) == 0 && account->pw_uid != 0;
		if (found) {
			user->uid = account->pw_uid;
			user->gid = account->pw_gid;
			user->reason = "the system user " SYSTEM_USER;
		}
	}
	fclose(file);
	return found;
}

static bool find_caller(struct jail_user *user)
{
	uint32_t uid, gid;

	if (parse_id(getenv("SUDO_UID"), &uid) && uid != 0 && parse_id(getenv("SUDO_GID"), &gid)) {
		user->reason = "who called sudo";
	} else if (parse_id(getenv("PKEXEC_UID"), &uid) && uid != 0) {
		const struct passwd *account = getpwuid(uid);

		gid = account ? account->pw_gid : uid;
		user->reason = "who called pkexec";
	} else {
		return false;
	}
	user->uid = uid;
	user->gid = gid;
	return true;
}

int jail_user_choose(const char *text, struct jail_user *user, struct error *err)
{
	int status = 0;

	*user = (struct jail_user){.uid = geteuid(), .gid = getegid(), .reason = "who started it"};
	if (text) {
		status = parse_option(text, user, err);
		if (status < 0)
			return status;
	} else if (geteuid() == 0 && !find_system_user(user) && !find_caller(user)) {
		user->uid = user->gid = JAIL_FREE_UID + (uint32_t)getpid();
		user->reason = "an id of its own";
	}
	user->change = user->uid != geteuid() || user->gid != getegid();
	if (user->change && geteuid() != 0)
		return error_set(err, -EPERM, "--user: only root can run a VM as another user");
	return 0;
}

/* Empties the set that limits what exec can ever give. True: it is empty now. */
static bool empty_bounding_set(void)
{
	for (unsigned long capability = 0; capability < 64; capability++) {
		if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0)
			continue;
		if (errno == EINVAL) /* beyond the kernel's last */
			return true;
		/* Not allowed to. Then the capability must not be there. */
		if (prctl(PR_CAPBSET_READ, capability, 0, 0, 0) != 0)
			return false;
	}
	return true;
}

/* User 0 is not special any more, and a change of ids brings no capability back. */
static bool lock_securebits(void)
{
	unsigned long bits = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP |
			     SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED |
			     SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;

	return prctl(PR_SET_SECUREBITS, bits, 0, 0, 0) == 0;
}

static int drop_capabilities(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {0};

	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 && errno != EINVAL)
		return -errno;
	return syscall(SYS_capset, &header, data) < 0 ? -errno : 0;
}

static int change_ids(const struct jail_user *user)
{
	if (setgroups(0, NULL) < 0 || setresgid(user->gid, user->gid, user->gid) < 0 ||
	    setresuid(user->uid, user->uid, user->uid) < 0)
		return -errno;
	return 0;
}

int jail_user_become(struct jail_user *user, bool *bounding_empty)
{
	int status = 0;

	*bounding_empty = empty_bounding_set();
	*bounding_empty &= lock_securebits();
	if (user->change || geteuid() == 0)
		status = change_ids(user);
	if (status < 0 && !user->wanted) {
		/* A container whose namespace has no such id, or denies groups. */
		user->uid = geteuid();
		user->gid = getegid();
		user->change = false;
		user->reason = "who started it, since this container has no other id";
		status = 0;
	}
	if (status == 0)
		status = drop_capabilities();
	/* An unprivileged filter needs it, and no exec can ever gain anything. */
	if (status == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		status = -errno;
	return status;
}
