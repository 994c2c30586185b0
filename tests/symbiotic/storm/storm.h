/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * symbiotic-storm: a VMM of a few hundred lines that boots a stock Linux kernel
 * with symbiotic.ko on libsymcall, and calls it at random points as fast as it can. A test
 * program: it has a console, a reset line and nothing else.
 */
#ifndef SYMBIOTIC_STORM_H
#define SYMBIOTIC_STORM_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include <symbiotic/symcall.h>

#define STORM_VCPUS_MAX 16
#define STORM_KICK	(SIGRTMIN + 2)

/* As in symbiotic_probe.c: a doorbell of the test module, and calls that it answers. */
#define PROBE_CALL     (SYM_CALL_SAFEPOINT_FIRST + 0x10)
#define PROBE_ATOMIC   (SYM_CALL_ATOMIC_FIRST + 0x80)
#define PROBE_DOORBELL 7
#define PROBE_CALLS    3

struct storm;

struct storm_counts {
	uint64_t tried;
	uint64_t returned;
	uint64_t not_here;  /* -EAGAIN: refused at this point */
	uint64_t not_ready; /* -ENOTCONN: not registered */
	uint64_t failed;    /* anything else: a defect */
	uint64_t wrong;	    /* returned, but with a wrong answer: a defect */
	uint64_t slow;	    /* returned after --slow milliseconds */
	uint64_t points[4]; /* user, kernel, idle, in an exit */
};

struct storm_vcpu {
	struct storm *storm;
	unsigned int id;
	int fd;
	struct kvm_run *run;
	struct sym_vcpu *sym;
	pthread_t thread;
	_Atomic bool started;
	timer_t timer;
	uint64_t next_call_ns; /* a kick before that time makes no call */
	uint64_t random;
	struct storm_counts counts;
	uint64_t tasks_cookie;
	uint64_t tasks_offset;
	uint64_t tasks_seen;
	uint64_t dmesg_from;
	unsigned int text_records; /* of a task's texts, still to come */
	bool text_first;	   /* the next one is the first of them */
	uint32_t task_seen;	   /* the last task of a listing */
	uint64_t listings;	   /* complete ones */
	uint64_t doorbells;
	unsigned int errors_shown;
};

struct storm {
	int kvm_fd;
	int vm_fd;
	uint8_t *memory;
	uint64_t memory_size;
	unsigned int vcpus;
	unsigned int period_us;	    /* between two kicks of one vCPU, 0: no storm */
	unsigned int exit_permille; /* of the exits: a call inside */
	unsigned int slow_ms;	    /* how long the probe's calls take */
	bool interface, kicks_only;
	_Atomic bool ended;
	int status;
	pthread_mutex_t lock;
	struct sym_vm *sym;
	struct storm_vcpu vcpu[STORM_VCPUS_MAX];
	struct {
		uint8_t interrupts_enabled;
		bool transmit_pending;
		uint8_t registers[8];
	} serial;
};

/* machine.c: sets up all that Linux needs to boot. 0 or negative errno, with a line on stderr. */
int machine_create(struct storm *storm);
int machine_load(struct storm *storm, const char *kernel, const char *initrd, const char *words);
/* One exit to user space. */
void machine_exit(struct storm_vcpu *vcpu);

/* calls.c: one call with a check of its answer. */
void storm_call(struct storm_vcpu *vcpu, bool in_exit);
/* A sym_doorbell_fn for PROBE_DOORBELL: calls back, returns the sum of the answers. */
uint64_t storm_doorbell(void *opaque, struct sym_vcpu *sym, void *vcpu_opaque,
			const uint64_t request[6]);
/* The next number of a vCPU's own sequence. */
uint64_t storm_random(struct storm_vcpu *vcpu);

#endif
