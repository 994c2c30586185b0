// SPDX-License-Identifier: BSD-2-Clause
#include "jail/jail.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "jail/filter.h"
#include "jail/landlock.h"
#include "jail/limits.h"
#include "jail/root.h"
#include "jail/sigsys.h"
#include "jail/user.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define BUILT_WITH_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
	__has_feature(memory_sanitizer)
#define BUILT_WITH_SANITIZER 1
#endif
#endif
#ifndef BUILT_WITH_SANITIZER
#define BUILT_WITH_SANITIZER 0
#endif

struct jail {
	struct log *log;
	struct jail_user user;
	struct jail_state state;
	struct sock_fprog programs[JAIL_THREAD_COUNT]; /* owned */
};

static const char *const mode_names[] = {
	[JAIL_OFF] = "off",
	[JAIL_ON] = "on",
	[JAIL_LOG] = "log",
	[JAIL_TRAP] = "trap",
};

static const char *const thread_names[JAIL_THREAD_COUNT] = {
	[JAIL_THREAD_VCPU] = "vCPU",	 [JAIL_THREAD_IO] = "I/O",    [JAIL_THREAD_MAIN] = "main",
	[JAIL_THREAD_WORKER] = "worker", [JAIL_THREAD_SWAP] = "swap", [JAIL_THREAD_GUARD] = "guard",
	[JAIL_THREAD_BROKER] = "broker",
};

int jail_mode_parse(const char *text, enum jail_mode *mode)
{
	for (unsigned i = 0; i < sizeof(mode_names) / sizeof(mode_names[0]); i++) {
		if (strcmp(text, mode_names[i]) == 0) {
			*mode = (enum jail_mode)i;
			return 0;
		}
	}
	return -EINVAL;
}

const char *jail_mode_name(enum jail_mode mode)
{
	return mode_names[mode];
}

/* What happens to a call that is not on the list; see seccomp(2). */
static uint32_t refusal(enum jail_mode mode)
{
	switch (mode) {
	case JAIL_LOG:
		return SECCOMP_RET_LOG;
	case JAIL_TRAP:
		return SECCOMP_RET_TRAP;
	default:
		return JAIL_FILTER_REFUSAL;
	}
}

bool jail_is_possible(void)
{
	return !BUILT_WITH_SANITIZER;
}

int jail_create(const struct jail_config *config, struct jail **out, struct error *err)
{
	struct jail *jail;
	int status;

	*out = NULL;
	if (config->mode == JAIL_OFF)
		return 0;
	if (!jail_is_possible()) {
		log_warn(config->log, "jail: off, because symvm is built with a sanitizer");
		return 0;
	}
	jail = calloc(1, sizeof(*jail));
	if (!jail)
		return error_set(err, -ENOMEM, "jail: out of memory");
	jail->log = config->log;
	jail->state.mode = config->mode;
	status = jail_user_choose(config->user, &jail->user, err);
	if (status < 0) {
		free(jail);
		return status;
	}
	*out = jail;
	return 0;
}

void jail_destroy(struct jail *jail)
{
	if (!jail)
		return;
	for (unsigned kind = 0; kind < JAIL_THREAD_COUNT; kind++)
		free(jail->programs[kind].filter);
	free(jail);
}

/*
 * Guest RAM and stores as they are, plus the kernel's memory to map them (two levels of tables, on
 * both sides: less than 1/128 of it).
 */
static uint64_t group_limit(const struct jail_needs *needs)
{
	return needs->memory + needs->memory / 128 + JAIL_HEAP_MAX;
}

static int set_limits(struct jail *jail, const struct jail_needs *needs, struct error *err)
{
	struct jail_state *state = &jail->state;
	int status = jail_limits_set(&state->heap_limit);

	if (status < 0)
		return error_set_errno(err, status, "jail: limits");
	jail_cgroup_limit(group_limit(needs), &state->memory_limit, state->cgroup,
			  sizeof(state->cgroup));
	if (state->memory_limit && state->memory_limit < needs->memory)
		log_warn(jail->log,
			 "jail: memory.max of control group %s, %llu MiB, is less than the guest's "
			 "memory: the kernel may end this VM",
			 state->cgroup, (unsigned long long)state->memory_limit >> 20);
	return 0;
}

static void change_root(struct jail *jail)
{
	struct jail_state *state = &jail->state;
	struct jail_root_state root;
	/*
	 * A descriptor opened in a network namespace stays in it: a tap device, a server's
	 * connection, forwarded ports. Only libslirp makes new sockets.
	 */
	bool network = state->features & JAIL_FEATURE_NET_USER;

	jail_root_enter(network, &root);
	state->user_namespace = root.user_namespace;
	state->mount_namespace = root.mount_namespace;
	state->network_namespace = root.network_namespace;
	state->changed_root = root.changed_root;
	if (root.error)
		log_info(jail->log, "jail: cannot create namespaces: %s", strerror(-root.error));
}

static int enter_landlock(struct jail *jail, struct error *err)
{
	const struct landlock_exceptions exceptions = {
		.clear_dir = -1,
		.tcp_connect = jail->state.features & JAIL_FEATURE_NET_USER,
	};
	struct landlock_state landlock;
	int status = landlock_enter(&exceptions, &landlock);

	if (status < 0)
		return error_set_errno(err, status, "jail: landlock");
	jail->state.landlock_abi = landlock.abi;
	jail->state.landlock_scopes = landlock.scopes;
	if (landlock.abi == 0)
		log_warn(jail->log, "jail: the host's kernel has no landlock; paths are held by "
				    "seccomp and namespaces alone");
	return 0;
}

static int become_user(struct jail *jail, struct error *err)
{
	struct jail_user *user = &jail->user;
	uid_t wanted = user->uid;
	int status = jail_user_become(user, &jail->state.bounding_empty);

	if (status < 0)
		return error_set_errno(err, status, "jail: cannot become user %u:%u",
				       (unsigned)user->uid, (unsigned)user->gid);
	if (user->uid != wanted)
		log_warn(jail->log, "jail: user %u does not exist in this container; still %u",
			 (unsigned)wanted, (unsigned)user->uid);
	/* After the change of user, which sets it to fs.suid_dumpable. */
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return error_set_errno(err, -errno, "jail: PR_SET_DUMPABLE");
	jail->state.uid = user->uid;
	jail->state.gid = user->gid;
	jail->state.user = user->reason;
	jail->state.user_changed = user->change;
	return 0;
}

static int make_filters(struct jail *jail, struct error *err)
{
	int status = 0;

	for (unsigned kind = 0; kind < JAIL_THREAD_COUNT && status == 0; kind++)
		status = jail_filter_make((enum jail_thread)kind, jail->state.features,
					  refusal(jail->state.mode), &jail->programs[kind]);
	if (status < 0)
		return error_set_errno(err, status, "jail: filters");
	return jail->state.mode == JAIL_TRAP ? trap_install(err) : 0;
}

int jail_enter_process(struct jail *jail, const struct jail_needs *needs, struct error *err)
{
	int status;

	if (!jail)
		return 0;
	/* glibc reads the time zone's file once, even to take a UTC time apart. */
	tzset();
	jail->state.features = needs->features;
	status = set_limits(jail, needs, err);
	if (status < 0)
		return status;
	change_root(jail);
	status = become_user(jail, err);
	if (status == 0)
		status = enter_landlock(jail, err);
	return status == 0 ? make_filters(jail, err) : status;
}

int jail_enter_thread(struct jail *jail, enum jail_thread kind, struct error *err)
{
	int status;

	if (!jail)
		return 0;
	trap_name_thread(thread_names[kind]);
	status = jail_filter_apply(&jail->programs[kind]);
	if (status < 0)
		return error_set_errno(err, status, "jail: seccomp filter of the %s thread",
				       thread_names[kind]);
	return 0;
}

const struct jail_state *jail_state(const struct jail *jail)
{
	return jail ? &jail->state : NULL;
}
