/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the library knows of the VMM's VM: a copy of what the VMM asked of KVM, and libsymcall's
 * half. One VM in a process is served; a second one runs as if the library were not there. Its
 * objects live until the process ends, since the VMM does not say when it is done with a
 * descriptor.
 */
#ifndef PRELOAD_VM_H
#define PRELOAD_VM_H

#include <linux/kvm.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <symbiotic/symcall.h>
#include <time.h>

#include "coroutine.h"
#include "libguestview/guestview.h"
#include "memslots.h"
#include "requests.h"
#include "run_head.h"

#define PRELOAD_VCPUS 4096u /* KVM_MAX_VCPUS of x86 */

struct preload_vm;
struct who_watch;

/* A function that a control thread wants to run on a vCPU's thread. It is on that thread's stack.
 */
struct preload_work {
	void (*function)(void *argument);
	void *argument;
	bool begun, done;
};

struct preload_vcpu {
	struct preload_vm *vm;
	int fd;
	unsigned id;	     /* as the VMM numbers it */
	unsigned index;	     /* in vm->vcpus: as clients number it */
	struct kvm_run *run; /* our own mapping of it */
	struct sym_vcpu *engine;
	_Atomic pid_t thread; /* of its last KVM_RUN; 0: none yet */
	timer_t timer;	      /* hits that thread: the deadline of a call */
	bool has_timer;

	struct preload_work *_Atomic work; /* changes under vm->lock */
	/* Only the vCPU's thread: */
	struct preload_work *running; /* the work in the coroutine; NULL there: preload_who_ask() */
	struct run_head head;	      /* when the coroutine began */
	bool nests;		      /* the guest's CPUID has SVM or VMX */
	struct kvm_nested_state *nested; /* room for an answer; NULL until it is needed */
	uint64_t watch_number;		 /* of the watch that preload_who_ask() serves */
	struct coroutine coroutine;
	bool unsettled; /* a call left the interrupted context in kvm_run */
	bool cancelled; /* the VMM loads other state: the parked call must end */

	_Atomic uint64_t exits, kicks, calls, nested_exits, resets;
};

struct preload_vm {
	int fd;
	size_t run_size;    /* bytes of kvm_run */
	bool nested_in_run; /* kvm_run says whether a nested guest runs */
	size_t nested_size; /* bytes of KVM_GET_NESTED_STATE; 0: KVM has none */
	struct sym_vm *engine;
	struct memslots slots;
	int kick_signal;
	_Atomic bool off;	 /* the library steps aside: see preload_step_aside() */
	bool wants_filter_exits; /* the VMM asked for exits of its own MSR filter */
	unsigned char denied[REQUEST_BITMAP_SIZE];
	uint64_t created_ns; /* CLOCK_MONOTONIC */

	_Atomic unsigned vcpu_count;
	struct preload_vcpu *vcpus[PRELOAD_VCPUS]; /* the first vcpu_count are set */

	struct guest guest;		 /* the handle to it (handle.h) */
	pthread_mutex_t lock;		 /* guards the works' fields, and changes of the rest */
	struct who_watch *_Atomic watch; /* of the client that waits for exits; NULL: none */
	uint64_t watch_number;
	pthread_cond_t changed; /* on CLOCK_MONOTONIC */
};

/*
 * Follows the VM of @fd, which the VMM has just created by KVM_CREATE_VM. NULL: not served; the
 * reason is said. The thread that created the VM.
 */
struct preload_vm *preload_vm_create(int kvm_fd, int fd);

/* Carries out a request of the VMM for the VM: a result, or a negative errno. Any thread. */
long preload_vm_ioctl(struct preload_vm *vm, unsigned long request, void *argument);

/*
 * From now on the interface is not offered to the guest any more, and no call is made. @why is
 * said, once for the VM. Any thread.
 */
void preload_step_aside(struct preload_vm *vm, const char *why);

/* Follows the vCPU of @fd. NULL: no memory. The thread that created it. */
struct preload_vcpu *preload_vcpu_create(struct preload_vm *vm, int fd, unsigned id);

/* As preload_vm_ioctl(), for a vCPU. Only its thread may run it. */
long preload_vcpu_ioctl(struct preload_vcpu *vcpu, unsigned long request, void *argument);

/* KVM_RUN of the VMM: 0 (an exit for the VMM) or a negative errno. The vCPU's thread. */
long preload_vcpu_run(struct preload_vcpu *vcpu);

/* The vCPU gets another state: no call continues in it. The vCPU's thread. */
void preload_vcpu_reset(struct preload_vcpu *vcpu);
/* Loads the interrupted context into KVM, for a VMM that looks at registers. The vCPU's thread. */
void preload_vcpu_settle(struct preload_vcpu *vcpu);

/* Whether @vcpu is the one that this thread runs. */
bool preload_vcpu_is_current(const struct preload_vcpu *vcpu);
/* Makes the vCPU's thread look at its work soon. Any thread. */
void preload_vcpu_kick(struct preload_vcpu *vcpu);
/* Chooses a signal that the VMM does not use, and sets its handler. Returns it; -EBUSY. */
int preload_kick_signal_choose(void);

/* libsymcall's callbacks for vCPUs. */
int preload_service_exit(void *opaque, struct kvm_run *run);
void preload_arm_deadline(void *opaque, uint64_t usec);
void preload_disarm_deadline(void *opaque);

#endif
