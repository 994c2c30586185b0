// SPDX-License-Identifier: BSD-2-Clause
/* Attempts of test_jail.c: interfaces of the kernel other than files and sockets. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/kvm.h>
#include <linux/seccomp.h>
#include <linux/vhost.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "escape.h"

/* --- the kernel --- */
static int make_vm(void)
{
	return worked(ioctl(scene.file_fd, KVM_CREATE_VM, 0)) || errno != EPERM;
}

static int move_memory_slot(void)
{
	return worked(ioctl(scene.file_fd, KVM_SET_USER_MEMORY_REGION, NULL)) || errno != EPERM;
}

static int send_message_interrupt(void)
{
	return worked(ioctl(scene.file_fd, KVM_SIGNAL_MSI, NULL)) || errno != EPERM;
}

static int use_vhost(void)
{
	return worked(ioctl(scene.file_fd, VHOST_SET_OWNER, NULL)) || errno != EPERM;
}

static int type_into_terminal(void)
{
	return worked(ioctl(scene.file_fd, TIOCSTI, "x")) || errno != EPERM;
}

static int list_interfaces(void)
{
	return worked(ioctl(scene.udp_fd, SIOCGIFCONF, NULL)) || errno != EPERM;
}

static int make_io_uring(void)
{
	char parameters[120] = "";

	return worked(syscall(SYS_io_uring_setup, 1, parameters));
}

static int register_with_io_uring(void)
{
	return worked(syscall(SYS_io_uring_register, scene.file_fd, 0, NULL, 0)) || errno != EPERM;
}

static int make_memory_file(void)
{
	return worked(syscall(SYS_memfd_create, "x", 0));
}

static int catch_faults(void)
{
	return worked(syscall(SYS_userfaultfd, 0));
}

static int load_bpf(void)
{
	return worked(syscall(SYS_bpf, 0, NULL, 0)) || errno != EPERM;
}

static int count_events(void)
{
	return worked(syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0)) || errno != EPERM;
}

static int mount_something(void)
{
	return worked(mount("x", "/proc", "tmpfs", 0, NULL));
}

static int make_user_namespace(void)
{
	return worked(unshare(CLONE_NEWUSER));
}

static int change_root(void)
{
	return worked(chroot("/"));
}

static int become_root(void)
{
	return worked(syscall(SYS_setresuid, 0, 0, 0));
}

static int take_capability(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {{.effective = 1, .permitted = 1}};

	return worked(syscall(SYS_capset, &header, data));
}

static int become_dumpable(void)
{
	return worked(prctl(PR_SET_DUMPABLE, 1));
}

static int raise_limit(void)
{
	struct rlimit limit = {0};

	return worked(setrlimit(RLIMIT_CORE, &limit));
}

static int limit_victim(void)
{
	return worked(prlimit(scene.victim, RLIMIT_CORE, NULL, &(struct rlimit){0}));
}

static int join_session_keyring(void)
{
	return worked(syscall(SYS_keyctl, 1, NULL)) || errno != EPERM;
}

static int make_shared_memory(void)
{
	return worked(syscall(SYS_shmget, 0, 4096, 0600));
}

static int change_personality(void)
{
	return worked(syscall(SYS_personality, 0xffffffff));
}

static int call_as_x32(void)
{
	return worked(syscall(SYS_getpid | 0x40000000)) || errno != EPERM;
}

static int call_as_i386(void)
{
	long result;

	/* getpid of the 32-bit table. */
	__asm__ volatile("int $0x80"
			 : "=a"(result)
			 : "a"(20L)
			 : "r8", "r9", "r10", "r11", "memory");
	return result > 0;
}

static int load_module(void)
{
	return worked(syscall(SYS_init_module, NULL, 0, "")) || errno != EPERM;
}

static int set_clock(void)
{
	return worked(syscall(SYS_clock_settime, 99, NULL)) || errno != EPERM;
}

const struct escape escapes_kernel[] = {
	{"make a VM", make_vm, false, 0},
	{"change guest memory", move_memory_slot, false, 0},
	{"send an MSI", send_message_interrupt, false, 0},
	{"use vhost", use_vhost, false, 0},
	{"type into the terminal", type_into_terminal, false, 0},
	{"list interfaces", list_interfaces, false, 0},
	{"make an io_uring", make_io_uring, false, 0},
	{"register with an io_uring", register_with_io_uring, false, 0},
	{"make a memory file", make_memory_file, true, 0},
	{"catch page faults", catch_faults, false, 0},
	{"load BPF", load_bpf, false, 0},
	{"count events", count_events, false, 0},
	{"mount", mount_something, false, 0},
	{"make a user namespace", make_user_namespace, true, 0},
	{"change the root", change_root, true, 0},
	{"become root", become_root, true, 0},
	{"take a capability", take_capability, true, 0},
	{"become dumpable", become_dumpable, true, 0},
	{"set a limit", raise_limit, true, 0},
	{"set a limit of another process", limit_victim, true, 0},
	{"join a keyring", join_session_keyring, false, 0},
	{"make shared memory", make_shared_memory, false, 0},
	{"change the personality", change_personality, true, 0},
	{"call by the x32 table", call_as_x32, false, 0},
	{"call by the 32-bit table", call_as_i386, false, 0},
	{"load a module", load_module, false, 0},
	{"set the clock", set_clock, false, 0},
};
const size_t escapes_kernel_count = sizeof(escapes_kernel) / sizeof(escapes_kernel[0]);
