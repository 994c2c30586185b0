/* SPDX-License-Identifier: BSD-2-Clause */
/* The task that runs on a vCPU (SYM_CALL_WHOAMI). */
#ifndef GUESTVIEW_WHOAMI_H
#define GUESTVIEW_WHOAMI_H

#include "guestview.h"

struct guest_whoami {
	uint32_t pid; /* of the thread */
	uint32_t tgid;
	uint32_t ppid;
	uint32_t uid;
	uint32_t cpu; /* as the guest numbers its CPUs */
	bool kernel_thread;
	bool idle;
	bool in_kernel;	   /* the call interrupted kernel mode */
	uint64_t user_rip; /* of the interrupted user context; 0 for a kernel thread */
	uint64_t user_rsp;
	uint64_t start_ns; /* the guest's boot-time clock: tells two tasks of one pid apart */
	char comm[17];
	char cgroup[97]; /* the end of its path */
};

/* Asks which task @vcpu runs now. Errors: those of guest_call_message(). */
GUEST_API int guest_whoami(const struct guest *guest, unsigned vcpu,
			   const struct guest_limit *limit, struct guest_whoami *task,
			   struct guest_error *err);

/* The request for it, for a caller that makes the call itself. @message: sizeof(*message) bytes. */
GUEST_API struct sym_call_request guest_whoami_request(struct sym_whoami *message);

/*
 * Decodes its answer: @value as the handler returned it, @length bytes at @message. -EPROTO if they
 * are not one struct sym_whoami. Any thread; does not wait.
 */
GUEST_API int guest_whoami_decode(int64_t value, const void *message, size_t length,
				  struct guest_whoami *task);

#endif
