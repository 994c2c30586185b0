// SPDX-License-Identifier: BSD-2-Clause
#include "jail/jail.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "jail/filters.h"
#include "jail/landlock.h"
#include "jail/trap.h"

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
	enum jail_mode mode;
	int state_fd;
	struct log *log;
	bool landlock;
	struct sock_fprog programs[JAIL_THREAD_COUNT]; /* owned */
};

static const char *const thread_names[JAIL_THREAD_COUNT] = {
	[JAIL_THREAD_VCPU] = "vCPU",
	[JAIL_THREAD_IO] = "I/O",
	[JAIL_THREAD_MAIN] = "main",
	[JAIL_THREAD_WORKER] = "worker",
	[JAIL_THREAD_SWAP] = "swap",
};

int jail_mode_parse(const char *text, enum jail_mode *mode)
{
	static const char *const names[] = {
		[JAIL_OFF] = "off", [JAIL_ON] = "on", [JAIL_LOG] = "log", [JAIL_TRAP] = "trap"};

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(text, names[i]) == 0) {
			*mode = (enum jail_mode)i;
			return 0;
		}
	}
	return -EINVAL;
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

/* Copies the filter of @kind with the refusal of @mode. -ENOMEM. */
static int filter_adapt(enum jail_mode mode, enum jail_thread kind, struct sock_fprog *program)
{
	const struct sock_fprog *built = &jail_filters[kind];

	program->filter = calloc(built->len, sizeof(*built->filter));
	if (!program->filter)
		return -ENOMEM;
	program->len = built->len;
	for (unsigned i = 0; i < built->len; i++) {
		struct sock_filter code = built->filter[i];

		if (code.code == (BPF_RET | BPF_K) && code.k == JAIL_FILTER_REFUSAL)
			code.k = refusal(mode);
		program->filter[i] = code;
	}
	return 0;
}

int jail_create(enum jail_mode mode, int state_fd, struct log *log, struct jail **out,
		struct error *err)
{
	struct jail *jail;
	int status = 0;

	*out = NULL;
	if (mode == JAIL_OFF)
		return 0;
	if (BUILT_WITH_SANITIZER) {
		log_warn(log, "jail: off, because symvm is built with a sanitizer");
		return 0;
	}
	jail = calloc(1, sizeof(*jail));
	if (!jail)
		return error_set(err, -ENOMEM, "jail: out of memory");
	jail->mode = mode;
	jail->state_fd = state_fd;
	jail->log = log;
	/* glibc reads the time zone's file once, even to take a UTC time apart. */
	tzset();
	jail->landlock = landlock_supported();
	if (!jail->landlock)
		log_info(log, "jail: the host's kernel has no landlock; seccomp alone is used");
	for (unsigned kind = 0; kind < JAIL_THREAD_COUNT && status == 0; kind++) {
		status = filter_adapt(mode, (enum jail_thread)kind, &jail->programs[kind]);
		if (status < 0)
			error_set(err, status, "jail: out of memory");
	}
	if (status == 0 && mode == JAIL_TRAP)
		status = trap_install(err);
	if (status < 0) {
		jail_destroy(jail);
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

int jail_enter_thread(struct jail *jail, enum jail_thread kind, struct error *err)
{
	int status = 0;

	if (!jail)
		return 0;
	trap_name_thread(thread_names[kind]);
	/* An unprivileged filter needs it, and no exec can ever gain anything. */
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return error_set_errno(err, -errno, "jail: no_new_privs");
	if (jail->landlock)
		status = landlock_enter(kind == JAIL_THREAD_MAIN ? jail->state_fd : -1,
					kind == JAIL_THREAD_IO ? "/etc/resolv.conf" : NULL);
	if (status < 0)
		return error_set_errno(err, status, "jail: landlock of the %s thread",
				       thread_names[kind]);
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &jail->programs[kind]) < 0)
		return error_set_errno(err, -errno, "jail: seccomp filter of the %s thread",
				       thread_names[kind]);
	return 0;
}
