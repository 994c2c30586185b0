/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A VM whose vCPUs run on a KVM that the test plays, with a device that holds up a vCPU, or the
 * reset, as a disk that hangs does. Stands in for KVM, the jail, memory, panics and the boot.
 */
#ifndef TESTS_MACHINE_FAKE_MACHINE_H
#define TESTS_MACHINE_FAKE_MACHINE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "machine/vm.h"

#define VCPUS	   2u
#define RESET_PORT 0x602 /* ports that the fake guest writes to */
#define DISK_PORT  0x100

struct fake_machine {
	struct vm vm;
	struct device device;
	pthread_t main_thread;
	_Atomic unsigned next_vcpu;
	/* At its next entry the guest of vCPU 0 makes an OUT to this port; 0: nothing. */
	_Atomic unsigned port;
	_Atomic bool stopped; /* the process was, and vCPU 1 comes out of the guest */
	_Atomic bool disk_hangs;
	_Atomic bool in_disk;
	_Atomic bool reset_hangs;
	_Atomic bool in_reset;
	_Atomic unsigned boots;
	_Atomic unsigned clock_told;
	_Atomic unsigned worked;
	_Atomic unsigned worked_in_reset;
	_Atomic unsigned entries; /* KVM_RUNs that ran the guest */
};

/* The only one in this process. */
extern struct fake_machine fake;

/* Of a test: its VM runs, with a main loop and a lifecycle thread. */
int fake_machine_setup(void **state);
int fake_machine_teardown(void **state);

/* A function for vCPUs: counts itself. */
void fake_work(struct vcpu *vcpu, void *opaque);
/* The guest of vCPU 0 writes to @port. */
void guest_writes(unsigned port);
/* Waits until @flag is set, or the guest booted @count times. */
void await(const _Atomic bool *flag);
void await_boots(unsigned count);
/* Whether the guest runs: entries go up. */
bool guest_runs(void);

#endif
