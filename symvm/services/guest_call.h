/* SPDX-License-Identifier: BSD-2-Clause */
/* Symbiotic calls on behalf of a control command, and their answers in JSON. */
#ifndef SYMVM_SERVICES_GUEST_CALL_H
#define SYMVM_SERVICES_GUEST_CALL_H

#include <jansson.h>
#include <symbiotic/symcall.h>

#include "util/error.h"

struct vm;
struct wait_limit;

#define GUEST_CALL_TIMEOUT_MS 2000u

/*
 * Makes an atomic call on vCPU @id between two of its exits: kicks it out of the guest, and tries
 * again where the guest is at a point that allows none. Worker threads (it waits, at most
 * GUEST_CALL_TIMEOUT_MS and about until @limit is over). Errors of sym_call() in words; -ENXIO: no
 * such vCPU; -EOPNOTSUPP: the interface is off; -ETIMEDOUT; -EBUSY at once where the VM is paused
 * or being reset; -ESHUTDOWN: it has ended.
 * A handler's own negative errno is in result->value, and no error here.
 */
int guest_call(struct vm *vm, unsigned id, const struct wait_limit *limit,
	       const struct sym_call_request *request, struct sym_call_result *result,
	       struct error *err);

/*
 * The same for a call that answers by a message of exactly @size bytes (a structure of abi.h),
 * which fills @message. -EPROTO where the guest sent another length; the guest's own errno.
 */
int guest_call_message(struct vm *vm, unsigned id, const struct wait_limit *limit, uint64_t number,
		       void *message, size_t size, struct error *err);

/* Guest text: at most @size bytes, up to a NUL, what is no UTF-8 replaced. New reference. */
json_t *guest_text(const void *text, size_t size);

/* The request for a kernel stack with symbols, into @text of GUEST_STACK_SIZE bytes. */
#define GUEST_STACK_SIZE (SYM_MESSAGE_SIZE + 1)
struct sym_call_request guest_stack_request(char *text);
/* The frames of the answer, innermost first; @text is cut up. New reference. */
json_t *guest_stack_json(char *text, size_t length);

/* A whoami message as an object. New reference. */
json_t *guest_whoami_json(const struct sym_whoami *whoami);

#endif
