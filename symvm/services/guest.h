/* SPDX-License-Identifier: BSD-2-Clause */
/* A VM as libguestview sees it. */
#ifndef SYMVM_SERVICES_GUEST_H
#define SYMVM_SERVICES_GUEST_H

#include "libguestview/guestview.h"
#include "util/error.h"
#include "util/wait_limit.h"

struct vm;

/* The handle to the guest of @vm, which must outlive it. It owns nothing. Any thread. */
struct guest guest_of_vm(struct vm *vm);

/* Converts @limit, which must outlive the result, to libguestview's form. Any thread. */
struct guest_limit guest_limit_of(const struct wait_limit *limit);

/*
 * Puts libguestview's words into @err and returns @status, so that callers can return it. Any
 * thread.
 */
int guest_error_pass(struct error *err, int status, const struct guest_error *words);

#endif
