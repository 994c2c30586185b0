/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libsymcall: the VMM's half of the symbiotic interface. It works on KVM's file descriptors and the
 * mapped kvm_run. It knows no device, no command line and no event loop. It creates no thread,
 * owns no signal, and has no process-wide state. See docs/reference/libsymcall.3 and
 * docs/reference/abi.md.
 *
 * Threads, unless a function says otherwise: only the thread that runs a vCPU may call sym_vcpu_*
 * and sym_call* for it. Any thread may call sym_vm_*, *_spy_read* and *_stats between the creation
 * and the destruction of their object.
 *
 * Errors are negative errno values, and 0 is success. The guest can cause only the errors that the
 * function lists, and none that is fatal to the VMM.
 */
#ifndef SYMBIOTIC_SYMCALL_H
#define SYMBIOTIC_SYMCALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <linux/kvm.h>

#include <symbiotic/abi.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SYM_API __attribute__((visibility("default")))

struct sym_vm;
struct sym_vcpu;

enum sym_log_level { SYM_LOG_ERROR, SYM_LOG_WARN, SYM_LOG_INFO, SYM_LOG_DEBUG };

/*
 * What the library needs from its embedder. `opaque` is sym_vm_config.opaque. `vcpu` is the
 * `opaque` of sym_vcpu_create().
 */
struct sym_ops {
	/*
	 * HVA of guest RAM [gpa, gpa + len) (bytes). NULL unless all of it is RAM that the VMM has
	 * mapped as one readable and writable piece. Any thread. The mapping must live until
	 * sym_vm_reset() or sym_vm_destroy().
	 */
	void *(*translate)(void *opaque, uint64_t gpa, uint64_t len);

	/*
	 * Serves one exit that came while the library ran the vCPU: a device access of a call's
	 * handler, or a further exit of the instruction that is being completed. Called on the
	 * vCPU's thread. It answers reads with sym_vcpu_answer(), and cannot make calls. Returns
	 * 0, or a negative errno if the vCPU must stop (reset, power off): the call is then
	 * abandoned with that errno.
	 */
	int (*service_exit)(void *vcpu, struct kvm_run *run);

	/*
	 * Optional pair. The first makes a signal hit the calling vCPU thread `usec` microseconds
	 * from now (for instance by a timer_create() timer with SIGEV_THREAD_ID); the signal's
	 * handler must return. The second takes that back. As always with KVM, a signal just before
	 * KVM_RUN is lost, unless its handler sets kvm_run->immediate_exit to 1 (on the vCPU's
	 * thread, never on another), or it is repeated until it is disarmed. Without the pair,
	 * another thread has to watch sym_vcpu_overdue() and kick.
	 */
	void (*arm_deadline)(void *vcpu, uint64_t usec);
	void (*disarm_deadline)(void *vcpu);

	/* Optional: takes one line of text without a newline. Any thread. */
	void (*log)(void *opaque, enum sym_log_level level, const char *message);
};

struct sym_vm_config {
	size_t size;		   /* sizeof(struct sym_vm_config) of the embedder */
	int vm_fd;		   /* stays the embedder's */
	const struct sym_ops *ops; /* must live as long as the VM */
	void *opaque;
	const char *name; /* published to the guest; copied; may be NULL */
	uint8_t uuid[16];
	uint32_t features;	    /* SYM_FEATURE_* to offer; 0: the interface is off */
	uint32_t deadline_us;	    /* of one call, 0: 100000; from 50000 on up to a tick early */
	uint32_t doorbells_per_sec; /* limit per vCPU, 0: 100000 */
};

/*
 * Checks that the host's KVM has what the engine needs (synchronized registers, immediate exit, MSR
 * exits). `kvm_fd` is /dev/kvm or a VM. Returns 0, or -ENOTSUP. Then *missing is the name of the
 * first missing capability, a constant; `missing` may be NULL. Any thread.
 */
SYM_API int sym_check_host(int kvm_fd, const char **missing);

/*
 * Creates the symbiotic state of a VM. It changes nothing in KVM and offers nothing to the guest
 * yet. `config` may go afterwards, its `ops` may not. NULL with errno: EINVAL if the configuration
 * is wrong, ENOMEM. Any thread. The caller destroys it after all vCPUs of it; NULL is allowed
 * there.
 */
SYM_API struct sym_vm *sym_vm_create(const struct sym_vm_config *config);
SYM_API void sym_vm_destroy(struct sym_vm *vm);

/*
 * Forgets the guest's VM-wide registration, at a guest reboot. All vCPUs must be stopped. Call
 * sym_vcpu_reset() for each vCPU, too.
 */
SYM_API void sym_vm_reset(struct sym_vm *vm);

/*
 * Adds the interface's CPUID leaves to a list for KVM_SET_CPUID2, the same for every vCPU. They go
 * into the first block that has no entry (SYM_CPUID_BASE to SYM_CPUID_LAST). `max_entries` is the
 * room in `cpuid`, in entries. Does nothing if the VM offers no features. Errors, with `cpuid`
 * unchanged: -ENOSPC: no room; -EEXIST: the leaves are there already, or no block is free.
 */
SYM_API int sym_vm_cpuid_extend(const struct sym_vm *vm, struct kvm_cpuid2 *cpuid,
				size_t max_entries);

/*
 * Makes the interface's MSRs exit to user space, as the registration needs. It uses
 * KVM_X86_SET_MSR_FILTER, so the host's `ignore_msrs` does not matter. A VM has one filter and one
 * capability (KVM_CAP_X86_USER_SPACE_MSR). An embedder with a filter of its own sets that
 * afterwards, and denies SYM_MSR_BASE to SYM_MSR_BASE + SYM_MSR_COUNT - 1 in it. `extra_reasons`
 * are further KVM_MSR_EXIT_REASON_* that the embedder wants for itself. The embedder answers an MSR
 * exit that sym_vcpu_handle_exit() leaves to it, as a rule with kvm_run->msr.error = 1 (#GP). Call
 * this before any vCPU runs. Returns 0, or the negative errno of the ioctl that failed.
 */
SYM_API int sym_vm_enable_msrs(struct sym_vm *vm, uint64_t extra_reasons);

/* What the VMM tells the guest about the host. Units: struct sym_spy_vm_host. */
struct sym_publication {
	uint32_t host_load;
	uint32_t host_cpus;
	uint32_t psi_some;
	uint32_t psi_full;
	uint64_t policy;
	uint64_t swap_windows[SYM_SWAP_WINDOWS_MAX];
};

/*
 * Writes *what to the VM's SymSpy page, and keeps a copy for a page that the guest registers later.
 * Any thread.
 */
SYM_API void sym_vm_publish(struct sym_vm *vm, const struct sym_publication *what);

/*
 * Copies the guest's part of a SymSpy page. It is the guest's claim, not the truth. The copy
 * terminates text by NUL. -ENODATA: no page is registered; -EAGAIN: the guest was writing (or had
 * left the seqlock odd) at each of a bounded number of tries. Any thread.
 */
SYM_API int sym_vm_spy_read(struct sym_vm *vm, struct sym_spy_vm_guest *out);
/*
 * Copies the guest's panic message, NUL terminated. Its boot_state is SYM_BOOT_PANIC if there is
 * one. It is the guest's claim, too. -ENODATA: no page is registered. Any thread.
 */
SYM_API int sym_vm_spy_read_panic(struct sym_vm *vm, char out[SYM_PANIC_SIZE]);
SYM_API int sym_vcpu_spy_read(struct sym_vcpu *vcpu, struct sym_spy_vcpu_guest *out);

/* The guest's ABI version (SYM_MSR_GUEST), and the features granted; 0: none yet. Any thread. */
SYM_API uint32_t sym_vm_guest_version(const struct sym_vm *vm);
SYM_API uint32_t sym_vm_features(const struct sym_vm *vm);

/*
 * Creates the state of a vCPU. `run` is its mapped kvm_run; `opaque` goes to the callbacks. The
 * descriptor and the mapping stay the embedder's, and must live as long as the vCPU. `id` is shown
 * in messages and to the guest. Any thread. NULL with errno (ENOMEM, or the error of getrandom()).
 */
SYM_API struct sym_vcpu *sym_vcpu_create(struct sym_vm *vm, int vcpu_fd, struct kvm_run *run,
					 unsigned int id, void *opaque);
/* Any thread, while the vCPU's thread is outside of the library. NULL is allowed. */
SYM_API void sym_vcpu_destroy(struct sym_vcpu *vcpu);
/*
 * Drops the registration: at a vCPU reset, a guest reboot, or when state is loaded from a snapshot.
 * Any thread, while the vCPU's thread is outside of the library.
 */
SYM_API void sym_vcpu_reset(struct sym_vcpu *vcpu);

/*
 * Issues KVM_RUN once, and looks at its exit first. Returns 0: the exit is the embedder's; 1: the
 * library consumed it, run again; -EINTR: a kick, also one that came while a call ran; another
 * negative errno: KVM_RUN failed, fatally, or the last exit could not be completed. If the guest
 * died in a handler, it returns 0 with KVM_EXIT_SHUTDOWN in kvm_run.
 */
SYM_API int sym_vcpu_run(struct sym_vcpu *vcpu);

/*
 * The same in two steps, for an embedder that issues KVM_RUN itself. Call begin just before the
 * ioctl. It returns 0: issue KVM_RUN; -EINTR: a kick is due, do not run; 1: the guest died in a
 * handler, do not run, kvm_run has KVM_EXIT_SHUTDOWN; another negative errno: the last exit could
 * not be completed. Call handle_exit with the ioctl's result (0 or -errno) directly after every
 * KVM_RUN. It returns what sym_vcpu_run() returns.
 */
SYM_API int sym_vcpu_run_begin(struct sym_vcpu *vcpu);
SYM_API int sym_vcpu_handle_exit(struct sym_vcpu *vcpu, int run_result);

/*
 * Answers the read that is being handled (IN, INS, MMIO read, RDMSR) with `len` bytes, before or
 * after calls were made in that exit. A VMM that makes calls must answer reads in this way only.
 * Before a call, the data go into kvm_run. After a call, the instruction was completed with a
 * dummy, and the library corrects its result: it patches registers, or executes the instruction
 * again. -EINVAL: no read is pending, it was answered after a call already, or `len` is not its
 * size; -EIO: the guest did not come back to the instruction; others: KVM or service_exit failed
 * meanwhile.
 */
SYM_API int sym_vcpu_answer(struct sym_vcpu *vcpu, const void *data, size_t len);

/*
 * Raises #GP for the RDMSR or WRMSR that is being handled, before or after calls. After a call this
 * is possible only if the first call in that exit had SYM_CALL_MAY_FAIL, else -EINVAL. Other errors
 * are those of sym_vcpu_answer().
 */
SYM_API int sym_vcpu_answer_fault(struct sym_vcpu *vcpu);

/*
 * KVM_SET_GUEST_DEBUG through the library, which must know what is armed: a call disarms it and
 * arms it again. *debug is copied. 0, or the ioctl's negative errno.
 */
SYM_API int sym_vcpu_set_guest_debug(struct sym_vcpu *vcpu, const struct kvm_guest_debug *debug);

/*
 * After a call the interrupted context is in kvm_run until the next KVM_RUN, and KVM_GET_REGS would
 * show the handler's registers. This function completes the exit that is being handled (answer it
 * first) and loads the context into KVM, for an embedder that is about to read or write state by
 * ioctls (snapshot, debugger). -EBUSY: inside a call, a doorbell or service_exit; -EAGAIN: the
 * instruction needs too many exits; others: KVM or service_exit failed.
 */
SYM_API int sym_vcpu_settle(struct sym_vcpu *vcpu);

struct sym_call_request {
	uint64_t number; /* SYM_CALL_*, of the class that the function wants */
	uint64_t args[SYM_CALL_ARGS];
	uint32_t flags;	      /* SYM_CALL_* flags below */
	uint32_t deadline_us; /* microseconds, 0: the VM's */
	void *message;	      /* not NULL: the result is a message's length; copied here */
	size_t message_size;  /* bytes of room at `message` */
};
#define SYM_CALL_MAY_FAIL (1u << 0) /* sym_vcpu_answer_fault() may follow in this exit */

struct sym_call_result {
	int64_t value;	       /* the handler's RAX: result or negative errno */
	size_t message_length; /* bytes copied to `message` */
};

/*
 * Makes an atomic call into the guest, on this vCPU, now. Allowed while an exit that KVM_RUN
 * returned is being handled, and after -EINTR. kvm_run describes the same exit after the call as
 * before. The interrupted context continues at the next KVM_RUN. `request` and `result` are the
 * caller's. Returns 0 if the handler returned. Else nothing was entered, and the error is
 *   -EINVAL       number is not of the atomic class
 *   -ENOTCONN     the guest has not registered this vCPU, or disabled it
 *   -ENOTRECOVERABLE  calls are latched off after an abandoned one
 *   -EBUSY        a call is active on this vCPU
 *   -EAGAIN       the guest is not at a point for it: try at a later exit
 *   -EOPNOTSUPP   the guest uses CET shadow stacks or FRED
 *   (other)       the exit could not be completed: KVM or service_exit failed
 * or the call was abandoned, the context restored, this vCPU latched off, and the error is
 *   -ETIMEDOUT    the deadline passed
 *   -EFAULT       the handler ended in a fault that KVM reports
 *   (other)       what service_exit returned, or KVM_RUN's own failure
 * or the handler returned, but its message is refused:
 *   -EPROTO       its length is beyond the guest's buffer (SYM_MESSAGE_SIZE)
 *   -EMSGSIZE     its length is beyond message_size
 *   -ENODATA      this vCPU has no SymSpy page
 */
SYM_API int sym_call(struct sym_vcpu *vcpu, const struct sym_call_request *request,
		     struct sym_call_result *result);

/*
 * Makes a safepoint call: only from within a doorbell handler of this vCPU, else -EPERM. Results as
 * for sym_call(), in addition -ENODATA: the guest moved or removed the doorbell's SymSpy page. If
 * the call is abandoned (-ETIMEDOUT, -EFAULT, or why the vCPU must stop), this doorbell takes no
 * further call (-ENOTRECOVERABLE). The guest gets the handler's verdict when it rings again.
 */
SYM_API int sym_call_safepoint(struct sym_vcpu *vcpu, const struct sym_call_request *request,
			       struct sym_call_result *result);

/*
 * Sets the handler of doorbells with one reason. It runs on the vCPU's thread inside
 * sym_vcpu_handle_exit() and returns the verdict: a value, or a negative errno for the guest.
 * `request` is a private copy of what the guest wrote, so check each value. `vcpu_opaque` is the
 * `opaque` of sym_vcpu_create(). Set it before vCPUs run. -ENOSPC: the reason is not below
 * SYM_DOORBELL_REASONS; -EINVAL: no handler; -EEXIST: the reason has one already.
 */
#define SYM_DOORBELL_REASONS 64u
typedef uint64_t (*sym_doorbell_fn)(void *opaque, struct sym_vcpu *vcpu, void *vcpu_opaque,
				    const uint64_t request[6]);
SYM_API int sym_vm_set_doorbell(struct sym_vm *vm, uint32_t reason, sym_doorbell_fn handler,
				void *opaque);

/* Whether a call may be tried: enabled, not latched, none active. Any thread, as a hint. */
SYM_API bool sym_vcpu_enabled(const struct sym_vcpu *vcpu);

/*
 * Whether a call on this vCPU is beyond its deadline, so that its thread should be kicked. For a
 * watchdog: any thread.
 */
SYM_API bool sym_vcpu_overdue(const struct sym_vcpu *vcpu);

/* Publishes how long (ns) the vCPU's thread has waited for a host CPU. */
SYM_API void sym_vcpu_publish_steal(struct sym_vcpu *vcpu, uint64_t steal_ns);

/* Counters of one vCPU since its creation. X(name, what it counts) */
#define SYM_STATS(X)                                                             \
	X(calls, "atomic calls entered")                                         \
	X(completed, "atomic calls whose handler returned")                      \
	X(abandoned_deadline, "calls abandoned at the deadline")                 \
	X(abandoned_fault, "calls abandoned because the handler faulted")        \
	X(abandoned_stop, "calls abandoned because the VMM stopped the vCPU")    \
	X(safepoint_calls, "safepoint calls entered")                            \
	X(safepoint_completed, "safepoint calls answered")                       \
	X(refused_number, "calls refused: number of the wrong class")            \
	X(refused_unregistered, "calls refused: not registered or disabled")     \
	X(refused_latched, "calls refused: latched off")                         \
	X(refused_busy, "calls refused: a call is active")                       \
	X(refused_nmi, "calls refused: guest handles an NMI or is in SMM")       \
	X(refused_stack, "calls refused: on a blocked stack")                    \
	X(refused_mode, "calls refused: not in long mode, or nested guest")      \
	X(refused_unsupported, "calls refused: CET shadow stack or FRED in use") \
	X(returns_without_call, "returns ignored: no call active")               \
	X(returns_bad_sequence, "returns ignored: wrong sequence number")        \
	X(returns_bad_privilege, "returns ignored: not from CPL 0")              \
	X(returns_bad_form, "returns ignored: string or multiple OUT")           \
	X(messages_refused, "messages refused: length or page")                  \
	X(msr_writes, "registration MSR writes accepted")                        \
	X(msr_refused, "registration MSR writes refused")                        \
	X(doorbells, "doorbells served")                                         \
	X(doorbells_forged, "doorbells ignored: wrong cookie or no page")        \
	X(doorbells_nested, "doorbells ignored: inside a call")                  \
	X(doorbells_limited, "doorbells over the rate limit")                    \
	X(nested_exits, "exits served inside calls or completions")              \
	X(reexecuted, "reads answered by executing the instruction again")       \
	X(kvm_runs, "KVM_RUN issued for calls and completions")                  \
	X(other_ioctls, "other ioctls issued on the vCPU for calls")             \
	X(call_cycles, "time inside calls, TSC cycles")

struct sym_vcpu_stats {
#define SYM_STATS_FIELD(name, text) uint64_t name;
	SYM_STATS(SYM_STATS_FIELD)
#undef SYM_STATS_FIELD
};

/* Copies the counters. Each is exact, but they are not of one moment. Any thread. */
SYM_API void sym_vcpu_get_stats(const struct sym_vcpu *vcpu, struct sym_vcpu_stats *out);

#ifdef __cplusplus
}
#endif

#endif
