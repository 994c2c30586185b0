/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio-mem as seen by those who decide how much memory a guest has: control commands and swap
 * policies. Sizes are bytes beyond the RAM of the boot.
 */
#ifndef SYMVM_DEVICES_VIRTIO_MEM_H
#define SYMVM_DEVICES_VIRTIO_MEM_H

#include <stdbool.h>
#include <stdint.h>

struct vm;

struct virtio_mem_state {
	uint64_t block_size;
	uint64_t limit;	    /* the most that may be requested */
	uint64_t floor;	    /* what the operator asked for: policies never go below */
	uint64_t requested; /* what the guest is asked to have */
	uint64_t plugged;   /* what it has */
	bool driver;	    /* the guest's driver is at work */
};

/* -EOPNOTSUPP: the VM was not given --memory SIZE,max=. Any thread. */
int virtio_mem_get(struct vm *vm, struct virtio_mem_state *state);

/*
 * Asks the guest to have @size, rounded down to blocks and brought into [floor, limit]; it follows
 * in its own time, as far as it can. Returns 1 if that changed something, 0 if not, or
 * -EOPNOTSUPP. Any thread.
 */
int virtio_mem_request(struct vm *vm, uint64_t size);

/*
 * Tells the guest once more what it is asked to have, where it has less. Linux's driver tries again
 * then; by itself it waits 50 s and more after an attempt for which it found no memory
 * (VIRTIO_MEM_RETRY_TIMER_MIN_MS, drivers/virtio/virtio_mem.c). Any thread.
 */
void virtio_mem_remind(struct vm *vm);

/* The operator's word: request and floor. -ERANGE beyond the limit, -EOPNOTSUPP. Any thread. */
int virtio_mem_set_floor(struct vm *vm, uint64_t size);

#endif
