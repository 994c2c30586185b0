/* SPDX-License-Identifier: BSD-2-Clause */
/* The VMM's VM as libguestview sees it. */
#ifndef PRELOAD_HANDLE_H
#define PRELOAD_HANDLE_H

#include "libguestview/guestview.h"
#include "vm.h"

/* It owns nothing. Any thread but a vCPU's may ask by it. */
struct guest preload_guest(struct preload_vm *vm);

#endif
