// SPDX-License-Identifier: BSD-2-Clause
#include "jail/filter.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static const struct sock_fprog *filter_find(enum jail_thread kind, unsigned features)
{
	features &= jail_filter_features[kind];
	for (size_t i = 0; i < jail_filter_count; i++)
		if (jail_filters[i].kind == kind && jail_filters[i].features == features)
			return &jail_filters[i].program;
	return NULL;
}

int jail_filter_make(enum jail_thread kind, unsigned features, uint32_t refusal,
		     struct sock_fprog *program)
{
	const struct sock_fprog *built = filter_find(kind, features);

	if (!built)
		return -ENOENT;
	program->filter = calloc(built->len, sizeof(*built->filter));
	if (!program->filter)
		return -ENOMEM;
	program->len = built->len;
	for (unsigned i = 0; i < built->len; i++) {
		struct sock_filter code = built->filter[i];

		if (code.code == (BPF_RET | BPF_K) && code.k == JAIL_FILTER_REFUSAL)
			code.k = refusal;
		if (BPF_CLASS(code.code) == BPF_JMP && code.k == JAIL_OWN_PID)
			code.k = (uint32_t)getpid();
		program->filter[i] = code;
	}
	return 0;
}

int jail_filter_apply(const struct sock_fprog *program)
{
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, program) < 0 ? -errno : 0;
}

int jail_filter_enter(enum jail_thread kind, unsigned features, uint32_t refusal)
{
	struct sock_fprog program;
	int status = jail_filter_make(kind, features, refusal, &program);

	if (status < 0)
		return status;
	status = jail_filter_apply(&program);
	free(program.filter);
	return status;
}
