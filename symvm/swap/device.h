/* SPDX-License-Identifier: BSD-2-Clause */
/* The windows of a VM: --swap. */
#ifndef SYMVM_SWAP_DEVICE_H
#define SYMVM_SWAP_DEVICE_H

struct vm;
struct swap_store;

/* The store of window @index of @vm, or NULL; they are numbered from 0 without gaps. Any thread. */
struct swap_store *swap_store_find(struct vm *vm, unsigned index);

#endif
