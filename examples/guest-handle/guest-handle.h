/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a VMM adds to ask its guest by libguestview: struct guest_ops for a VMM that has one thread
 * for each vCPU. Copy it and adapt it.
 */
#ifndef EXAMPLES_GUEST_HANDLE_H
#define EXAMPLES_GUEST_HANDLE_H

#include <pthread.h>
#include <stdbool.h>
#include <libguestview/guestview.h>

#define HANDLE_VCPUS 16u

/* A function that another thread wants to run on a vCPU's thread. It is on that thread's stack. */
struct handle_work {
	void (*function)(void *argument);
	void *argument;
	bool begun, done;
};

struct handle_vcpu {
	struct sym_vcpu *engine;
	struct handle_work *work; /* NULL: none */
};

struct handle {
	unsigned vcpu_count;
	struct handle_vcpu vcpus[HANDLE_VCPUS];
	/* Makes the vCPU's thread leave KVM_RUN and call handle_serve() soon. Any thread. */
	void (*kick)(unsigned vcpu);
	bool ended; /* the guest runs no more */
	pthread_mutex_t lock;
	pthread_cond_t changed; /* on CLOCK_MONOTONIC */
};

/* Before any vCPU runs. @engines has @count entries, at most HANDLE_VCPUS. */
void handle_init(struct handle *handle, struct sym_vcpu *const engines[], unsigned count,
		 void (*kick)(unsigned vcpu));
/* A vCPU's thread calls it between two exits: after each kick, and each time before KVM_RUN. */
void handle_serve(struct handle *handle, unsigned vcpu);
/* The guest has ended: nobody waits for it any more. Any thread. */
void handle_end(struct handle *handle);
/* The handle for libguestview's functions. It is valid as long as @handle. Any thread. */
struct guest handle_guest(struct handle *handle);

#endif
