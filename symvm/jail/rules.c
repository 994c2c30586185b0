// SPDX-License-Identifier: BSD-2-Clause
/*
 * The system calls that each kind of thread may make, and why. A call that is
 * not here is refused. Before adding one: can the descriptor, the thread or the memory be made
 * before the jail closes instead?
 */
#include "jail/rules.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/kvm.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "jail/jail.h"

#define VCPU   (1u << JAIL_THREAD_VCPU)
#define IO     (1u << JAIL_THREAD_IO)
#define MAIN   (1u << JAIL_THREAD_MAIN)
#define WORKER (1u << JAIL_THREAD_WORKER)
#define SWAP   (1u << JAIL_THREAD_SWAP)
#define ALL    (VCPU | IO | MAIN | WORKER | SWAP)

#define CALL(name, threads)                 \
	{                                   \
		SCMP_SYS(name), threads, 0, \
		{                           \
			0                   \
		}                           \
	}
/* Only where argument @index, masked, has the value. */
#define CALL_IF(name, threads, index, mask, value)             \
	{                                                      \
		SCMP_SYS(name), threads, 1,                    \
		{                                              \
			index, SCMP_CMP_MASKED_EQ, mask, value \
		}                                              \
	}

/* The type byte of an ioctl request, _IOC_TYPE(). */
#define IOCTL_TYPE_MASK		0xff00u
#define IOCTL_MASK		0xffffffffu /* the kernel looks at no more of it */
#define IOCTL_TYPE(type)	((scmp_datum_t)(type) << 8)
#define IOCTL(request, threads) CALL_IF(ioctl, threads, 1, IOCTL_MASK, request)
#define VHOST_TYPE		0xaf

const struct jail_rule jail_rules[] = {
	/* --- every thread: memory, locks, its own end --- */
	CALL(futex, ALL), /* mutexes and condition variables */
	CALL(brk, ALL),	  /* malloc() */
	/* malloc(), buffers; nothing that can be executed. */
	CALL_IF(mmap, ALL, 2, PROT_EXEC, 0),
	CALL_IF(mprotect, ALL, 2, PROT_EXEC, 0), /* malloc() grows the heap of a thread */
	CALL(munmap, ALL),
	CALL(mremap, ALL),	      /* realloc() of something big */
	CALL(madvise, ALL),	      /* free(); a thread's stack at its end; discarded RAM */
	CALL(sched_getaffinity, ALL), /* malloc() asks for the number of CPUs, once */
	CALL(sched_yield, ALL),	      /* short waits */
	CALL(clock_gettime, ALL),     /* where the vDSO can't say (TSC unstable) */
	CALL(clock_nanosleep, ALL),   /* bounded waits */
	CALL(gettid, ALL),	      /* abort(), and to address signals */
	CALL(getpid, ALL),	      /* the same */
	CALL(tgkill, ALL),	      /* abort() */
	CALL(rt_tgsigqueueinfo, ALL), /* kicks a vCPU's thread */
	CALL(getuid, ALL),	      /* the same: pthread_sigqueue() */
	CALL(rt_sigprocmask, ALL),    /* around a thread's end; abort() */
	CALL(rt_sigreturn, ALL),      /* out of a signal's handler */
	CALL(restart_syscall, ALL),   /* the kernel's own, after a stop and go on */
	CALL(exit, ALL),	      /* a thread ends */
	CALL(exit_group, ALL),	      /* the process ends */
	CALL(getrandom, ALL),	      /* malloc()'s and jansson's seeds; entropy for virtio-rng */
	CALL(rseq, ALL),	      /* glibc unregisters at a thread's end */

	/* --- every thread: descriptors that are open already --- */
	CALL(read, ALL),
	CALL(write, ALL),  /* eventfds, log lines, consoles */
	CALL(close, ALL),  /* devices that are reset or torn down */
	CALL(writev, ALL), /* console output straight from guest buffers */
	CALL(readv, ALL),
	CALL(pread64, ALL), /* disks, where io_uring is not to be had */
	CALL(pwrite64, ALL),
	CALL(preadv, ALL),
	CALL(pwritev, ALL),
	CALL(fdatasync, ALL), /* flush */
	CALL(fsync, ALL),
	CALL(fallocate, ALL),	   /* discard, write zeroes; holes in slot stores */
	CALL(io_uring_enter, ALL), /* disks; the ring is made before the jail closes */
	CALL(epoll_ctl, ALL),	   /* any thread may change what a loop watches */
	CALL(eventfd2, ALL),	   /* per queue, when the guest's driver sets it up */
	CALL(ppoll, ALL),	   /* bounded waits for a descriptor */
	CALL(poll, ALL),

	CALL(timerfd_settime, VCPU | IO | MAIN), /* a guest programs a timer, or resets it */

	/* --- KVM: running, and what a symbiotic call saves and loads --- */
	IOCTL(KVM_RUN, VCPU),
	IOCTL(KVM_GET_REGS, VCPU),
	IOCTL(KVM_GET_SREGS, VCPU | MAIN), /* also page walks for the symbiotic interface */
	IOCTL(KVM_GET_MP_STATE, VCPU),
	IOCTL(KVM_GET_VCPU_EVENTS, VCPU),
	IOCTL(KVM_SET_GUEST_DEBUG, VCPU), /* single-step off during a call */
	IOCTL(KVM_KVMCLOCK_CTRL, VCPU),	  /* tells the guest that it was paused */
	/* --- KVM: a guest's reset, done by the main thread on parked vCPUs --- */
	IOCTL(KVM_SET_REGS, VCPU | MAIN),
	IOCTL(KVM_SET_SREGS, VCPU | MAIN),
	IOCTL(KVM_SET_MP_STATE, VCPU | MAIN),
	IOCTL(KVM_SET_VCPU_EVENTS, VCPU | MAIN),
	IOCTL(KVM_SET_FPU, MAIN),
	IOCTL(KVM_SET_XSAVE, MAIN),
	IOCTL(KVM_SET_XCRS, MAIN),
	IOCTL(KVM_SET_DEBUGREGS, MAIN),
	IOCTL(KVM_SET_LAPIC, MAIN),
	IOCTL(KVM_SET_MSRS, MAIN),
	IOCTL(KVM_SET_IRQCHIP, MAIN),
	IOCTL(KVM_SET_PIT2, MAIN),
	/* --- KVM: interrupts and doorbells, set up and moved as the guest's drivers ask --- */
	IOCTL(KVM_IRQ_LINE, ALL),
	IOCTL(KVM_SIGNAL_MSI, ALL),
	IOCTL(KVM_IRQFD, ALL),
	IOCTL(KVM_IOEVENTFD, ALL),
	IOCTL(KVM_SET_GSI_ROUTING, ALL),
	/* --- KVM: dirty logging on and off; windows of guest memory --- */
	IOCTL(KVM_SET_USER_MEMORY_REGION, ALL),
	IOCTL(KVM_GET_DIRTY_LOG, MAIN | WORKER),

	/* --- other ioctls --- */
	/* vhost-net and vhost-vsock: set up when the guest's driver does (a vCPU's access). */
	CALL_IF(ioctl, VCPU | IO | MAIN, 1, IOCTL_TYPE_MASK, IOCTL_TYPE(VHOST_TYPE)),
	/* Each by name: their family has TIOCSTI, which types into the user's shell. */
	IOCTL(TUNSETOFFLOAD, VCPU | IO | MAIN), /* follows the driver */
	IOCTL(TCGETS, IO | MAIN),
	IOCTL(TCSETS, IO | MAIN),    /* the terminal: raw in the foreground, put back at the end */
	IOCTL(TIOCGPGRP, IO | MAIN), /* whether the VM is in the foreground */
	IOCTL(FIONREAD, IO),	     /* libslirp: the next datagram's size */

	/* --- slot stores --- */
	IOCTL(UFFDIO_WAKE, SWAP), /* a page that a vCPU waited for is there */
	CALL(sendto, SWAP),	  /* the NBD server that slots are spilled to */
	CALL(recvfrom, SWAP),

	/* --- vCPU threads --- */
	CALL(timer_settime, VCPU), /* deadline of a symcall */
	CALL(timer_delete, VCPU),  /* at the thread's end */

	/* --- threads that run an event loop --- */
	CALL(epoll_wait, IO | MAIN),
	CALL(epoll_pwait, IO | MAIN),
	CALL(timerfd_create, IO),    /* timers of device back ends */
	CALL(fstat, IO | MAIN),	     /* the size of a disk */
	CALL(newfstatat, IO | MAIN), /* the same, as glibc calls it */
	CALL(lseek, IO | MAIN),	     /* the size of a block device */
	CALL(fcntl, IO | MAIN),	     /* non-blocking descriptors, spare descriptors */
	CALL(accept4, IO | MAIN),    /* control socket; a console on a socket; port forwards */
	CALL(accept, IO),	     /* port forwards (libslirp) */
	CALL(sendto, IO | MAIN),
	CALL(recvfrom, IO | MAIN),
	CALL(sendmsg, IO),
	CALL(recvmsg, IO | MAIN),    /* MAIN: a log file that was opened anew, from util/reopen.c */
	CALL(dup3, MAIN),	     /* it takes the old one's number */
	CALL(getsockopt, IO | MAIN), /* the peer's credentials; libslirp: SO_ERROR */
	CALL(shutdown, IO),	     /* half-closed guest connections */

	/* --- user-mode networking (libslirp): the guest's connections are the host's sockets ---
	 */
	CALL_IF(socket, IO, 0, 0xffffffff, AF_INET),
	CALL_IF(socket, IO, 0, 0xffffffff, AF_INET6),
	CALL(connect, IO),
	CALL(bind, IO),
	CALL(listen, IO),
	CALL(setsockopt, IO),
	CALL(getsockname, IO),
	CALL(getpeername, IO),
	/* Reading /etc/resolv.conf for the guest's DNS; landlock allows this file alone. */
	CALL_IF(openat, IO, 2, O_ACCMODE | O_CREAT | O_TRUNC, O_RDONLY),

	/* --- the main thread: lifecycle and tear-down --- */
	CALL(unlinkat, MAIN), /* its socket and lock file; landlock allows no other place */
	CALL(wait4, MAIN),    /* the terminal's guard, at the end */
	CALL(signalfd4, MAIN),
	CALL(rt_sigtimedwait, MAIN | VCPU), /* a kick that is still pending */
	CALL(rt_sigpending, VCPU),
	CALL(ftruncate, MAIN), /* a spill file, emptied at the end */
	CALL(set_robust_list, MAIN),
};
const size_t jail_rule_count = sizeof(jail_rules) / sizeof(jail_rules[0]);
