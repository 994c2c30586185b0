// SPDX-License-Identifier: BSD-2-Clause
#include "whoami.h"

#include <errno.h>
#include <string.h>

struct sym_call_request guest_whoami_request(struct sym_whoami *message)
{
	return (struct sym_call_request){
		.number = SYM_CALL_WHOAMI,
		.message = message,
		.message_size = sizeof(*message),
	};
}

int guest_whoami_decode(int64_t value, const void *message, size_t length,
			struct guest_whoami *task)
{
	struct sym_whoami raw;

	if (value != sizeof(raw) || length != sizeof(raw))
		return -EPROTO;
	memcpy(&raw, message, sizeof(raw));
	*task = (struct guest_whoami){
		.pid = raw.pid,
		.tgid = raw.tgid,
		.ppid = raw.ppid,
		.uid = raw.uid,
		.cpu = raw.cpu,
		.kernel_thread = raw.flags & SYM_WHOAMI_KERNEL_THREAD,
		.idle = raw.flags & SYM_WHOAMI_IDLE,
		.in_kernel = raw.flags & SYM_WHOAMI_IN_KERNEL,
		.user_rip = raw.user_rip,
		.user_rsp = raw.user_rsp,
		.start_ns = raw.start_ns,
	};
	_Static_assert(sizeof(task->comm) == sizeof(raw.comm) + 1, "comm and its NUL");
	_Static_assert(sizeof(task->cgroup) == sizeof(raw.cgroup) + 1, "cgroup and its NUL");
	guest_text_copy(task->comm, raw.comm, sizeof(raw.comm));
	guest_text_copy(task->cgroup, raw.cgroup, sizeof(raw.cgroup));
	return 0;
}

int guest_whoami(const struct guest *guest, unsigned vcpu, const struct guest_limit *limit,
		 struct guest_whoami *task, struct guest_error *err)
{
	struct sym_whoami message;
	int status = guest_call_message(guest, vcpu, limit, SYM_CALL_WHOAMI, &message,
					sizeof(message), err);

	return status < 0 ? status
			  : guest_whoami_decode(sizeof(message), &message, sizeof(message), task);
}
