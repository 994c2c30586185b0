/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of libsymcall share. Embedders use nothing of it. */
#ifndef LIBSYMCALL_INTERNAL_H
#define LIBSYMCALL_INTERNAL_H

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <symbiotic/symcall.h>

#define SYM_SYNC_ALL (KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS | KVM_SYNC_X86_EVENTS)

#define CR0_PG	 (1ull << 31)
#define CR4_LA57 (1ull << 12)
#define CR4_CET	 (1ull << 23)
#define CR4_FRED (1ull << 32)
#define EFER_LMA (1ull << 10)

#define EFER_SVME (1ull << 12)
#define CR4_VMXE  (1ull << 13)

#ifndef KVM_CAP_X86_GUEST_MODE /* since Linux 6.11 */
#define KVM_CAP_X86_GUEST_MODE 238
#define KVM_RUN_X86_GUEST_MODE (1 << 2)
#endif

/* CR3 bits that select a user page table: the PCID bit and the page bit of KPTI. */
#define CR3_USER_BITS ((1ull << 11) | (1ull << 12))

struct sym_doorbell_entry {
	sym_doorbell_fn handler;
	void *opaque;
};

struct sym_vm {
	int vm_fd;
	const struct sym_ops *ops;
	void *opaque;
	char name[64];
	uint8_t uuid[16];
	uint32_t offered;
	uint32_t deadline_us;
	uint32_t doorbells_per_sec;
	bool guest_mode_shown; /* kvm_run's flags say whether the vCPU runs a nested guest */
	_Atomic uint32_t guest_version;
	_Atomic uint32_t granted;
	_Atomic int enabled_vcpus;
	struct sym_doorbell_entry doorbells[SYM_DOORBELL_REASONS];

	pthread_mutex_t lock; /* guards all below: the page and what is published in it */
	struct sym_spy_vm *spy;
	uint64_t spy_msr;
	uint32_t spy_seq;
	struct sym_publication published;
};

/* The answer that the embedder's exit needs. */
enum sym_exit_kind {
	SYM_EXIT_NONE, /* a kick, or nothing that has an answer */
	SYM_EXIT_IN,   /* IN or INS: completion shows which, by RDI */
	SYM_EXIT_MMIO_READ,
	SYM_EXIT_RDMSR,
	SYM_EXIT_WRMSR,
};

#define SYM_EXIT_DATA_MAX 4096u
#define SYM_EXIT_BYTES	  256u /* of kvm_run's union of exits */

/* kvm_run's fields from ready_for_interrupt_injection to apic_base, which KVM writes at each exit.
 */
#define SYM_EXIT_HEAD_FIRST offsetof(struct kvm_run, ready_for_interrupt_injection)
#define SYM_EXIT_HEAD	    (offsetof(struct kvm_run, hw) - SYM_EXIT_HEAD_FIRST)

struct sym_exit {
	enum sym_exit_kind kind;
	bool answered;
	bool completed; /* by a call: KVM has taken the answer in kvm_run */
	bool has_snapshot;
	unsigned int discarded;	     /* exits that followed from a dummy answer */
	struct kvm_regs snapshot;    /* registers before the instruction */
	uint32_t reason;	     /* of the exit, as kvm_run described it */
	uint8_t head[SYM_EXIT_HEAD]; /* what kvm_run says of the vCPU at that exit */
	size_t len;		     /* used bytes of `bytes` */
	uint8_t bytes[SYM_EXIT_BYTES];
	uint32_t data_len; /* used bytes of `data`, the data of an OUT */
	uint8_t data[SYM_EXIT_DATA_MAX];
};

struct sym_saved {
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_vcpu_events events;
	uint32_t dirty; /* KVM_SYNC_X86_* that the call has changed */
	bool halted;
	uint32_t valid_regs; /* the embedder's kvm_valid_regs */
};

enum sym_activity {
	SYM_IDLE,
	SYM_IN_CALL,	  /* an atomic call completes the exit, runs or is restored */
	SYM_IN_DOORBELL,  /* the embedder's doorbell handler runs */
	SYM_IN_SAFEPOINT, /* a safepoint call runs */
};

struct sym_stats_live {
#define SYM_STATS_FIELD(name, text) _Atomic uint64_t name;
	SYM_STATS(SYM_STATS_FIELD)
#undef SYM_STATS_FIELD
};

/* The entry context, as the guest registered it. */
struct sym_entry {
	uint64_t rip;
	uint64_t rsp;
	uint64_t gs_base;
	uint64_t segs;
	uint64_t cr3_clear;
	uint64_t block_start;
	uint64_t block_end;
};

struct sym_vcpu {
	struct sym_vm *vm;
	int fd;
	struct kvm_run *run;
	unsigned int id;
	void *opaque;

	struct sym_entry entry;
	int status; /* SYM_MSR_STATUS */
	_Atomic bool enabled;
	_Atomic bool latched;
	_Atomic int activity;	      /* enum sym_activity */
	_Atomic uint64_t deadline_ns; /* CLOCK_MONOTONIC, 0: no call */
	uint64_t sequence;
	uint64_t return_rip; /* a return from here is at CPL 0; 0: not known yet */
	bool at_kick;	     /* a kick ended the last KVM_RUN: may be halted */
	bool kicked;	     /* while the library ran the vCPU: due to the embedder */
	bool dead;	     /* shut down inside a handler */
	unsigned int nested; /* depth of service_exit */
	struct sym_exit exit;
	struct sym_saved saved;
	struct kvm_guest_debug debug;

	pthread_mutex_t spy_lock; /* to change `spy`, and to read it on other threads */
	struct sym_spy_vcpu *spy;
	uint64_t spy_msr;
	uint64_t cookie;
	uint64_t random;		   /* state of the generator of cookies */
	struct sym_spy_vcpu *doorbell_spy; /* page of the doorbell that is served now */
	bool safepoint_abandoned;	   /* the guest has yet to ring for that call */
	uint64_t late_verdict;		   /* the answer to that ring */
	uint64_t tokens;		   /* doorbells allowed now, times 10^9 */
	uint64_t tokens_ns;

	struct sym_stats_live stats;
};

/* Counts one. Only the vCPU's thread writes, so no locked instruction is needed. */
#define sym_count(vcpu, counter) sym_count_add(&(vcpu)->stats.counter, 1)
static inline void sym_count_add(_Atomic uint64_t *counter, uint64_t n)
{
	uint64_t value = atomic_load_explicit(counter, memory_order_relaxed);

	atomic_store_explicit(counter, value + n, memory_order_relaxed);
}

/* Only the vCPU's thread changes its activity. For other threads it is a hint. */
static inline int sym_activity(const struct sym_vcpu *vcpu)
{
	return atomic_load_explicit(&vcpu->activity, memory_order_relaxed);
}

/* Returns the activity before. */
static inline int sym_activity_set(struct sym_vcpu *vcpu, int activity)
{
	int before = sym_activity(vcpu);

	atomic_store_explicit(&vcpu->activity, activity, memory_order_relaxed);
	return before;
}

/* kvm.c: the vCPU's ioctls, the clock, the log */
uint64_t sym_now_ns(void);
uint64_t sym_now_coarse_ns(void);
int sym_kvm_control(struct sym_vcpu *vcpu, unsigned long request, void *argument);
int sym_kvm_ioctl(struct sym_vcpu *vcpu, unsigned long request, void *argument);
int sym_kvm_run(struct sym_vcpu *vcpu, uint32_t valid_regs);
int sym_kvm_run_immediate(struct sym_vcpu *vcpu);
void __attribute__((format(printf, 3, 4)))
sym_log(const struct sym_vm *vm, enum sym_log_level level, const char *format, ...);

/* page_walk.c */
#define SYM_PAGE_WALK_WRITE (1u << 0)
#define SYM_PAGE_WALK_EXEC  (1u << 1)
#define SYM_PAGE_WALK_USER  (1u << 2)
int sym_page_walk(const struct sym_vm *vm, const struct kvm_sregs *sregs, uint64_t gva,
		  uint64_t *gpa, uint32_t *access);
int sym_page_walk_read8(const struct sym_vm *vm, const struct kvm_sregs *sregs, uint64_t gva,
			uint8_t *byte);
bool sym_is_canonical(const struct kvm_sregs *sregs, uint64_t gva);

/* dispatch.c: exits on the MSRs and ports of the interface */
bool sym_dispatch_exit(struct sym_vcpu *vcpu);
int sym_dispatch_nested_exit(struct sym_vcpu *vcpu);

/* registration.c */
int sym_registration_read(struct sym_vcpu *vcpu, uint32_t index, uint64_t *value);
int sym_registration_write(struct sym_vcpu *vcpu, uint32_t index, uint64_t value);
void sym_registration_drop(struct sym_vcpu *vcpu);

/* exit_complete.c, exit_answer.c: the embedder's exit */
enum sym_exit_kind sym_exit_kind_of(const struct kvm_run *run);
void sym_exit_answer_zero(struct kvm_run *run);
int sym_exit_prepare(struct sym_vcpu *vcpu, bool may_fail);
void sym_exit_restore_run(struct sym_vcpu *vcpu);
int sym_exit_complete(struct sym_vcpu *vcpu, bool discard);
int sym_exit_end(struct sym_vcpu *vcpu);

/* admission.c: whether a call may enter */
int sym_admit_registration(struct sym_vcpu *vcpu);
int sym_admit_context(struct sym_vcpu *vcpu);

/* context.c: loading and restoring the vCPU's context */
void sym_context_save(struct sym_vcpu *vcpu);
void sym_context_load(struct sym_vcpu *vcpu, const struct sym_call_request *request);
void sym_context_restore(struct sym_vcpu *vcpu);

/* deadline.c */
uint64_t sym_deadline_start(struct sym_vcpu *vcpu, uint32_t deadline_us);
void sym_deadline_stop(struct sym_vcpu *vcpu);

/* spy.c */
int sym_spy_set_vm(struct sym_vm *vm, uint64_t value);
int sym_spy_set_vcpu(struct sym_vcpu *vcpu, uint64_t value);
void sym_spy_write_context(struct sym_vcpu *vcpu);
void sym_spy_set_preempted(struct sym_vcpu *vcpu, bool preempted);
int sym_spy_message(struct sym_vcpu *vcpu, int64_t length, void *buffer, size_t size,
		    size_t *copied);

/* doorbell.c */
void sym_doorbell_ring(struct sym_vcpu *vcpu);
struct sym_spy_vcpu *sym_doorbell_page(struct sym_vcpu *vcpu);

#endif
