/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libsymcall: the VMM's half of the symbiotic interface, on KVM file descriptors
 * and the mapped kvm_run. It knows no device, no command line and no event loop;
 * it creates no thread, owns no signal, and has no process-wide state. See
 * docs/reference/libsymcall.3 and docs/reference/abi.md.
 *
 * Threading, unless a function says otherwise: sym_vcpu_* and sym_call* of one
 * vCPU belong to the one thread that runs that vCPU. sym_vm_publish, *_spy_read,
 * *_stats and sym_vcpu_overdue may be called by any thread between the creation
 * and the destruction of their object.
 *
 * Errors are negative errno values. The guest can cause none but those that the
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
 * What the library needs of its embedder. `opaque` is sym_vm_config.opaque,
 * `vcpu` is the pointer that sym_vcpu_create() was given.
 */
struct sym_ops {
	/*
	 * HVA of guest RAM [gpa, gpa + len), or NULL unless all of it is RAM that
	 * the VMM has mapped as one readable and writable piece. Any thread. The
	 * mapping must live until sym_vm_reset() or sym_vm_destroy().
	 */
	void *(*translate)(void *opaque, uint64_t gpa, uint64_t len);

	/*
	 * Serve one exit that came while the library ran the vCPU: a device access
	 * of a call's handler, or a further exit of the instruction that is being
	 * completed. Called on the vCPU's thread; reads are answered with
	 * sym_vcpu_answer(). Return 0, or a negative errno if the vCPU must stop
	 * (reset, power off): the call is then abandoned with that errno.
	 */
	int (*service_exit)(void *vcpu, struct kvm_run *run);

	/*
	 * Optional pair: make a signal whose handler returns hit the calling vCPU
	 * thread `usec` microseconds from now (for instance a timer_create() timer
	 * with SIGEV_THREAD_ID), and take that back. A signal just before KVM_RUN is
	 * lost, as everywhere with KVM, unless its handler sets kvm_run->immediate_exit
	 * to 1 (on the vCPU's thread, never from another) or it comes again and again until it is
	 * disarmed. Without the pair another thread has to watch sym_vcpu_overdue() and kick.
	 */
	void (*arm_deadline)(void *vcpu, uint64_t usec);
	void (*disarm_deadline)(void *vcpu);

	/* Optional: one line of text without newline. Any thread. */
	void (*log)(void *opaque, enum sym_log_level level, const char *message);
};

struct sym_vm_config {
	size_t size;		   /* sizeof(struct sym_vm_config) of the embedder */
	int vm_fd;		   /* stays the embedder's */
	const struct sym_ops *ops; /* must live as long as the VM */
	void *opaque;
	const char *name; /* published to the guest; copied; may be NULL */
	uint8_t uuid[16];
	uint32_t features;    /* SYM_FEATURE_* to offer; 0: the interface is off */
	uint32_t deadline_us; /* of one call, 0: 100000; from 50000 on a tick early at worst */
	uint32_t doorbells_per_sec; /* limit per vCPU, 0: 100000 */
};

/*
 * Whether the host's KVM has what the engine needs (synced registers, immediate
 * exit, MSR exits). `kvm_fd` is /dev/kvm or a VM. Returns 0, or -ENOTSUP with
 * `*missing` (may be NULL) naming the first missing capability. Any thread.
 */
SYM_API int sym_check_host(int kvm_fd, const char **missing);

/*
 * Create the symbiotic state of a VM: nothing is changed in KVM and nothing is
 * offered to the guest yet. NULL with errno on bad configuration (EINVAL) or
 * memory shortage. Destroy after every vCPU of it.
 */
SYM_API struct sym_vm *sym_vm_create(const struct sym_vm_config *config);
SYM_API void sym_vm_destroy(struct sym_vm *vm);

/*
 * Forget the guest's VM-wide registration, at a guest reboot, with all vCPUs
 * stopped; call sym_vcpu_reset() for each vCPU too.
 */
SYM_API void sym_vm_reset(struct sym_vm *vm);

/*
 * Add the interface's CPUID leaves to a list that will go to KVM_SET_CPUID2 (to
 * every vCPU the same). `max_entries` is the room in `cpuid`. Does nothing if no
 * features are offered. -ENOSPC: too small; -EEXIST: a leaf is there already.
 */
SYM_API int sym_vm_cpuid_extend(const struct sym_vm *vm, struct kvm_cpuid2 *cpuid,
				size_t max_entries);

/*
 * Let the interface's MSRs exit to user space, which the registration needs: by
 * KVM_X86_SET_MSR_FILTER, so that the host's `ignore_msrs` does not matter. Filter
 * and capability (KVM_CAP_X86_USER_SPACE_MSR) are one per VM: an embedder with a
 * filter of its own sets that afterwards, with SYM_MSR_BASE .. + SYM_MSR_COUNT - 1
 * denied in it. `extra_reasons` are further KVM_MSR_EXIT_REASON_* that the embedder
 * wants for itself. For an MSR exit that sym_vcpu_handle_exit() leaves, the embedder
 * answers, as a rule with kvm_run->msr.error = 1 (#GP). Before any vCPU runs.
 */
SYM_API int sym_vm_enable_msrs(struct sym_vm *vm, uint64_t extra_reasons);

/* What the VMM tells the guest about the host; see struct sym_spy_vm_host. */
struct sym_publication {
	uint32_t host_load;
	uint32_t host_cpus;
	uint32_t psi_some;
	uint32_t psi_full;
	uint64_t policy;
	uint64_t swap_windows[SYM_SWAP_WINDOWS_MAX];
};

/* Write the VMM's part of the VM's SymSpy page, and remember it for the page to come. */
SYM_API void sym_vm_publish(struct sym_vm *vm, const struct sym_publication *what);

/*
 * Copy the guest's part of a SymSpy page. It is the guest's claim, not truth; text
 * is NUL terminated by the copy. -ENODATA: no page registered; -EAGAIN: the guest
 * kept writing (or left the lock taken) for all of the bounded retries.
 */
SYM_API int sym_vm_spy_read(struct sym_vm *vm, struct sym_spy_vm_guest *out);
/* The guest's panic message, for when boot_state says SYM_BOOT_PANIC; as claimed by the guest. */
SYM_API int sym_vm_spy_read_panic(struct sym_vm *vm, char out[SYM_PANIC_SIZE]);
SYM_API int sym_vcpu_spy_read(struct sym_vcpu *vcpu, struct sym_spy_vcpu_guest *out);

/* What the guest wrote to SYM_MSR_GUEST and what it was granted; 0: nothing. */
SYM_API uint32_t sym_vm_guest_version(const struct sym_vm *vm);
SYM_API uint32_t sym_vm_features(const struct sym_vm *vm);

/*
 * Create the state of a vCPU. `run` is its mapped kvm_run, `opaque` goes to the
 * callbacks. Any thread. NULL with errno.
 */
SYM_API struct sym_vcpu *sym_vcpu_create(struct sym_vm *vm, int vcpu_fd, struct kvm_run *run,
					 unsigned int id, void *opaque);
/* With the vCPU's thread outside of the library. */
SYM_API void sym_vcpu_destroy(struct sym_vcpu *vcpu);
/* Drop the registration: vCPU reset, guest reboot, state loaded from a snapshot. */
SYM_API void sym_vcpu_reset(struct sym_vcpu *vcpu);

/*
 * KVM_RUN once, with first refusal on its exit. Returns 0: the exit is the
 * embedder's; 1: the library consumed it, run again; -EINTR: a kick, also one that
 * came while a call ran; other negative errno: KVM_RUN failed, fatally. When the
 * guest died in a handler this returns 0 with KVM_EXIT_SHUTDOWN.
 */
SYM_API int sym_vcpu_run(struct sym_vcpu *vcpu);

/*
 * The same in two steps, for an embedder that issues KVM_RUN itself: begin just
 * before the ioctl (-EINTR: a kick is due, don't run), then handle_exit with the
 * ioctl's result (0 or -errno), at once and after every KVM_RUN.
 */
SYM_API int sym_vcpu_run_begin(struct sym_vcpu *vcpu);
SYM_API int sym_vcpu_handle_exit(struct sym_vcpu *vcpu, int run_result);

/*
 * Answer the read that is being handled (IN, INS, MMIO read, RDMSR) with `len`
 * bytes, before or after calls were made in that exit; the one right way to do it
 * in a VMM that makes calls. Before: the data go into kvm_run. After: the
 * instruction was completed with a dummy, and its result is put right (registers
 * patched, or the instruction executed again). -EINVAL: no read is pending, or
 * `len` is not its size; -EIO: the guest did not come back to the instruction.
 */
SYM_API int sym_vcpu_answer(struct sym_vcpu *vcpu, const void *data, size_t len);

/*
 * Raise #GP for the RDMSR or WRMSR that is being handled, before or after calls;
 * after a call only if it had SYM_CALL_MAY_FAIL, else -EINVAL.
 */
SYM_API int sym_vcpu_answer_fault(struct sym_vcpu *vcpu);

/*
 * KVM_SET_GUEST_DEBUG through the library, which must know what is armed: a call
 * disarms it and arms it again.
 */
SYM_API int sym_vcpu_set_guest_debug(struct sym_vcpu *vcpu, const struct kvm_guest_debug *debug);

/*
 * After a call the interrupted context lies in kvm_run until the next KVM_RUN, and
 * KVM_GET_REGS would show the handler's. This completes the exit that is being
 * handled (answer it first) and puts the context into KVM, for an embedder that is
 * about to read or write state by ioctls (snapshot, debugger). 0 or negative errno.
 */
SYM_API int sym_vcpu_settle(struct sym_vcpu *vcpu);

struct sym_call_request {
	uint64_t number; /* SYM_CALL_*, of the class that the function wants */
	uint64_t args[SYM_CALL_ARGS];
	uint32_t flags;	      /* SYM_CALL_* flags below */
	uint32_t deadline_us; /* 0: the VM's */
	void *message;	      /* not NULL: the result is the length of a message, */
	size_t message_size;  /* copied here */
};
#define SYM_CALL_MAY_FAIL (1u << 0) /* sym_vcpu_answer_fault() may follow */

struct sym_call_result {
	int64_t value; /* the handler's RAX: result or negative errno */
	size_t message_length;
};

/*
 * An atomic call into the guest, on this vCPU, now. Allowed while an exit that
 * KVM_RUN returned is being handled, and after -EINTR. kvm_run describes the same
 * exit after the call as before; the interrupted context goes on at the next
 * KVM_RUN. Returns 0 if the handler returned. Else nothing was entered and
 *   -EINVAL       number is not of the atomic class
 *   -ENOTCONN     the guest has not registered this vCPU, or disabled it
 *   -ENOTRECOVERABLE  calls are latched off after an abandoned one
 *   -EBUSY        a call is active on this vCPU
 *   -EAGAIN       not at this point of the guest: try at a later exit
 *   -EOPNOTSUPP   the guest uses CET shadow stacks or FRED
 * or the call was abandoned, the context restored, this vCPU latched off, and
 *   -ETIMEDOUT    the deadline passed
 *   -EFAULT       the handler ended in a fault that KVM reports
 *   (other)       what service_exit returned, or KVM_RUN's own failure
 * or, with the handler returned, its message is refused:
 *   -EPROTO       length beyond the buffer; -EMSGSIZE: beyond message_size;
 *   -ENODATA      no SymSpy page of this vCPU
 */
SYM_API int sym_call(struct sym_vcpu *vcpu, const struct sym_call_request *request,
		     struct sym_call_result *result);

/*
 * A safepoint call: only from within a doorbell handler of this vCPU. Same
 * results; -EPERM outside of a doorbell. After -ETIMEDOUT the doorbell takes no
 * further call; the guest gets the handler's verdict when it rings again.
 */
SYM_API int sym_call_safepoint(struct sym_vcpu *vcpu, const struct sym_call_request *request,
			       struct sym_call_result *result);

/*
 * A handler of doorbells with one reason: runs on the vCPU's thread inside
 * sym_vcpu_handle_exit(), returns the verdict. `request` is a private copy of what
 * the guest wrote. Register before vCPUs run. -ENOSPC: reason beyond
 * SYM_DOORBELL_REASONS; -EEXIST.
 */
#define SYM_DOORBELL_REASONS 64u
typedef uint64_t (*sym_doorbell_fn)(void *opaque, struct sym_vcpu *vcpu, void *vcpu_opaque,
				    const uint64_t request[6]);
SYM_API int sym_vm_set_doorbell(struct sym_vm *vm, uint32_t reason, sym_doorbell_fn handler,
				void *opaque);

/* Whether calls may be tried: registered, enabled, not latched, not active. */
SYM_API bool sym_vcpu_enabled(const struct sym_vcpu *vcpu);

/*
 * Whether a call on this vCPU has outlived its deadline, so that the vCPU thread
 * should be kicked; for a watchdog thread.
 */
SYM_API bool sym_vcpu_overdue(const struct sym_vcpu *vcpu);

/* Publish how long (ns) the vCPU's thread has waited for a host CPU. */
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

/* Copy the counters; each is exact, together they are no snapshot. Any thread. */
SYM_API void sym_vcpu_get_stats(const struct sym_vcpu *vcpu, struct sym_vcpu_stats *out);

#ifdef __cplusplus
}
#endif

#endif
