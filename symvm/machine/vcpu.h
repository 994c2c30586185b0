/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A vCPU and its thread. Only that thread touches its kvm_run and registers. Other threads set
 * requests and kick it. vcpu.c explains how.
 */
#ifndef SYMVM_MACHINE_VCPU_H
#define SYMVM_MACHINE_VCPU_H

#include <linux/kvm.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "util/error.h"

struct vm;
struct vcpu;
struct sym_vcpu;
struct vcpu_power_on;

/*
 * Takes a vCPU's thread out of KVM_RUN. It is not a real-time signal: the kernel must queue those,
 * and refuses if the user has too many pending (RLIMIT_SIGPENDING). Then a kick would be lost.
 * Linux itself never sends this one.
 */
#define VCPU_KICK_SIGNAL SIGSTKFLT
#define VCPU_EXIT_KINDS	 64 /* KVM_EXIT_* are below; the last one counts all others */

/* Counted by the vCPU's thread, read by any. */
struct vcpu_counters {
	_Atomic uint64_t exits[VCPU_EXIT_KINDS];
	_Atomic uint64_t kicks;
	_Atomic uint64_t pio_reads;
	_Atomic uint64_t pio_writes;
	_Atomic uint64_t mmio_reads;
	_Atomic uint64_t mmio_writes;
	_Atomic uint64_t bus_locks; /* see host_guard.h */
	_Atomic uint64_t unclaimed; /* accesses that no device took */
	/* The last exit: KVM_EXIT_*, and the port or the address of an access. */
	_Atomic uint32_t last_reason;
	_Atomic uint64_t last_address;
};

enum vcpu_request {
	VCPU_REQUEST_PAUSE = 1 << 0, /* stay out of the guest until resumed */
	VCPU_REQUEST_STOP = 1 << 1,  /* leave the thread */
	VCPU_REQUEST_WORK = 1 << 2,  /* run vcpu->work */
};

/* A function that another thread runs on the vCPU's thread, between exits. */
typedef void (*vcpu_function)(struct vcpu *vcpu, void *opaque);

struct vcpu {
	struct vm *vm;
	unsigned id;
	int fd;
	struct kvm_run *run;
	size_t run_size;
	struct sym_vcpu *symbiotic; /* NULL when the interface is off */
	pthread_t thread;
	bool started;
	_Atomic unsigned requests;
	timer_t deadline_timer; /* sends VCPU_KICK_SIGNAL to this thread */
	bool deadline_timer_valid;
	struct vcpu_counters counters;
	struct vcpu_power_on *power_on; /* for resets */
	/* One posted function at a time; guarded by vm->work_lock. */
	vcpu_function work;
	void *work_opaque;
	bool work_busy; /* a caller of vcpu_run_on() has the slot */
	bool work_done;
	int work_status;  /* 0, or why the work was refused */
	bool work_parked; /* it may also run while the vCPU is parked */
};

/* Creates vCPU @id of @vm (KVM vCPU, kvm_run, CPUID, MSRs). Main thread. -errno with words. */
int vcpu_create(struct vm *vm, unsigned id, struct vcpu **vcpu, struct error *err);
/* Ends the vCPU's thread, waits for it, and frees the vCPU. NULL is allowed. Main thread. */
void vcpu_destroy(struct vcpu *vcpu);

/* Starts the vCPU's thread, which waits until the VM runs. Main thread. -errno with words. */
int vcpu_start(struct vcpu *vcpu, struct error *err);

/* Sets a request and makes the vCPU leave the guest soon. Does not wait. Any thread. */
void vcpu_request(struct vcpu *vcpu, enum vcpu_request request);
/* The same for each vCPU of @vm. */
void vcpu_request_all(struct vm *vm, enum vcpu_request request);

/*
 * Runs @function on the vCPU's thread, between two exits (the guest's state is complete then), and
 * waits for it. Any thread but vCPU threads. It never runs while the VM is paused or being reset:
 * -EBUSY at once (vm_check_runs() has the words), unless the guest panicked and may be asked
 * (panic.answers). -ETIMEDOUT if it has not begun after @timeout_ms,
 * -ESHUTDOWN when the VM ends. Once the function has begun, this waits for its end.
 */
int vcpu_run_on(struct vcpu *vcpu, vcpu_function function, void *opaque, unsigned timeout_ms);
/*
 * The same for a @function that only looks at the vCPU, and lets no guest code run: it also runs
 * while the VM is paused or held.
 */
int vcpu_inspect(struct vcpu *vcpu, vcpu_function function, void *opaque, unsigned timeout_ms);

/*
 * Lets devices handle the exit that @run describes. The symbiotic engine also calls it for exits
 * inside of calls (sym_ops.service_exit). 0, or -ESHUTDOWN if the vCPU must not run its guest any
 * more. The vCPU's thread only.
 */
int vcpu_service_exit(struct vcpu *vcpu, struct kvm_run *run);

/*
 * Arms (disarms) the timer that interrupts this vCPU's KVM_RUN once after @usec; the vCPU's
 * thread only. See sym_ops.arm_deadline.
 */
void vcpu_deadline_arm(struct vcpu *vcpu, uint64_t usec);
void vcpu_deadline_disarm(struct vcpu *vcpu);

/*
 * Whether the VM has ended or is about to be reset, so that the guest must not continue. Any
 * thread.
 */
bool vcpu_must_stop(struct vcpu *vcpu);

/*
 * Installs the kick signal's handler for the process. Main thread, before any vCPU starts. -errno
 * with words.
 */
int vcpu_signal_setup(struct error *err);

/*
 * The name of a KVM_EXIT_* reason, "io", "mmio", ..., or NULL if it is unknown. Static. Any thread.
 */
const char *vcpu_exit_name(unsigned reason);

#endif
