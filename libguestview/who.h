/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which task of the guest causes an exit. While the VMM handles an exit that it watches, it asks
 * the guest on that vCPU, and puts the record into a ring from which another thread takes it.
 */
#ifndef GUESTVIEW_WHO_H
#define GUESTVIEW_WHO_H

#include "guestview.h"
#include "stack.h"
#include "whoami.h"

/* One exit and its cause. */
struct guest_who {
	unsigned vcpu;
	bool mmio;
	bool write;
	unsigned size;	  /* bytes of the access */
	uint64_t address; /* port, or guest-physical address */
	struct guest_whoami task;
	bool has_stack; /* the guest was asked for it and gave it */
	struct guest_stack stack;
};

/*
 * Fills @record for the exit that @run describes, by calls on @vcpu: only on that vCPU's thread,
 * while it handles the exit. It waits for nothing but the deadline of a call. A stack that the
 * guest does not give is left out, and ops->log() says why. Errors: those of sym_call(), and
 * -EPROTO if the answer is malformed. -EBUSY means that the handler of a call caused the exit, not
 * a task.
 */
GUEST_API int guest_who_ask(const struct guest *guest, unsigned vcpu, const struct kvm_run *run,
			    bool stack, struct guest_who *record);

/*
 * The same without an exit: the task and the stack that the vCPU's thread has interrupted. It is
 * called between two exits (guest_ops.run_on()); address, size, write and mmio of @record are 0.
 */
GUEST_API int guest_who_ask_now(const struct guest *guest, unsigned vcpu, bool stack,
				struct guest_who *record);

/*
 * Records on their way from the vCPUs' threads to the thread that takes them, oldest first. A full
 * ring counts a further record as lost. A ring has no lock: its callers must lock.
 */
struct guest_who_ring;

/* About 3 KiB for each record. */
#define GUEST_WHO_RING_MAX 4096u

/* A ring for @capacity records, 1 to GUEST_WHO_RING_MAX. NULL: no memory, or another capacity. */
GUEST_API struct guest_who_ring *guest_who_ring_create(unsigned capacity);
/* Frees @ring with its records. NULL is allowed. */
GUEST_API void guest_who_ring_destroy(struct guest_who_ring *ring);

/* Copies @record into the ring. False if the ring is full: the record is lost. */
GUEST_API bool guest_who_ring_put(struct guest_who_ring *ring, const struct guest_who *record);
/* Moves the oldest record to @record. False if the ring is empty. */
GUEST_API bool guest_who_ring_take(struct guest_who_ring *ring, struct guest_who *record);

/* The number of records in the ring now, and of those lost since it was created. */
GUEST_API unsigned guest_who_ring_count(const struct guest_who_ring *ring);
GUEST_API uint64_t guest_who_ring_lost(const struct guest_who_ring *ring);

#endif
