/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The symbiotic interface between a guest operating system and a VMM.
 *
 * One header for the guest, the VMM and the documentation. docs/reference/abi.md explains each part
 * and its failure modes. Everything is little-endian, x86-64, of fixed width. There are no
 * bitfields and no implicit padding.
 *
 * Versions: a change that an older peer would misread raises the major version. An addition raises
 * the minor version, and is appended or announced by a feature bit. The guest writes its version
 * and the features that it wants to SYM_MSR_GUEST. The VMM grants at most the features that it
 * offers.
 */
#ifndef SYMBIOTIC_ABI_H
#define SYMBIOTIC_ABI_H

#ifdef __KERNEL__
#include <linux/types.h>
#include <linux/build_bug.h>
#define SYM_STATIC_ASSERT(cond, msg) static_assert(cond, msg)
typedef u8 sym_u8;
typedef u16 sym_u16;
typedef u32 sym_u32;
typedef u64 sym_u64;
typedef s32 sym_s32;
typedef s64 sym_s64;
#else
#include <stdint.h>
#define SYM_STATIC_ASSERT(cond, msg) _Static_assert(cond, msg)
typedef uint8_t sym_u8;
typedef uint16_t sym_u16;
typedef uint32_t sym_u32;
typedef uint64_t sym_u64;
typedef int32_t sym_s32;
typedef int64_t sym_s64;
#endif

#define SYM_ABI_MAJOR	1u
#define SYM_ABI_MINOR	3u
#define SYM_ABI_VERSION ((SYM_ABI_MAJOR << 16) | SYM_ABI_MINOR)

/*
 * Discovery: CPUID. The leaves are above those of KVM (0x40000000), so that the guest still sees
 * KVM and its paravirtual clock. They are one block of SYM_CPUID_STEP leaves, the first one from
 * SYM_CPUID_BASE to SYM_CPUID_LAST that no other interface uses: with Hyper-V's enlightenments
 * KVM's own leaves are at SYM_CPUID_BASE. So the guest looks for the signature in each block. The
 * names below are the leaves of the first block; the others have the same offsets.
 *
 * SYM_CPUID_BASE      EAX = highest leaf, EBX ECX EDX = "SymbioticVMM"
 * SYM_CPUID_INTERFACE EAX = ABI version (major << 16 | minor), EBX = first MSR,
 *                     ECX = first I/O port, EDX = features offered
 * SYM_CPUID_LIMITS    EAX = deadline of one call in microseconds,
 *                     EBX = size of the message buffer in bytes,
 *                     ECX = number of MSRs, EDX = 0
 */
#define SYM_CPUID_BASE	    0x40000100u
#define SYM_CPUID_INTERFACE 0x40000101u
#define SYM_CPUID_LIMITS    0x40000102u
#define SYM_CPUID_MAX	    SYM_CPUID_LIMITS
#define SYM_CPUID_STEP	    0x100u
#define SYM_CPUID_LAST	    0x4000ff00u
#define SYM_SIGNATURE	    "SymbioticVMM"
#define SYM_SIGNATURE_EBX   0x626d7953u /* "Symb" */
#define SYM_SIGNATURE_ECX   0x69746f69u /* "ioti" */
#define SYM_SIGNATURE_EDX   0x4d4d5663u /* "cVMM" */

/* Features: offered in CPUID, acknowledged by the guest in SYM_MSR_GUEST. */
#define SYM_FEATURE_SYMCALL   (1u << 0) /* synchronous calls at any exit (atomic class) */
#define SYM_FEATURE_SPY	      (1u << 1) /* SymSpy pages */
#define SYM_FEATURE_SAFEPOINT (1u << 2) /* doorbells, and calls of the safepoint class in them */
#define SYM_FEATURE_SWAP      (1u << 3) /* slot stores: windows in the VM page, swap doorbells */
#define SYM_FEATURE_ABANDON   (1u << 4) /* the VMM reports an atomic call that it gave up */
#define SYM_FEATURES_ALL                                                                    \
	(SYM_FEATURE_SYMCALL | SYM_FEATURE_SPY | SYM_FEATURE_SAFEPOINT | SYM_FEATURE_SWAP | \
	 SYM_FEATURE_ABANDON)

/*
 * Registration: MSRs, relative to the base from CPUID. A write that the VMM refuses raises #GP, and
 * SYM_MSR_STATUS then has the reason. All are per vCPU except SYM_MSR_GUEST and SYM_MSR_SPY_VM,
 * which are per VM. The guest may write registers of the entry context only while the vCPU's calls
 * are disabled (else -EBUSY).
 */
#define SYM_MSR_BASE 0x53594d00u /* "SYM\0" */

#define SYM_MSR_GUEST	      0 /* RW guest ABI version << 32 | features wanted; reads as granted */
#define SYM_MSR_CONTROL	      1 /* RW SYM_CONTROL_*; setting ENABLE checks the whole context */
#define SYM_MSR_ENTRY_RIP     2 /* RW entry point: canonical, upper half */
#define SYM_MSR_ENTRY_RSP     3 /* RW top of a stack used by calls only: canonical, upper half */
#define SYM_MSR_ENTRY_GS_BASE 4 /* RW GS base of the handler: canonical */
#define SYM_MSR_ENTRY_SEGS    5 /* RW CS selector | SS selector << 16, both RPL 0 */
#define SYM_MSR_ENTRY_CR3     6 /* RW bits (of 11 and 12) to clear in CR3 (user page tables) */
#define SYM_MSR_BLOCK_START   7 /* RW no calls while RSP is in [START, END): stacks of NMI, #MC */
#define SYM_MSR_BLOCK_END     8 /* RW */
#define SYM_MSR_SPY_VM	      9 /* RW GPA of the VM's SymSpy page | SYM_SPY_ENABLE */
#define SYM_MSR_SPY_VCPU      10 /* RW GPA of the vCPU's SymSpy page | SYM_SPY_ENABLE */
#define SYM_MSR_STATUS	      11 /* RO negative errno of the last refused write on this vCPU, or 0 */
#define SYM_MSR_COUNT	      12

#define SYM_CONTROL_ENABLE (1ull << 0) /* calls may enter this vCPU */
#define SYM_CONTROL_LATCHED \
	(1ull << 1) /* RO: a call was abandoned; off until the vCPU registers again */
#define SYM_SPY_ENABLE (1ull << 0)

/* I/O ports, relative to the base from CPUID. For CPL 0 only: the VMM checks it, or a cookie. */
#define SYM_PORT_BASE	  0x530u
#define SYM_PORT_RETURN	  0 /* OUT: end of an atomic call; registers as below */
#define SYM_PORT_DOORBELL 1 /* OUT: a doorbell, see struct sym_doorbell */
#define SYM_PORT_COUNT	  2

/*
 * An atomic call. On entry: RAX = number, RDI RSI RDX R10 R8 = arguments, R9 = sequence number,
 * RFLAGS = 2, CPL 0, own stack. RBX = SYM_ENTRY_CONTEXT if struct sym_context in the vCPU's SymSpy
 * page describes the interrupted context, 0 if there is no such page. The other registers are 0.
 * The handler returns by OUT of AL to SYM_PORT_RETURN with RAX = result or negative errno and R9
 * unchanged. It never IRETs.
 */
#define SYM_CALL_ARGS	  5
#define SYM_ENTRY_CONTEXT (1ull << 0)
/*
 * Not a call (RAX and arguments are 0): the VMM gave up the atomic call before at its deadline. The
 * guest undoes what entering that call did to its own accounts, and returns. Only with
 * SYM_FEATURE_ABANDON.
 */
#define SYM_ENTRY_ABANDONED (1ull << 1)

/*
 * Call numbers. Two classes have separate ranges. An atomic call may come at any instruction of the
 * guest. A safepoint call comes only in a doorbell.
 */
#define SYM_CALL_ATOMIC_FIRST	 0x0000u
#define SYM_CALL_ATOMIC_LAST	 0x0fffu
#define SYM_CALL_SAFEPOINT_FIRST 0x1000u
#define SYM_CALL_SAFEPOINT_LAST	 0x1fffu

#define SYM_CALL_PING		0x0000u /* (a, b) -> a + b */
#define SYM_CALL_WHOAMI		0x0001u /* () -> length; message: struct sym_whoami */
#define SYM_CALL_MEMINFO	0x0002u /* () -> length; message: struct sym_meminfo */
#define SYM_CALL_TASKS		0x0003u /* (cookie, offset, flags): a task listing, see struct sym_task */
#define SYM_CALL_STACK		0x0004u /* (flags) -> length; message: kernel stack, see SYM_STACK_* */
#define SYM_CALL_DMESG		0x0005u /* (sequence) -> length; message: struct sym_dmesg and text */
#define SYM_CALL_TASK_STACK	0x0006u /* (pid) -> length; message: struct sym_task_stack and text */
#define SYM_CALL_MEMORY		0x0007u /* () -> length; message: struct sym_memory */
#define SYM_CALL_CGROUPS	0x0008u /* (cookie, offset, flags): see struct sym_cgroup */
#define SYM_CALL_SAFEPOINT_PING 0x1000u /* (a, b) -> a + b */
#define SYM_CALL_SWAP_QUERY	0x1001u /* () -> length; message: struct sym_swap_query */
#define SYM_CALL_SWAP_REVOKE	0x1002u /* (window, pages) -> mapped slots made resident again */

/*
 * SymSpy pages: 4096 bytes, allocated and owned by the guest, page aligned, in RAM. Each has one
 * part that only the VMM writes and one that only the guest writes. Either side copies each value
 * that it uses once, and trusts none. A part with a `seq` word is a seqlock: odd while it is
 * written.
 */
#define SYM_PAGE_SIZE	     4096u
#define SYM_PANIC_SIZE	     256u
#define SYM_SWAP_WINDOWS_MAX 4u
#define SYM_SPY_VM_MAGIC     0x004d567970536d79ull /* "ymSpyVM\0" */
#define SYM_SPY_VCPU_MAGIC   0x5550437970536d79ull /* "ymSpyCPU" */

/* The VMM's part of the VM page. */
struct sym_spy_vm_host {
	sym_u64 magic;	 /* SYM_SPY_VM_MAGIC once the VMM has taken the page */
	sym_u32 version; /* SYM_ABI_VERSION of the VMM */
	sym_u32 seq;	 /* seqlock of this part */
	sym_u8 name[64]; /* VM name, NUL terminated */
	sym_u8 uuid[16];
	sym_u32 host_load; /* 1-minute load average of the host, in hundredths */
	sym_u32 host_cpus; /* online CPUs of the host */
	sym_u32 psi_some;  /* host memory pressure "some avg10", in hundredths of a percent */
	sym_u32 psi_full;  /* "full avg10" */
	sym_u64 policy;	   /* policy words of services, see docs/reference/abi.md */
	sym_u64 swap_windows[SYM_SWAP_WINDOWS_MAX]; /* GPA of struct sym_swap_header, or 0 */
	sym_u64 reserved[45];
};

/* The guest's part of the VM page. */
struct sym_spy_vm_guest {
	sym_u32 version;    /* SYM_ABI_VERSION of the guest */
	sym_u32 seq;	    /* seqlock of this part */
	sym_u32 boot_state; /* SYM_BOOT_* */
	sym_u32 cpus_online;
	sym_u8 os[64];	   /* e.g. "Linux 6.1.0-56-amd64", NUL terminated */
	sym_u64 mem_total; /* these in bytes */
	sym_u64 mem_free;
	sym_u64 mem_available;
	sym_u64 swap_total;
	sym_u64 swap_free;
	sym_u64 swap_in; /* pages since boot */
	sym_u64 swap_out;
	sym_u64 updated_ns; /* guest's monotonic clock at the last update */
	/* Pages of files that came back soon after their eviction, since boot. Older guests: 0. */
	sym_u64 refault_file;
	sym_u64 reserved[45];
};

#define SYM_BOOT_UNKNOWN  0u
#define SYM_BOOT_RUNNING  1u
#define SYM_BOOT_SHUTDOWN 2u
#define SYM_BOOT_PANIC	  3u

struct sym_spy_vm {
	struct sym_spy_vm_host host;
	struct sym_spy_vm_guest guest;
	sym_u8 panic[SYM_PANIC_SIZE]; /* guest: its panic message when boot_state is PANIC */
	sym_u8 reserved[SYM_PAGE_SIZE - SYM_PANIC_SIZE - sizeof(struct sym_spy_vm_host) -
			sizeof(struct sym_spy_vm_guest)];
};

/* The context that an atomic call interrupts. The VMM writes it before it enters. */
struct sym_context {
	sym_u64 rip;
	sym_u64 rsp;
	sym_u64 rbp;
	sym_u64 rflags;
	sym_u64 cs;
	sym_u64 gs_base;
	sym_u64 cr3;
	sym_u64 flags; /* SYM_CONTEXT_* */
};
#define SYM_CONTEXT_HALTED (1ull << 0)

/*
 * A doorbell. With preemption off, the module writes `reason` and the arguments, sets `cookie` (the
 * VMM gives it in host.cookie), and executes OUT to SYM_PORT_DOORBELL. While `state` is then CALL,
 * it dispatches `number` (safepoint class), writes `result` and rings again. It clears `cookie`
 * before preemption is on again, so that an OUT by a process with ioperm() finds no cookie and is
 * ignored.
 */
struct sym_doorbell {
	sym_u64 cookie;		     /* guest */
	sym_u32 reason;		     /* guest: SYM_DOORBELL_* */
	sym_u32 state;		     /* VMM: SYM_DOORBELL_STATE_* */
	sym_u64 request[6];	     /* guest: arguments of the doorbell */
	sym_u64 number;		     /* VMM: number of the call */
	sym_u64 args[SYM_CALL_ARGS]; /* VMM */
	sym_u64 result;		     /* guest: result of the call */
	sym_u64 verdict;	     /* VMM: answer to the doorbell, or negative errno */
};
#define SYM_DOORBELL_STATE_VERDICT 0u
#define SYM_DOORBELL_STATE_CALL	   1u
#define SYM_DOORBELL_STATE_RUNG	   2u /* guest, before OUT; still there afterwards: ignored */

#define SYM_DOORBELL_NONE	  0u /* a safepoint without a reason: answered with verdict 0 */
#define SYM_DOORBELL_SWAP_RESERVE 1u /* (window, slot): room to write it, see below */
#define SYM_DOORBELL_SWAP_FETCH	  2u /* (window, slot): a stored slot is wanted back */
#define SYM_DOORBELL_SWAP_DECIDE  3u /* (window, slot, SYM_SWAP_DECIDE_*): a swap-in */

/* The VMM's part of the vCPU page. */
struct sym_spy_vcpu_host {
	sym_u64 magic; /* SYM_SPY_VCPU_MAGIC once the VMM has taken the page */
	sym_u32 vcpu;
	sym_u32 preempted; /* 1 while the vCPU thread is not in KVM_RUN */
	sym_u64 cookie;	   /* of this vCPU's doorbells; changes at each registration */
	sym_u64 calls;	   /* calls made on this vCPU */
	sym_u64 steal_ns;  /* time the vCPU thread waited for a host CPU */
	struct sym_context context;
	sym_u64 reserved[11];
};

/* The guest's part of the vCPU page. */
struct sym_spy_vcpu_guest {
	sym_u32 seq;	    /* seqlock of this part */
	sym_u32 pid;	    /* current task: thread id */
	sym_u32 tgid;	    /* and process id */
	sym_u32 nr_running; /* runqueue length, 0 if the guest does not know */
	sym_u8 comm[16];
	sym_u64 switches; /* context switches counted by the module */
	sym_u64 reserved[11];
};

#define SYM_MESSAGE_SIZE 2048u

struct sym_spy_vcpu {
	struct sym_spy_vcpu_host host;
	struct sym_spy_vcpu_guest guest;
	struct sym_doorbell doorbell;
	sym_u8 reserved[SYM_PAGE_SIZE - SYM_MESSAGE_SIZE - sizeof(struct sym_spy_vcpu_host) -
			sizeof(struct sym_spy_vcpu_guest) - sizeof(struct sym_doorbell)];
	sym_u8 message[SYM_MESSAGE_SIZE]; /* guest: result of a call that does not fit RAX */
};

/* Message of SYM_CALL_WHOAMI. */
struct sym_whoami {
	sym_u32 pid;
	sym_u32 tgid;
	sym_u32 ppid;
	sym_u32 uid;
	sym_u32 cpu;
	sym_u32 flags;	  /* SYM_WHOAMI_* */
	sym_u64 user_rip; /* of the interrupted user context, 0 for a kernel thread */
	sym_u64 user_rsp;
	sym_u64 start_ns;  /* boot-time clock: tells two tasks of one pid apart */
	sym_u8 comm[16];   /* NUL terminated */
	sym_u8 cgroup[96]; /* tail of the cgroup's path, NUL terminated */
};
#define SYM_WHOAMI_KERNEL_THREAD (1u << 0)
#define SYM_WHOAMI_IDLE		 (1u << 1)
#define SYM_WHOAMI_IN_KERNEL	 (1u << 2) /* the call interrupted kernel mode */

/* Message of SYM_CALL_MEMINFO. Bytes; swap_in, swap_out: pages, major_faults: since boot. */
struct sym_meminfo {
	sym_u64 mem_total;
	sym_u64 mem_free;
	sym_u64 mem_available;
	sym_u64 swap_total;
	sym_u64 swap_free;
	sym_u64 swap_in;
	sym_u64 swap_out;
	sym_u64 major_faults;
};

/*
 * Message of SYM_CALL_MEMORY. A later version may append members: a peer takes those that both
 * know. Bytes, down to swap_cached; then counts since boot (the first two and the refaults: pages);
 * then pressure (PSI's avg10 as the kernel last updated it) in hundredths of a percent.
 */
struct sym_memory {
	sym_u64 mem_total;
	sym_u64 mem_free;
	sym_u64 mem_available;
	sym_u64 file; /* page cache, buffers included, swap cache not */
	sym_u64 anon;
	sym_u64 shmem;
	sym_u64 slab_reclaimable;
	sym_u64 slab_unreclaimable;
	sym_u64 page_tables;
	sym_u64 kernel_stacks;
	sym_u64 dirty;
	sym_u64 writeback;
	sym_u64 swap_total;
	sym_u64 swap_free;
	sym_u64 swap_cached;
	sym_u64 swap_in;
	sym_u64 swap_out;
	sym_u64 major_faults;
	sym_u64 refault_anon; /* pages that came back soon after their eviction */
	sym_u64 refault_file;
	sym_u32 pressure[6]; /* SYM_PRESSURE_* */
	sym_u32 flags;	     /* SYM_MEMORY_* */
	sym_u32 reserved;
};
#define SYM_MEMORY_PRESSURE (1u << 0) /* the kernel has PSI, and it is on */

#define SYM_PRESSURE_CPU_SOME	 0u
#define SYM_PRESSURE_CPU_FULL	 1u
#define SYM_PRESSURE_MEMORY_SOME 2u
#define SYM_PRESSURE_MEMORY_FULL 3u
#define SYM_PRESSURE_IO_SOME	 4u
#define SYM_PRESSURE_IO_FULL	 5u

/*
 * SYM_CALL_CGROUPS lists the cgroups that have most memory, largest first, in the protocol of
 * SYM_CALL_TASKS. The flags are the number of cgroups, 1 to SYM_CGROUPS_MAX. The root is left out.
 * A cgroup's memory includes that of its children. -EOPNOTSUPP: the kernel has no memory controller
 * in the unified hierarchy.
 */
#define SYM_CGROUPS_MAX 64u

struct sym_cgroup {
	sym_u64 memory; /* bytes */
	sym_u64 limit;	/* memory.max, ~0: none */
	sym_u64 swap;
	sym_u32 pressure_some; /* of memory, as in struct sym_memory */
	sym_u32 pressure_full;
	sym_u8 path[96]; /* its tail, NUL terminated */
};

/*
 * SYM_CALL_STACK. The interrupted kernel stack, innermost frame first. It needs the interrupted
 * context (-ENODATA without it). Message: 64-bit addresses; length 0 if user mode was interrupted.
 */
#define SYM_STACK_SYMBOLS \
	(1u << 0) /* message: text instead, "symbol+offset/size [module]\n" each */

/*
 * SYM_CALL_TASK_STACK: the kernel stack of one task, by its number (of the thread, in the guest's
 * first PID namespace). Message: this structure, then text as for SYM_STACK_SYMBOLS, innermost
 * frame first, without the functions of the scheduler. A task that runs has frames only if it runs
 * on the CPU that is asked. -ESRCH: there is no such task.
 */
struct sym_task_stack {
	sym_u32 pid;
	sym_u32 tgid;
	sym_u32 state; /* as in struct sym_task */
	sym_u32 flags; /* SYM_TASK_STACK_* */
	sym_u32 cpu;   /* on which it runs, or last ran */
	sym_u32 reserved;
	sym_u64 start_ns;	 /* boot-time clock */
	sym_u8 comm[16];	 /* NUL terminated */
	sym_u8 wait_channel[48]; /* the function in which it waits, NUL terminated; empty: none */
};
#define SYM_TASK_STACK_RUNNING (1u << 0) /* it runs on `cpu` now */
#define SYM_TASK_STACK_USER    (1u << 1) /* and is in user mode: it has no frames */

/*
 * SYM_CALL_DMESG: messages of the guest's kernel log, from the record `sequence` on; 0: from the
 * oldest that it still has. Message: this structure, then text: whole lines, "<N>line\n" each, N
 * being the syslog priority (facility * 8 + level). A record may have several lines. No text: there
 * are no further messages yet; ask again later with `next`.
 */
struct sym_dmesg {
	sym_u64 next; /* the sequence for the next call */
	sym_u64 lost; /* records between the one that was asked for and the first one here */
};

/*
 * SYM_CALL_TASKS lists the guest's tasks. No guest can make such a list at an arbitrary
 * instruction, and it does not fit one message. So a first call asks for it, a thread of the guest
 * makes it, and further calls fetch it. (0, 0, flags)    asks for a listing: its cookie (> 0), or
 * -EBUSY while one is being made (cookie, offset) copies records from that byte offset of the
 * listing to the message: bytes copied, 0 at the end; -EAGAIN: not made yet, call again later;
 *                    -ESTALE: expired or replaced by a newer one; -EINVAL: offset not a
 *                    multiple of the record's size; -ENOMEM: the guest could not make it
 * The listing does not change, so all records are of one moment.
 */
#define SYM_TASKS_THREADS (1u << 0) /* list threads, not only processes */
#define SYM_TASKS_TEXTS	  (1u << 1) /* with texts; an older module answers -EINVAL */

struct sym_task {
	sym_u32 pid;
	sym_u32 tgid;
	sym_u32 ppid;
	sym_u32 uid;
	sym_u32 state;	  /* one character, as ps shows it: R S D T t X Z P I */
	sym_u32 flags;	  /* SYM_TASK_* */
	sym_u32 cpu;	  /* the CPU on which it runs, or last ran */
	sym_u32 threads;  /* of its process */
	sym_u64 rss;	  /* bytes, of its process */
	sym_u64 utime_ns; /* of the process; of the thread if threads are listed */
	sym_u64 stime_ns;
	sym_u64 start_ns;  /* boot-time clock */
	sym_u8 comm[16];   /* NUL terminated */
	sym_u8 cgroup[48]; /* tail of the cgroup's path, NUL terminated */
};
#define SYM_TASK_KERNEL_THREAD	     (1u << 0)
#define SYM_TASK_ARGS_CUT	     (1u << 1) /* its command line is longer than the text here */
#define SYM_TASK_ARGS_AWAY	     (1u << 2) /* reading its command line would have to wait */
#define SYM_TASK_TEXT_RECORDS(flags) (((flags) >> 8) & 0xffu)
#define SYM_TASK_TEXT_SHIFT	     8

/*
 * With SYM_TASKS_TEXTS: SYM_TASK_TEXT_RECORDS(flags) records of the same size follow the task's
 * own. Together they are this structure, then two texts of the given lengths without a NUL at the
 * end: the kernel function in which the task waits (as /proc/PID/wchan, at most
 * SYM_TASK_CHANNEL_MAX bytes), and the command line of a process (as /proc/PID/cmdline: a NUL
 * between two arguments). Zeros follow.
 */
struct sym_task_text {
	sym_u16 wait_channel;
	sym_u16 args;
};
#define SYM_TASK_CHANNEL_MAX 64u

/*
 * Slot stores (SYM_FEATURE_SWAP). A store is a window of guest-physical space beyond RAM, in which
 * the guest's swap device keeps pages. The memory behind it is the VMM's. Its header page comes
 * first, then an array of 32-bit state words, one per slot, then the slots, 4096 bytes each. The VM
 * page has the windows' addresses (host.swap_windows).
 *
 * Both sides change a slot's word by compare-and-swap only. It says which side may touch the slot:
 *
 *   FREE      no contents. The guest may claim it for writing.
 *   WRITING   the guest copies a page into it.
 *   RESIDENT  contents are in the window. The guest may read while it holds a reader count (the
 *             word's bits 8 to 15), without an exit; the VMM takes only slots without readers.
 *   MAPPED    the guest has mapped it into a process. The VMM asks for it by header.revoke_wanted
 *             or SYM_CALL_SWAP_REVOKE, and never takes it.
 *   COPYING   the VMM copies it elsewhere. The guest may still take it back: to RESIDENT, to
 *             WRITING, to FREE.
 *   OWNED     the VMM's alone, for microseconds. The guest waits. To free such a slot the guest
 *             sets SYM_SLOT_DISCARD, and the VMM makes it FREE.
 *   STORED    contents are elsewhere. To read, ring SYM_DOORBELL_SWAP_FETCH. The guest may claim
 *             it for writing, or free it.
 *   FAILED    the VMM lost the contents (its disk, its peer). A read fails (-EIO), a write repairs
 * it.
 *
 * The guest: FREE, RESIDENT without readers, COPYING, STORED, FAILED -> WRITING -> RESIDENT;
 *            RESIDENT <-> MAPPED; RESIDENT readers + 1, - 1; COPYING -> RESIDENT;
 *            all but OWNED and MAPPED -> FREE
 * The VMM:   RESIDENT -> COPYING -> OWNED -> STORED or FAILED; FREE -> OWNED -> FREE;
 *            STORED -> OWNED -> RESIDENT or FAILED
 *
 * Before the guest writes to a FREE, STORED or FAILED slot while header.flags has SYM_SWAP_FULL, it
 * rings SYM_DOORBELL_SWAP_RESERVE. The verdict is 0, or -ENOSPC: then that write fails. A guest
 * that does not ring, or touches slots that it did not claim, may lose its slots' contents, and
 * nothing else.
 */
struct sym_swap_header {
	sym_u64 magic;	       /* VMM: SYM_SWAP_MAGIC */
	sym_u32 version;       /* VMM: SYM_ABI_VERSION */
	sym_u32 index;	       /* VMM: number of the window */
	sym_u64 size;	       /* VMM: of the whole window, bytes */
	sym_u64 slots;	       /* VMM */
	sym_u64 words_offset;  /* VMM: of the state words from the header, bytes */
	sym_u64 slots_offset;  /* VMM: of the first slot */
	sym_u32 flags;	       /* VMM: SYM_SWAP_* */
	sym_u32 verdicts;      /* VMM: 1 << SYM_VERDICT_* that its policy may give, 0: off;
				* SYM_SWAP_ASK_OUT: it wants to be asked about swap-outs, too */
	sym_u64 revoke_wanted; /* VMM: number of mapped slots that it wants back soon */
	sym_u32 policy_epoch;  /* VMM: changes with the policy; older credit is void */
	sym_u32 reserved0;
	sym_u64 reserved1[7];
	sym_u64 mapped; /* guest: slots mapped now */
	sym_u64 reserved2[495];
};
#define SYM_SWAP_MAGIC 0x0050415753796d53ull /* "SmySWAP\0" */
#define SYM_SWAP_FULL  (1u << 0)	     /* budget used up: reserve before writing */

#define SYM_SLOT_FREE	       0u
#define SYM_SLOT_WRITING       1u
#define SYM_SLOT_RESIDENT      2u
#define SYM_SLOT_MAPPED	       3u
#define SYM_SLOT_COPYING       4u
#define SYM_SLOT_OWNED	       5u
#define SYM_SLOT_STORED	       6u
#define SYM_SLOT_FAILED	       7u
#define SYM_SLOT_STATE(word)   ((word)&0xffu)
#define SYM_SLOT_READER	       0x100u
#define SYM_SLOT_READERS(word) (((word) >> 8) & 0xffu)
#define SYM_SLOT_DISCARD       (1u << 16)

/*
 * SYM_DOORBELL_SWAP_FETCH: verdict 0: look at the word again; -EAGAIN: the VMM is fetching it:
 * sleep a little, look, ring again; -ENOSPC: no room within the budget now, as -EAGAIN but longer;
 * -EINVAL: no such window or slot.
 *
 * SYM_DOORBELL_SWAP_DECIDE, for a swap-in for which the guest has no credit: the VMM may ask
 * (SYM_CALL_SWAP_QUERY). Its answer holds for this swap-in and for `credit` swap-ins after it. Up
 * to `around` pages may be mapped at once, fewer if faults are out of order. The guest falls back
 * to COPY if it cannot do what the VMM asks.
 *
 * With SYM_SWAP_DECIDE_OUT the guest is about to write a page to the slot. The question is the same
 * (the query is about the task that reclaims), and `credit` is a number of swap-outs. GRANT: RAM is
 * on its way, so a guest that can wait a little need not swap out as much. The page is written
 * whatever the answer is.
 */
#define SYM_SWAP_ASK_OUT       (1u << 31)
#define SYM_SWAP_DECIDE_SHARED (1u << 0) /* more than one mapping: MAP is impossible */
#define SYM_SWAP_DECIDE_CANMAP (1u << 1) /* asked before the fault is handled: MAP is possible */
#define SYM_SWAP_DECIDE_OUT    (1u << 2) /* a swap-out, if header.verdicts has SYM_SWAP_ASK_OUT */

#define SYM_VERDICT_COPY  0u /* an ordinary swap-in */
#define SYM_VERDICT_GRANT 1u /* the same; the VMM gave RAM, so nothing is evicted for it */
#define SYM_VERDICT_MAP	  2u /* map the slot itself */
#define SYM_VERDICT(kind, credit, around) \
	((sym_u64)(kind) | (sym_u64)(credit) << 8 | (sym_u64)(around) << 32)
#define SYM_VERDICT_KIND(verdict)   ((sym_u32)((verdict)&0xffu))
#define SYM_VERDICT_CREDIT(verdict) ((sym_u32)(((verdict) >> 8) & 0xffffffu))
#define SYM_VERDICT_AROUND(verdict) ((sym_u32)(((verdict) >> 32) & 0xffffu))

/* Message of SYM_CALL_SWAP_QUERY: of the task that swaps in. Sizes in bytes. */
struct sym_swap_query {
	sym_u32 pid;
	sym_u32 tgid;
	sym_u32 uid;
	sym_u32 weight;	   /* of its cgroup as the guest's owner set it; 100: none set */
	sym_u32 flags;	   /* SYM_SWAP_QUERY_* */
	sym_u32 psi_some;  /* guest's memory pressure "some avg10", hundredths of a percent */
	sym_u64 address;   /* user address, 0 if not known */
	sym_u64 vma_start; /* its mapping, 0 if not known */
	sym_u64 vma_end;
	sym_u64 vma_flags;   /* the guest kernel's VM_* */
	sym_u64 memcg_limit; /* the nearest among its cgroup and the ancestors; ~0: none */
	sym_u64 memcg_usage; /* of the cgroup that has it */
	sym_u64 mem_total;
	sym_u64 mem_free;
	sym_u64 mem_available;
	sym_u64 high_watermark; /* sum over zones: kswapd sleeps above it */
	sym_u64 swap_used;
	sym_u64 swap_in; /* pages since boot */
	sym_u64 swap_out;
	sym_u64 refault_anon; /* workingset refaults of anonymous pages since boot */
	sym_u8 comm[16];      /* NUL terminated */
	sym_u8 cgroup[96];    /* tail of the cgroup's path, NUL terminated */
};
#define SYM_SWAP_QUERY_MEMCG  (1u << 0) /* memcg_limit is near: usage has almost reached it */
#define SYM_SWAP_QUERY_KERNEL (1u << 1) /* not the task's own fault: GUP, swapoff, a thread */

SYM_STATIC_ASSERT(sizeof(struct sym_spy_vm_host) == 512, "ABI size");
SYM_STATIC_ASSERT(sizeof(struct sym_spy_vm_guest) == 512, "ABI size");
SYM_STATIC_ASSERT(sizeof(struct sym_spy_vm) == SYM_PAGE_SIZE, "ABI size");
SYM_STATIC_ASSERT(sizeof(struct sym_context) == 64, "ABI size");
SYM_STATIC_ASSERT(sizeof(struct sym_doorbell) == 128, "ABI size");
SYM_STATIC_ASSERT(sizeof(struct sym_spy_vcpu_host) == 192, "ABI size");
SYM_STATIC_ASSERT(sizeof(struct sym_spy_vcpu_guest) == 128, "ABI size");
SYM_STATIC_ASSERT(sizeof(struct sym_spy_vcpu) == SYM_PAGE_SIZE, "ABI size");
SYM_STATIC_ASSERT(sizeof(struct sym_whoami) == 160, "ABI size");
SYM_STATIC_ASSERT(sizeof(struct sym_meminfo) == 64, "ABI size");
SYM_STATIC_ASSERT(sizeof(struct sym_dmesg) == 16, "ABI size");
SYM_STATIC_ASSERT(sizeof(struct sym_task) == 128, "ABI size");
SYM_STATIC_ASSERT(sizeof(struct sym_swap_header) == SYM_PAGE_SIZE, "ABI size");
SYM_STATIC_ASSERT(sizeof(struct sym_swap_query) == 248, "ABI size");

#endif
