/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The VMM's memslots, as it gave them to KVM. Only RAM that the guest can write, in the address
 * space of normal operation, is RAM for libsymcall: not the SMM address space, not ROM.
 */
#ifndef PRELOAD_MEMSLOTS_H
#define PRELOAD_MEMSLOTS_H

#include <linux/kvm.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

struct memslot {
	uint32_t slot;
	uint32_t flags; /* KVM_MEM_* */
	uint64_t gpa;
	uint64_t size; /* bytes, not 0 */
	uint64_t hva;
};

struct memslots {
	pthread_rwlock_t lock; /* guards the rest */
	struct memslot *list;
	size_t count, room;
};

/* Makes the table empty. Before any other function. */
void memslots_init(struct memslots *slots);

/*
 * Records a request that KVM has carried out: a memslot is new, moved, changed or (size 0) gone.
 * -ENOMEM: the slot is not in the table, so it is not RAM for libsymcall. Any thread.
 */
int memslots_set(struct memslots *slots, const struct kvm_userspace_memory_region *region);

/* HVA of RAM [gpa, gpa + len) (bytes), if one memslot has all of it; else NULL. Any thread. */
void *memslots_translate(struct memslots *slots, uint64_t gpa, uint64_t len);

/*
 * The same for a range that stays in use: only in the block of host memory that begins at GPA 0, of
 * which a VMM can have a second part above 4 GiB, directly behind the first. Any other memory may
 * be a DIMM, which the VMM unmaps when it is unplugged. Any thread.
 */
void *memslots_translate_kept(struct memslots *slots, uint64_t gpa, uint64_t len);

/* Bytes of RAM in all memslots. Any thread. */
uint64_t memslots_size(struct memslots *slots);

#endif
