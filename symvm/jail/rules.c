// SPDX-License-Identifier: BSD-2-Clause
/*
 * The system calls that each kind of thread may make, and why. A call that is
 * not here is refused. Before adding one: can the descriptor, the thread or the memory be made
 * before the jail closes instead?
 */
#include "jail/rules.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/kvm.h>
#include <linux/userfaultfd.h>
#include <linux/vhost.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "jail/jail.h"

#define VCPU   (1u << JAIL_THREAD_VCPU)
#define IO     (1u << JAIL_THREAD_IO)
#define MAIN   (1u << JAIL_THREAD_MAIN)
#define WORKER (1u << JAIL_THREAD_WORKER)
#define SWAP   (1u << JAIL_THREAD_SWAP)
#define ALL    (VCPU | IO | MAIN | WORKER | SWAP)
#define GUARD  (1u << JAIL_THREAD_GUARD)
#define BROKER (1u << JAIL_THREAD_BROKER)
#define EVERY  (ALL | GUARD | BROKER)

/* Argument @index, masked, has the value. */
#define ARG(index, mask, value)                        \
	{                                              \
		index, SCMP_CMP_MASKED_EQ, mask, value \
	}
/* The kernel looks only at these bits of an argument that is an int. */
#define INT_MASK	  0xffffffffu
#define INT(index, value) ARG(index, INT_MASK, value)

/* A call, only in VMs with one of @needs (0: in each), only with such arguments. */
#define RULE(name, threads, needs, refusal, count, ...)         \
	{                                                       \
		SCMP_SYS(name), threads, needs, refusal, count, \
		{                                               \
			__VA_ARGS__                             \
		}                                               \
	}
#define CALL(name, threads) RULE(name, threads, 0, 0, 0, {0})
#define CALL_IF(name, threads, index, mask, value) \
	RULE(name, threads, 0, 0, 1, ARG(index, mask, value))
#define CALL_WITH(name, threads, needs) RULE(name, threads, needs, 0, 0, {0})
/*
 * A library tries this call and copes with failure: it is refused with @error instead of ending the
 * process.
 */
#define FAILS(name, threads, needs, error) RULE(name, threads, needs, error, 0, {0})

#define IOCTL(request, threads)		    CALL_IF(ioctl, threads, 1, INT_MASK, request)
#define IOCTL_WITH(request, threads, needs) RULE(ioctl, threads, needs, 0, 1, INT(1, request))
#define FCNTL(command, threads)		    CALL_IF(fcntl, threads, 1, INT_MASK, command)

#define SOCKET(family, type, protocol)                                                   \
	RULE(socket, IO, NET_USER, 0, 3, INT(0, family), ARG(1, SOCKET_TYPE_MASK, type), \
	     INT(2, protocol))
#define SOCKET_OPTION(level, option) \
	RULE(setsockopt, IO, NET_USER, 0, 2, INT(1, level), INT(2, option))
#define SOCKET_TYPE_MASK (INT_MASK & ~(unsigned)(SOCK_CLOEXEC | SOCK_NONBLOCK))

#define NET_USER JAIL_FEATURE_NET_USER
#define NET_HOST JAIL_FEATURE_NET_HOST
#define CONSOLE	 JAIL_FEATURE_CONSOLE_SOCKET
#define STORE	 JAIL_FEATURE_SLOT_STORE
#define NBD	 JAIL_FEATURE_NBD

const struct jail_rule jail_rules[] = {
	/* --- every thread: memory, locks, its own end --- */
	CALL(futex, EVERY), /* mutexes and condition variables */
	CALL(brk, EVERY),   /* malloc() */
	/* malloc(), buffers; nothing that can be executed. */
	CALL_IF(mmap, EVERY, 2, PROT_EXEC, 0),
	CALL_IF(mprotect, EVERY, 2, PROT_EXEC, 0), /* malloc() grows the heap of a thread */
	CALL(munmap, EVERY),
	CALL(mremap, EVERY),	      /* realloc() of something big */
	CALL(madvise, EVERY),	      /* free(); a thread's stack at its end; discarded RAM */
	CALL(sched_getaffinity, ALL), /* malloc() asks for the number of CPUs, once */
	CALL(sched_yield, ALL),	      /* short waits */
	CALL(clock_gettime, EVERY),   /* if the vDSO can't tell (TSC unstable) */
	CALL(clock_nanosleep, EVERY), /* bounded waits */
	CALL(gettid, EVERY),	      /* abort(), and to address signals */
	CALL(getpid, EVERY),	      /* the same */
	CALL(getuid, EVERY),	      /* the same: pthread_sigqueue() */
	/* To this process alone: abort(), and the kicks of vCPUs' threads. */
	CALL_IF(tgkill, EVERY, 0, INT_MASK, JAIL_OWN_PID),
	CALL_IF(rt_tgsigqueueinfo, ALL, 0, INT_MASK, JAIL_OWN_PID),
	CALL(rt_sigprocmask, EVERY),  /* around a thread's end; abort() */
	CALL(rt_sigreturn, EVERY),    /* out of a signal's handler */
	CALL(restart_syscall, EVERY), /* the kernel's own, after SIGSTOP and SIGCONT */
	CALL(exit, ALL),	      /* a thread ends */
	CALL(exit_group, EVERY),      /* the process ends */
	CALL(getrandom, EVERY),	      /* malloc()'s and jansson's seeds; entropy for virtio-rng */
	CALL(rseq, EVERY),	      /* glibc unregisters at a thread's end */
	/* Newer C libraries (Debian 13's glibc 2.41, musl) use these for the same purposes. */
	CALL(set_robust_list, EVERY), /* a thread's own list of locks */
	CALL(clock_getres, EVERY),
	CALL(nanosleep, EVERY),
	CALL(getcpu, EVERY),	  /* malloc()'s arenas, if the vDSO can't tell */
	CALL(futex_waitv, EVERY), /* sleeps, as futex does */
	/*
	 * malloc() and stacks get names if GLIBC_TUNABLES asks for it (glibc 2.39); qsort() asks
	 * for the size of memory (before 2.37). Both do without.
	 */
	RULE(prctl, EVERY, 0, EINVAL, 1, INT(0, PR_SET_VMA)),
	FAILS(sysinfo, ALL, 0, ENOSYS),
	/* From Linux 6.7 and 6.10 on, unknown to libseccomp 2.5.4: futex(2) in parts, and mseal(2),
	 * which only takes rights away. */
	{454, EVERY, 0, 0, 0, {{0}}}, /* futex_wake */
	{455, EVERY, 0, 0, 0, {{0}}}, /* futex_wait */
	{456, EVERY, 0, 0, 0, {{0}}}, /* futex_requeue */
	{462, EVERY, 0, 0, 0, {{0}}}, /* mseal */
	/*
	 * glibc's free() opens /proc/sys/vm/overcommit_memory, once, when the heap of a thread
	 * shrinks (check_may_shrink_heap), and copes with a failure.
	 */
	FAILS(openat, ALL, 0, EACCES),

	/* --- every thread: descriptors that are open already --- */
	CALL(read, EVERY),
	CALL(write, ALL),   /* eventfds, log lines, consoles */
	CALL(close, EVERY), /* devices that are reset or torn down */
	CALL(writev, ALL),  /* console output straight from guest buffers */
	CALL(readv, ALL),
	CALL(fallocate,
	     VCPU | IO | MAIN | SWAP), /* discard, write zeroes; holes in stores and RAM */
	CALL(epoll_ctl, ALL),	       /* any thread may change what a loop watches */
	CALL(ppoll, ALL),	       /* bounded waits for a descriptor */
	CALL(poll, ALL),
	/* A guest's driver sets up a queue or a vector, or resets the device. */
	CALL(eventfd2, VCPU | IO | MAIN),
	CALL(timerfd_settime, VCPU | IO | MAIN), /* a guest programs a timer */

	/* --- files: disks, kernels at a reset, slot stores --- */
	/* A control command's thread: a dump reads RAM by its files, and writes a client's file. */
	CALL(pread64, IO | MAIN | SWAP | WORKER),
	CALL(pwrite64, IO | MAIN | SWAP | WORKER),
	CALL_WITH(pread64, VCPU, STORE), /* a page that the guest asks for by a doorbell */
	CALL_WITH(pwrite64, VCPU, STORE),
	CALL(preadv, IO | MAIN | SWAP), /* a disk's threads; files in memory */
	CALL(pwritev, IO | MAIN | SWAP),
	CALL(preadv2, IO | MAIN),
	CALL(pwritev2, IO | MAIN),
	CALL(fdatasync, IO | MAIN | SWAP | WORKER), /* flush */
	CALL(fsync, IO | MAIN | SWAP),
	CALL(io_uring_enter, IO | MAIN), /* disks; the ring is made before the jail closes */

	/* --- KVM: running, and what a symbiotic call saves and loads --- */
	IOCTL(KVM_RUN, VCPU),
	IOCTL(KVM_GET_REGS, VCPU),
	IOCTL(KVM_GET_SREGS, VCPU | MAIN), /* also page walks for the symbiotic interface */
	IOCTL(KVM_GET_MP_STATE, VCPU),
	IOCTL(KVM_GET_VCPU_EVENTS, VCPU),
	IOCTL(KVM_SET_GUEST_DEBUG, VCPU), /* single-step off during a call */
	IOCTL(KVM_NMI, VCPU),		  /* symvm nmi */
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
	IOCTL(KVM_IRQ_LINE, VCPU | IO | MAIN),
	IOCTL(KVM_IRQFD, VCPU | IO | MAIN),
	IOCTL(KVM_IOEVENTFD, VCPU | IO | MAIN | WORKER), /* workers: for `symvm exits` */
	IOCTL(KVM_SET_GSI_ROUTING, VCPU | IO | MAIN),

	/* --- tap and vhost: set up when the guest's driver does, given back at a reset --- */
	IOCTL_WITH(TUNSETOFFLOAD, VCPU | IO | MAIN, NET_HOST),	 /* follows the driver */
	IOCTL_WITH(VHOST_SET_OWNER, VCPU | IO | MAIN, NET_HOST), /* makes the kernel's worker */
	IOCTL_WITH(VHOST_SET_FEATURES, VCPU | IO | MAIN, NET_HOST),
	IOCTL_WITH(VHOST_SET_MEM_TABLE, VCPU | IO | MAIN, NET_HOST),
	IOCTL_WITH(VHOST_SET_VRING_NUM, VCPU | IO | MAIN, NET_HOST),
	IOCTL_WITH(VHOST_SET_VRING_ADDR, VCPU | IO | MAIN, NET_HOST),
	IOCTL_WITH(VHOST_SET_VRING_BASE, VCPU | IO | MAIN, NET_HOST),
	IOCTL_WITH(VHOST_GET_VRING_BASE, VCPU | IO | MAIN, NET_HOST),
	IOCTL_WITH(VHOST_SET_VRING_KICK, VCPU | IO | MAIN, NET_HOST),
	IOCTL_WITH(VHOST_SET_VRING_CALL, VCPU | IO | MAIN, NET_HOST),
	IOCTL_WITH(VHOST_NET_SET_BACKEND, VCPU | IO | MAIN, NET_HOST),
	IOCTL_WITH(VHOST_VSOCK_SET_RUNNING, VCPU | IO | MAIN, NET_HOST),

	/* --- terminals: by name, since their family has TIOCSTI, which types into the shell --- */
	IOCTL(TCGETS, IO | MAIN),    /* stdio asks whether it writes to a terminal */
	IOCTL(TCSETS, IO | MAIN),    /* the terminal: raw in the foreground, restored at the end */
	IOCTL(TIOCGPGRP, IO | MAIN), /* whether the VM is in the foreground */

	/* --- slot stores --- */
	IOCTL(UFFDIO_WAKE, SWAP),     /* a page that a vCPU waited for is there */
	CALL_WITH(sendto, SWAP, NBD), /* the NBD server that slots are spilled to */
	CALL_WITH(recvfrom, SWAP, NBD),
	/* A spill file, emptied at the end; a dump or a report, before it is written. */
	CALL_IF(ftruncate, MAIN | WORKER, 1, ~0ull, 0),

	/* --- vCPU threads --- */
	CALL(timer_settime, VCPU),	    /* deadline of a symcall */
	CALL(timer_delete, VCPU),	    /* at the thread's end */
	CALL(rt_sigtimedwait, MAIN | VCPU), /* a kick that is still pending */
	CALL(rt_sigpending, VCPU),

	/* --- threads that run an event loop --- */
	CALL(epoll_wait, IO | MAIN),
	CALL(epoll_pwait, IO | MAIN),
	CALL(fstat, VCPU | IO | MAIN | SWAP), /* the size of a disk, or of a console's file */
	/* The same, as glibc before 2.39 calls it. A path is looked up in the empty root alone. */
	CALL_IF(newfstatat, VCPU | IO | MAIN | SWAP, 3, INT_MASK, AT_EMPTY_PATH),
	/* The size of a block device; holes of RAM, for a dump. */
	CALL(lseek, IO | MAIN | SWAP | WORKER),
	FCNTL(F_DUPFD_CLOEXEC, IO | MAIN), /* a spare descriptor, for times when none is free */
	FCNTL(F_GETFL, IO | MAIN),
	FCNTL(F_GETFD, IO | MAIN),
	FCNTL(F_SETFD, IO | MAIN),
	FCNTL(F_OFD_SETLK, MAIN), /* a disk's lock, given back at the end */
	/* O_NONBLOCK and the like; O_ASYNC would send signals. */
	RULE(fcntl, IO | MAIN, 0, 0, 2, INT(1, F_SETFL), ARG(2, O_ASYNC, 0)),

	/* --- sockets of this process: of control and consoles --- */
	CALL(accept4, MAIN),
	CALL(sendto, MAIN),
	CALL(recvfrom, MAIN),
	CALL(shutdown, MAIN),
	CALL(recvmsg, MAIN), /* a reopened log file, from util/reopen.c */
	CALL(dup3, MAIN),    /* it takes the old one's number */
	RULE(getsockopt, MAIN, 0, 0, 2, INT(1, SOL_SOCKET), INT(2, SO_PEERCRED)),
	CALL_WITH(accept4, IO, CONSOLE | NET_USER),
	CALL_WITH(sendto, VCPU, CONSOLE), /* output of the guest if the buffer is full */
	CALL_WITH(sendto, IO, CONSOLE | NET_USER),
	CALL_WITH(recvfrom, IO, CONSOLE | NET_USER),
	CALL_WITH(shutdown, IO, CONSOLE | NET_USER), /* half-closed connections */

	/* --- user-mode networking (libslirp): the guest's connections are the host's sockets ---
	 */
	SOCKET(AF_INET, SOCK_STREAM, 0),
	SOCKET(AF_INET, SOCK_DGRAM, 0),
	SOCKET(AF_INET, SOCK_DGRAM, IPPROTO_ICMP), /* ping */
	SOCKET(AF_INET6, SOCK_STREAM, 0),
	SOCKET(AF_INET6, SOCK_DGRAM, 0),
	SOCKET(AF_INET6, SOCK_DGRAM, IPPROTO_ICMPV6),
	/* If the host does not allow ping, libslirp tries a raw socket. */
	RULE(socket, IO, NET_USER, EACCES, 1, ARG(1, SOCKET_TYPE_MASK, SOCK_RAW)),
	/* For the scope of an IPv6 address in resolv.conf libslirp asks for an interface's number:
	 * glibc does so over a UNIX socket, or over one of these. */
	RULE(socket, IO, NET_USER, EACCES, 1, INT(0, AF_UNIX)),
	IOCTL_WITH(SIOCGIFINDEX, IO, NET_USER),
	CALL_WITH(connect, IO, NET_USER),
	/* Forwarded ports are bound before the jail closes; libslirp 4.8 and newer may bind a new
	 * socket to an address that --net never gives. */
	FAILS(bind, IO, NET_USER, EACCES),
	FAILS(listen, IO, NET_USER, EACCES),
	CALL_WITH(accept, IO, NET_USER),  /* forwarded ports */
	CALL_WITH(recvmsg, IO, NET_USER), /* ICMP errors of a datagram */
	CALL_WITH(getsockname, IO, NET_USER),
	CALL_WITH(getpeername, IO, NET_USER),
	RULE(getsockopt, IO, NET_USER, 0, 1, INT(1, SOL_SOCKET)), /* SO_ERROR */
	/* By number: some of them reach the host's packet filter. */
	SOCKET_OPTION(SOL_SOCKET, SO_REUSEADDR),
	SOCKET_OPTION(SOL_SOCKET, SO_OOBINLINE),
	SOCKET_OPTION(SOL_SOCKET, SO_KEEPALIVE),
	SOCKET_OPTION(SOL_SOCKET, SO_LINGER),
	SOCKET_OPTION(SOL_SOCKET, SO_SNDBUF),
	SOCKET_OPTION(SOL_SOCKET, SO_RCVBUF),
	SOCKET_OPTION(IPPROTO_TCP, TCP_NODELAY),
	SOCKET_OPTION(IPPROTO_IP, IP_TOS),
	SOCKET_OPTION(IPPROTO_IP, IP_TTL),
	SOCKET_OPTION(IPPROTO_IP, IP_RECVERR),
	SOCKET_OPTION(IPPROTO_IP, IP_MTU_DISCOVER),
	SOCKET_OPTION(IPPROTO_IPV6, IPV6_UNICAST_HOPS),
	SOCKET_OPTION(IPPROTO_IPV6, IPV6_RECVERR),
	SOCKET_OPTION(IPPROTO_IPV6, IPV6_V6ONLY),
	IOCTL_WITH(FIONREAD, IO, NET_USER), /* the next datagram's size */
	IOCTL_WITH(FIONBIO, IO, NET_USER),
	RULE(newfstatat, IO, NET_USER, 0, 1, INT(3, 0)), /* whether it was replaced */

	/* --- the main thread: lifecycle and tear-down --- */
	CALL(wait4, MAIN), /* the guards, at the end */
	CALL(signalfd4, MAIN),

	/* --- a guard: a process of its own that waits for the VMM's end, and cleans up --- */
	IOCTL(TCGETS, GUARD),
	IOCTL(TCSETS, GUARD), /* the terminal, restored */
	IOCTL(TCSETSW, GUARD),
	CALL(fstat, GUARD),
	CALL(newfstatat, GUARD),   /* is the socket still the VM's own? */
	CALL(unlinkat, GUARD),	   /* landlock allows one directory */
	FCNTL(F_OFD_SETLK, GUARD), /* does the name have a new owner? */
	CALL_IF(openat, GUARD, 2, O_CREAT | O_TRUNC | O_PATH,
		0), /* the lock file; landlock, again */

	/* --- the broker: a process of its own that has no guest, but listens to VMMs that may be
	 * hostile --- */
	CALL(epoll_wait, BROKER),
	CALL(epoll_pwait, BROKER),
	CALL(epoll_ctl, BROKER),
	CALL(accept4, BROKER),
	CALL(recvmsg, BROKER),		      /* lines of VMs, with the sender's process */
	CALL_IF(sendto, BROKER, 4, ~0ull, 0), /* to a connected socket only */
	CALL(shutdown, BROKER),
	CALL(write, BROKER),	/* log lines */
	CALL(pread64, BROKER),	/* accounts of processes, control groups and the host */
	CALL(pwrite64, BROKER), /* memory.high of a VM's control group */
	CALL(fstat, BROKER),	/* malloc() of stdio */
	CALL_IF(newfstatat, BROKER, 3, INT_MASK, AT_EMPTY_PATH),
	/* A VM that joins: /proc/PID, and its control group. Landlock allows no other place. */
	CALL_IF(openat, BROKER, 2, O_CREAT | O_TRUNC | O_PATH, 0),
	CALL(sched_getaffinity, BROKER),
	FAILS(sysinfo, BROKER, 0, ENOSYS),
};
const size_t jail_rule_count = sizeof(jail_rules) / sizeof(jail_rules[0]);
