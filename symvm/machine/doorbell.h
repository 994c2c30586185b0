/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Doorbells: ports that a driver writes to notify a device's queue. KVM answers such a write by
 * itself (an ioeventfd), so it is not an exit. A part that wants to see these writes catches the
 * doorbells: KVM gives up its ioeventfds, each write becomes an exit at the port (KVM_EXIT_IO), and
 * the device's access function for the port writes the eventfd. The device notices no difference.
 *
 * A device registers a doorbell while its port is mapped. So a BAR that moves, a reset and the end
 * of a device need no more than the usual calls, also while doorbells are caught. A write that
 * comes while this changes goes to KVM's ioeventfd or to the access function, and never to both or
 * none: KVM waits for vCPUs that still see the old state (kernel virt/kvm/eventfd.c,
 * kvm_io_bus_unregister_dev()).
 *
 * Several parts may catch at a time. The doorbells go back to KVM when the last one releases them.
 */
#ifndef SYMVM_MACHINE_DOORBELL_H
#define SYMVM_MACHINE_DOORBELL_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct vm;

#define DOORBELL_SIZE	  2u  /* bytes of a write */
#define DOORBELL_NAME_MAX 32u /* of a device, with the NUL */

/* The device owns it, and sets the first members before doorbell_add(). */
struct doorbell {
	uint64_t port;
	int fd;		    /* eventfd that a write signals; not owned */
	const char *device; /* its name; must live as long as the doorbell is registered */
	unsigned queue;
	bool in_kvm;	       /* private: KVM has the ioeventfd */
	struct doorbell *next; /* private */
};

/* Embedded in struct vm. */
struct doorbells {
	pthread_mutex_t lock; /* guards the rest, and each doorbell's private members */
	struct doorbell *list;
	unsigned catchers;
};

/* Which queue a doorbell is for. */
struct doorbell_place {
	char device[DOORBELL_NAME_MAX];
	unsigned queue;
};

/* Makes the list empty. Main thread, before the first device. */
void doorbells_init(struct doorbells *doorbells);
/* Frees the list's resources. All doorbells were removed. Main thread. */
void doorbells_destroy(struct doorbells *doorbells);

/*
 * Registers @doorbell, and gives it to KVM unless doorbells are caught. 0, or the -errno with which
 * KVM refused; it is registered even then, and each write is an exit. Any thread.
 */
int doorbell_add(struct vm *vm, struct doorbell *doorbell);
/* Ends that; KVM no longer has it. Does nothing if it is not registered. Any thread. */
void doorbell_remove(struct vm *vm, struct doorbell *doorbell);

/*
 * Takes all doorbells of @vm, also those that are registered later, out of KVM until
 * doorbells_release(). Any thread but vCPUs'. Waits for nothing but KVM.
 */
void doorbells_catch(struct vm *vm);
/*
 * Ends one doorbells_catch(). The last one gives all doorbells back to KVM. 0, or the -errno with
 * which KVM refused one; its writes stay exits, which work, but slower. Any thread but vCPUs'.
 */
int doorbells_release(struct vm *vm);

/* Whether @port is a doorbell; then *@place is its queue. Any thread. */
bool doorbell_find(struct vm *vm, uint64_t port, struct doorbell_place *place);
/* Whether doorbells are caught now. Any thread. */
bool doorbells_are_caught(struct vm *vm);

#endif
