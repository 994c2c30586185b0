/* SPDX-License-Identifier: BSD-2-Clause */
/* A minimal VMM for the bare tests: one vCPU, 2 MiB, test devices, libsymcall. */
#ifndef TESTS_BARE_SYMCALL_MACHINE_H
#define TESTS_BARE_SYMCALL_MACHINE_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include <symbiotic/symcall.h>

#include "layout.h"

/* A label of guest/bare/symcall.S, as an address of the identity map. */
extern const uint8_t guest_code_start[], guest_code_end[];
#define GUEST_LABEL(label)                                   \
	({                                                   \
		extern const uint8_t label[];                \
		CODE + (uint64_t)(label - guest_code_start); \
	})
#define GUEST_HIGH_LABEL(label) (GUEST_HIGH + GUEST_LABEL(label))

/* When the VMM makes calls in a run. */
enum call_mode {
	CALLS_NONE,
	CALLS_BEFORE_ANSWER, /* reads are answered from the call's result */
	CALLS_AFTER_ANSWER,
	CALLS_TWICE, /* two calls, answer, one more call */
	CALLS_AT_KICKS,
};

#define TRACE_MAX 4096
struct trace_entry {
	uint32_t kind; /* KVM_EXIT_*, bit 31: read */
	uint32_t len;
	uint64_t where;
	uint64_t data;
};

struct machine {
	int kvm_fd, vm_fd, vcpu_fd;
	size_t run_size;
	struct kvm_run *run;
	uint8_t *ram;
	struct sym_vm *sym_vm;
	struct sym_vcpu *vcpu;
	timer_t deadline_timer, kick_timer;
	uint32_t features;

	enum call_mode mode;
	uint64_t handler; /* label, high */
	bool fault_msr;	  /* MSR_TEST accesses end in #GP */
	void (*at_exit)(
		struct machine *m); /* before the VMM's other work at a test device's exit */
	bool single_step;
	uint64_t values;    /* reads of PORT/MMIO/MSR_TEST so far */
	int nested_result;  /* of the call tried from PORT_NEST */
	bool stop_at_other; /* service_exit says -ECANCELED at PORT_OTHER */
	uint64_t call_count, call_errors, call_again, kicks, debug_exits;
	int last_error;
	unsigned int trace_len;
	struct trace_entry trace[TRACE_MAX];
};

/* The state after a run: all that the guest can see. */
struct machine_state {
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_vcpu_events events;
	struct kvm_debugregs debugregs;
	struct kvm_fpu fpu;
	struct kvm_mp_state mp_state;
	uint64_t call_independent_msrs[4];
	uint8_t ram[EXCLUDED];
	unsigned int trace_len;
	struct trace_entry trace[TRACE_MAX];
};

/*
 * Exits with a message if the host lacks a feature: that is not a test result. With
 * `watchdog` the caller's thread enforces deadlines, otherwise timers end calls.
 */
struct machine *machine_create(uint32_t features, bool watchdog);
void machine_destroy(struct machine *m);

/* Sets RAM, registers, devices and counters back to the start. Registrations stay. */
void machine_start(struct machine *m, uint64_t rip);
void machine_set_gate(struct machine *m, unsigned int vector, uint64_t handler);
void machine_set_regs(struct machine *m, struct kvm_regs regs);
void machine_enter_user(struct machine *m);

/* Runs until the guest writes PORT_END: 0. 1: another final exit; -ETIME: it took too long. */
int machine_run(struct machine *m);
/* Runs until the next exit that the VMM must handle: KVM_EXIT_* or negative errno. */
int machine_run_to_exit(struct machine *m);
void machine_kick_every(struct machine *m, long usec); /* 0: stop */
void machine_kick_once(struct machine *m, long usec);

int machine_ping(struct machine *m, uint64_t a, uint64_t b, uint64_t *sum);
int machine_call(struct machine *m, uint64_t handler, uint64_t a, uint64_t b, int64_t *value);

/* Through guest code: 0, or the errno that SYM_MSR_STATUS gives after #GP. */
int machine_wrmsr(struct machine *m, uint32_t msr, uint64_t value);
int machine_rdmsr(struct machine *m, uint32_t msr, uint64_t *value);
/* The whole registration; `gs_base` as registered. */
void machine_register(struct machine *m, uint64_t handler, uint64_t gs_base, uint64_t cr3_clear);
void machine_spy_pages(struct machine *m);

void machine_get_state(struct machine *m, struct machine_state *state);
/* Whether the states are equal; reports each difference on stderr. */
bool machine_state_equal(const struct machine_state *a, const struct machine_state *b);

struct sym_vcpu_stats machine_stats(struct machine *m);

#endif
