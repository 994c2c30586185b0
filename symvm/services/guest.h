/* SPDX-License-Identifier: BSD-2-Clause */
/* A VM as libguestview sees it. */
#ifndef SYMVM_SERVICES_GUEST_H
#define SYMVM_SERVICES_GUEST_H

#include <stdint.h>

#include "libguestview/guestview.h"
#include "util/error.h"
#include "util/wait_limit.h"

struct vm;

/* The handle to the guest of @vm, which must outlive it. It owns nothing. Any thread. */
struct guest guest_of_vm(struct vm *vm);

/* Converts @limit, which must outlive the result, to libguestview's form. Any thread. */
struct guest_limit guest_limit_of(const struct wait_limit *limit);

/* The name of a SYM_BOOT_... state that a guest published: any number. Static. Any thread. */
const char *guest_boot_state_name(uint32_t state);

/*
 * Whether @service, NULL if @vm has none, can begin to watch a guest that runs. 0; -EOPNOTSUPP (no
 * symbiotic interface); -EBUSY and -ESHUTDOWN of vm_check_runs(); with words. Any thread.
 */
int guest_check_service(struct vm *vm, const void *service, struct error *err);

/*
 * Puts libguestview's words into @err and returns @status, so that callers can return it. Any
 * thread.
 */
int guest_error_pass(struct error *err, int status, const struct guest_error *words);

#endif
