/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio-mem for the code that decides how much memory a guest has: control commands and swap
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
	uint64_t floor;	    /* requested by the operator: policies never ask for less */
	uint64_t requested; /* what the guest is asked to have */
	uint64_t plugged;   /* what the guest has */
	bool driver;	    /* the guest's driver is active */
	bool leased;	    /* a broker decides: virtio_mem_lease() was called */
};

/* Fills @state, or -EOPNOTSUPP if the VM was not given --memory SIZE,max=. Any thread. */
int virtio_mem_get(struct vm *vm, struct virtio_mem_state *state);

/*
 * Asks the guest to have @size bytes, rounded down to blocks and limited to [floor, limit]. The
 * guest follows at its own pace, as far as it can. Returns 1 if the request changed, 0 if not, or
 * -EOPNOTSUPP. Any thread.
 */
int virtio_mem_request(struct vm *vm, uint64_t size);

/*
 * A broker decides from now on: the guest is asked to have @size bytes, rounded down to blocks and
 * limited to the limit. Requests of others and a floor change nothing any more; after a reset, the
 * caller repeats it. Returns 1 if the request changed, 0 if not, or -EOPNOTSUPP. Any thread.
 */
int virtio_mem_lease(struct vm *vm, uint64_t size);

/*
 * Repeats the request to the guest, if it has more or less than requested. Linux's driver then
 * tries again. By itself it waits 50 s or more after an attempt for which it found no memory
 * (VIRTIO_MEM_RETRY_TIMER_MIN_MS, drivers/virtio/virtio_mem.c). Any thread.
 */
void virtio_mem_remind(struct vm *vm);

/*
 * The operator's order: sets request and floor. -ERANGE beyond the limit, -EBUSY if a broker
 * decides, -EOPNOTSUPP. Any thread.
 */
int virtio_mem_set_floor(struct vm *vm, uint64_t size);

#endif
