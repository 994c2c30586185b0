// SPDX-License-Identifier: BSD-2-Clause
/*
 * Attempts to break out of the real jail: each in a process of its own, for each kind of thread,
 * for a VMM that root started and for one that a plain user started. Each must be stopped. In
 * freedom those marked so must work: otherwise their failure in the jail would say nothing.
 */
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

#include <cmocka.h>

#include "jail/guard.h"
#include "jail/jail.h"
#include "jail/landlock.h"
#include "jail/user.h"

#define PLAIN_USER 1000u
#define NO_JAIL	   101 /* exit status: a sanitizer's build */
#define NOT_MADE   100 /* exit status: the jail could not be made */

/* What a child has at hand, as a VMM has: files that were opened before the jail closed. */
static struct scene {
	char dir[32]; /* a state directory */
	int dir_fd;   /* open on it */
	int etc_fd;   /* an open directory of the host */
	int file_fd;  /* an open file */
	int tcp_fd;   /* a socket of each kind */
	int udp_fd;
	int unix_fd;
	int true_fd;		     /* a program */
	int life[2];		     /* a pipe that closes with the test */
	pid_t victim;		     /* another process of the same user as the VMM's start */
	uint16_t port;		     /* somebody listens there, on the host's loopback */
	struct sockaddr_un abstract; /* and there */
} scene = {.dir = "/tmp/symvm-test-XXXXXX"};

/* 1 if it worked, 0 if it was refused. */
typedef int (*deed)(void);

static int worked(long result)
{
	return result >= 0;
}

/* --- files --- */
static int read_file(void)
{
	return worked(open("/etc/passwd", O_RDONLY));
}

static int read_file_by_open_directory(void)
{
	return worked(openat(scene.etc_fd, "passwd", O_RDONLY));
}

static int open_path_only(void)
{
	return worked(openat(scene.etc_fd, "passwd", O_PATH));
}

static int write_new_file(void)
{
	return worked(openat(scene.dir_fd, "new", O_WRONLY | O_CREAT, 0600));
}

static int open_by_openat2(void)
{
	struct {
		uint64_t flags, mode, resolve;
	} how = {.flags = O_RDONLY};

	return worked(syscall(437, scene.etc_fd, "passwd", &how, sizeof(how)));
}

static int open_the_old_way(void)
{
	return worked(syscall(SYS_open, "/etc/passwd", O_RDONLY));
}

static int remove_file(void)
{
	return worked(unlinkat(scene.dir_fd, "own.sock", 0));
}

static int rename_file(void)
{
	return worked(renameat(scene.dir_fd, "own.sock", scene.dir_fd, "taken"));
}

static int make_directory(void)
{
	return worked(mkdirat(scene.dir_fd, "new", 0700));
}

static int make_link(void)
{
	return worked(symlinkat("/etc/passwd", scene.dir_fd, "new"));
}

static int change_mode(void)
{
	return worked(fchmod(scene.file_fd, 0777));
}

static int change_owner(void)
{
	return worked(fchown(scene.file_fd, getuid(), getgid()));
}

static int truncate_by_path(void)
{
	char path[64];

	snprintf(path, sizeof(path), "%s/own.sock", scene.dir);
	return worked(truncate(path, 0));
}

static int truncate_to_size(void)
{
	return worked(ftruncate(scene.file_fd, 1 << 20));
}

static int look_at_path(void)
{
	struct stat status;

	return worked(syscall(SYS_newfstatat, AT_FDCWD, "/etc/passwd", &status, 0));
}

static int look_at_path_by_empty_path_flag(void)
{
	struct stat status;

	return worked(syscall(SYS_newfstatat, AT_FDCWD, "/etc/passwd", &status, AT_EMPTY_PATH));
}

static int list_directory(void)
{
	char entries[4096];

	return worked(syscall(SYS_getdents64, scene.dir_fd, entries, sizeof(entries)));
}

static int go_to_directory(void)
{
	return worked(fchdir(scene.etc_fd));
}

static int map_file_to_write(void)
{
	return worked(syscall(SYS_splice, scene.file_fd, NULL, scene.file_fd, NULL, 1, 0)) ||
	       worked(syscall(SYS_copy_file_range, scene.file_fd, NULL, scene.file_fd, NULL, 0, 0));
}

static int watch_files(void)
{
	return worked(syscall(SYS_inotify_init1, 0));
}

static int take_handle(void)
{
	struct {
		unsigned bytes;
		int type;
		char handle[128];
	} handle = {.bytes = 128};
	int mount_id;

	return worked(
		syscall(SYS_name_to_handle_at, scene.dir_fd, "own.sock", &handle, &mount_id, 0));
}

/* --- processes and programs --- */
static int run_program(void)
{
	execl("/bin/true", "true", (char *)NULL);
	return 0;
}

static int run_open_program(void)
{
	char *const none[] = {NULL};

	return worked(syscall(SYS_execveat, scene.true_fd, "", none, none, AT_EMPTY_PATH));
}

static int fork_process(void)
{
	pid_t child = fork();

	if (child == 0)
		_exit(0);
	return worked(child);
}

static int clone_by_clone3(void)
{
	uint64_t arguments[8] = {[4] = SIGCHLD};
	long child = syscall(SYS_clone3, arguments, sizeof(arguments));

	if (child == 0)
		_exit(0);
	return worked(child);
}

static int map_executable(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) !=
	       MAP_FAILED;
}

static int make_memory_executable(void)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return worked(mprotect(page, 4096, PROT_READ | PROT_EXEC));
}

static int trace_process(void)
{
	return worked(ptrace(PTRACE_SEIZE, scene.victim, NULL, NULL));
}

static int read_process_memory(void)
{
	char byte;
	struct iovec own = {&byte, 1}, other = {&scene, 1};

	return worked(process_vm_readv(scene.victim, &own, 1, &other, 1, 0));
}

static int open_process(void)
{
	return worked(syscall(434, scene.victim, 0)); /* pidfd_open */
}

/* --- signals --- */
static int signal_process(void)
{
	return worked(kill(scene.victim, SIGCONT));
}

static int signal_thread(void)
{
	return worked(syscall(SYS_tgkill, scene.victim, scene.victim, SIGCONT));
}

static int signal_thread_old_way(void)
{
	return worked(syscall(SYS_tkill, scene.victim, SIGCONT));
}

static int queue_signal(void)
{
	siginfo_t info = {.si_code = SI_QUEUE};

	return worked(syscall(SYS_rt_sigqueueinfo, scene.victim, SIGCONT, &info));
}

static int queue_signal_to_thread(void)
{
	siginfo_t info = {.si_code = SI_QUEUE};

	return worked(syscall(SYS_rt_tgsigqueueinfo, scene.victim, scene.victim, SIGCONT, &info));
}

static int signal_group(void)
{
	return worked(kill(0, 0));
}

static int own_socket_for_victim(void)
{
	return worked(fcntl(scene.udp_fd, F_SETOWN, scene.victim));
}

static int choose_signal(void)
{
	return worked(fcntl(scene.udp_fd, F_SETSIG, SIGKILL));
}

static int ask_for_signals(void)
{
	return worked(fcntl(scene.udp_fd, F_SETFL, O_ASYNC | O_NONBLOCK));
}

static int lease_file(void)
{
	return worked(fcntl(scene.file_fd, F_SETLEASE, F_WRLCK));
}

static int change_victims_priority(void)
{
	return worked(setpriority(PRIO_PROCESS, (id_t)scene.victim, 5));
}

/* --- sockets --- */
static int open_tcp(void)
{
	return worked(socket(AF_INET, SOCK_STREAM, 0));
}

static int open_udp(void)
{
	return worked(socket(AF_INET6, SOCK_DGRAM, 0));
}

static int open_raw(void)
{
	return worked(socket(AF_INET, SOCK_RAW, IPPROTO_RAW));
}

static int open_packet(void)
{
	return worked(socket(AF_PACKET, SOCK_RAW, 0));
}

static int open_netlink(void)
{
	return worked(socket(AF_NETLINK, SOCK_RAW, 0));
}

static int open_unix(void)
{
	return worked(socket(AF_UNIX, SOCK_STREAM, 0));
}

static int open_vsock(void)
{
	return worked(socket(AF_VSOCK, SOCK_STREAM, 0));
}

static int open_multipath_tcp(void)
{
	return worked(socket(AF_INET, SOCK_STREAM, 262 /* IPPROTO_MPTCP */));
}

static int open_socket_pair(void)
{
	int ends[2];

	return worked(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
}

static struct sockaddr_in loopback(uint16_t port)
{
	return (struct sockaddr_in){.sin_family = AF_INET,
				    .sin_port = htons(port),
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int connect_to_host(void)
{
	struct sockaddr_in address = loopback(scene.port);

	return worked(connect(scene.tcp_fd, (struct sockaddr *)&address, sizeof(address)));
}

static int bind_port(void)
{
	struct sockaddr_in address = loopback(0);

	return worked(bind(scene.tcp_fd, (struct sockaddr *)&address, sizeof(address)));
}

static int listen_on_socket(void)
{
	return worked(listen(scene.tcp_fd, 1));
}

static int filter_packets(void)
{
	int value = 1;

	/* IPT_SO_SET_REPLACE and the like are options of this level, from 64 on. */
	return worked(setsockopt(scene.udp_fd, IPPROTO_IP, 64, &value, sizeof(value))) ||
	       errno != EPERM;
}

static int ask_packet_filter(void)
{
	char data[128] = "filter";
	socklen_t length = 84;

	return worked(getsockopt(scene.udp_fd, IPPROTO_IP, 64, data, &length)) || errno != EPERM;
}

static int bind_to_device(void)
{
	return worked(setsockopt(scene.udp_fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3));
}

static int send_descriptor(void)
{
	struct msghdr message = {0};

	return worked(sendmsg(scene.unix_fd, &message, MSG_DONTWAIT)) || errno != EPERM;
}

static int connect_to_abstract_socket(void)
{
	return worked(
		connect(scene.unix_fd, (struct sockaddr *)&scene.abstract, sizeof(scene.abstract)));
}

static int datagram_to_host(void)
{
	struct sockaddr_in address = loopback(scene.port);

	return worked(
		sendto(scene.udp_fd, "x", 1, 0, (struct sockaddr *)&address, sizeof(address)));
}

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

#define VCPU   (1u << JAIL_THREAD_VCPU)
#define IO     (1u << JAIL_THREAD_IO)
#define MAIN   (1u << JAIL_THREAD_MAIN)
#define WORKER (1u << JAIL_THREAD_WORKER)
#define SWAP   (1u << JAIL_THREAD_SWAP)
#define GUARD  (1u << JAIL_THREAD_GUARD)

struct escape {
	const char *name;
	deed act;
	bool free;    /* works outside of the jail, for root on each host */
	unsigned may; /* kinds of threads whose work this is */
};

static const struct escape escapes[] = {
	{"open a file", read_file, true, 0},
	{"open a file by an open directory", read_file_by_open_directory, true, 0},
	{"open a path without reading", open_path_only, true, 0},
	{"make a file", write_new_file, true, 0},
	{"open by openat2", open_by_openat2, true, 0},
	{"open by open", open_the_old_way, true, 0},
	{"remove a file of the state directory", remove_file, true, GUARD},
	{"rename a file", rename_file, true, 0},
	{"make a directory", make_directory, true, 0},
	{"make a link", make_link, true, 0},
	{"change a file's mode", change_mode, true, 0},
	{"change a file's owner", change_owner, true, 0},
	{"truncate by path", truncate_by_path, true, 0},
	{"truncate to a size", truncate_to_size, true, 0},
	{"look at a path", look_at_path, true, GUARD},
	{"look at a path by AT_EMPTY_PATH", look_at_path_by_empty_path_flag, true, GUARD},
	{"list a directory", list_directory, true, 0},
	{"go to a directory", go_to_directory, true, 0},
	{"move data in the kernel", map_file_to_write, false, 0},
	{"watch files", watch_files, true, 0},
	{"take a file handle", take_handle, false, 0},
	{"run a program", run_program, false, 0},
	{"run an open program", run_open_program, false, 0},
	{"fork", fork_process, true, 0},
	{"clone3", clone_by_clone3, true, 0},
	{"map executable memory", map_executable, true, 0},
	{"make memory executable", make_memory_executable, true, 0},
	{"trace a process", trace_process, false, 0},
	{"read a process's memory", read_process_memory, false, 0},
	{"open a process", open_process, true, 0},
	{"signal a process", signal_process, true, 0},
	{"signal a thread of another process", signal_thread, true, 0},
	{"signal a thread by tkill", signal_thread_old_way, true, 0},
	{"queue a signal", queue_signal, true, 0},
	{"queue a signal to a thread of another process", queue_signal_to_thread, true, 0},
	{"signal the process group", signal_group, true, 0},
	{"have a socket's signals sent to another process", own_socket_for_victim, true, 0},
	{"choose the signal of a socket", choose_signal, true, 0},
	{"ask for signals of a socket", ask_for_signals, true, 0},
	{"lease a file", lease_file, true, 0},
	{"change a process's priority", change_victims_priority, true, 0},
	{"open a TCP socket", open_tcp, true, 0},
	{"open a UDP socket", open_udp, false, 0},
	{"open a raw socket", open_raw, true, 0},
	{"open a packet socket", open_packet, false, 0},
	{"open a netlink socket", open_netlink, true, 0},
	{"open a UNIX socket", open_unix, true, 0},
	{"open a vsock socket", open_vsock, false, 0},
	{"open a multipath TCP socket", open_multipath_tcp, false, 0},
	{"open a pair of sockets", open_socket_pair, true, 0},
	{"connect to the host", connect_to_host, true, 0},
	{"bind a port", bind_port, true, 0},
	{"listen", listen_on_socket, true, 0},
	{"change the packet filter", filter_packets, false, 0},
	{"ask the packet filter", ask_packet_filter, false, 0},
	{"bind to a device", bind_to_device, true, 0},
	{"send descriptors", send_descriptor, false, 0},
	{"connect to an abstract socket", connect_to_abstract_socket, true, 0},
	/* The control socket's answers are sent by the same call: the network is empty there. */
	{"send a datagram to the host", datagram_to_host, true, MAIN},
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
#define ESCAPES (sizeof(escapes) / sizeof(escapes[0]))

static const char *const kind_names[] = {"vCPU", "I/O", "main", "worker", "swap", "guard"};

/* --- running a deed --- */
static bool is_root(void)
{
	return geteuid() == 0;
}

static void become_plain(void)
{
	if (is_root() && (setgroups(0, NULL) < 0 || setresgid(PLAIN_USER, PLAIN_USER, PLAIN_USER) ||
			  setresuid(PLAIN_USER, PLAIN_USER, PLAIN_USER)))
		_exit(NOT_MADE);
	/* As a login has it: a change of user takes it away. */
	prctl(PR_SET_DUMPABLE, 1);
}

static pid_t make_victim(void)
{
	pid_t victim = fork();

	if (victim == 0) {
		char byte;

		/* Until the test ends. PR_SET_PDEATHSIG would not do: the jail keeps it back. */
		close(scene.life[1]);
		_exit(read(scene.life[0], &byte, 1) == 0 ? 0 : 1);
	}
	return victim;
}

/* Sockets of this process alone: a deed may change them. */
static void open_sockets(void)
{
	scene.tcp_fd = socket(AF_INET, SOCK_STREAM, 0);
	scene.udp_fd = socket(AF_INET, SOCK_DGRAM, 0);
	scene.unix_fd = socket(AF_UNIX, SOCK_STREAM, 0);
}

static deed guards_deed;

static void act_in_guard(void *opaque, int dir_fd)
{
	scene.dir_fd = dir_fd;
	_exit(guards_deed() ? 1 : 0);
}

static int run_in_guard(deed act)
{
	struct jail_guard guard;
	struct error err;
	int status;

	guards_deed = act;
	if (jail_guard_start(&guard, scene.dir_fd, act_in_guard, NULL, &err) < 0)
		return NOT_MADE;
	close(guard.fd);
	waitpid(guard.pid, &status, 0);
	return WIFSIGNALED(status) ? 0 : WEXITSTATUS(status);
}

static int enter_process(enum jail_mode mode, unsigned features, struct jail **jail)
{
	const struct jail_needs needs = {.features = features, .memory = 1 << 30};
	static struct log log;
	struct jail_config config = {.mode = mode, .log = &log};
	struct error err;

	log_init(&log, STDERR_FILENO, LOG_LEVEL_ERROR);
	if (jail_create(&config, jail, &err) < 0 || jail_enter_process(*jail, &needs, &err) < 0)
		return NOT_MADE;
	return *jail ? 0 : NO_JAIL;
}

static int enter_and_act(enum jail_mode mode, enum jail_thread kind, unsigned features, deed act)
{
	struct jail *jail;
	struct error err;
	int status = enter_process(mode, features, &jail);

	if (status)
		return status;
	if (jail_enter_thread(jail, kind, &err) < 0)
		return NOT_MADE;
	return act();
}

/* Runs @act in a jailed child; returns waitpid()'s status. */
static int in_jail(enum jail_mode mode, enum jail_thread kind, unsigned features, bool plain,
		   deed act)
{
	pid_t child = fork();
	int status;

	assert_true(child >= 0);
	if (child == 0) {
		if (plain)
			become_plain();
		open_sockets();
		_exit(enter_and_act(mode, kind, features, act));
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	if (WIFEXITED(status) && WEXITSTATUS(status) == NO_JAIL)
		skip();
	return status;
}

static void expect_exit(int status, int code)
{
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), code);
}

static void expect_killed(int status)
{
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGSYS);
}

static void touch_own_file(void)
{
	int fd = openat(scene.dir_fd, "own.sock", O_WRONLY | O_CREAT, 0666);

	assert_true(fd >= 0);
	assert_int_equal(fchmod(fd, 0666), 0);
	close(fd);
	unlinkat(scene.dir_fd, "new", 0);
	unlinkat(scene.dir_fd, "new", AT_REMOVEDIR);
	unlinkat(scene.dir_fd, "taken", 0);
}

/* --- the table --- */
struct attempt {
	const struct escape *escape;
	enum jail_thread kind;
	bool plain;
	bool freedom;
	int *outcome; /* waitpid()'s status, in memory that is shared with the jailed process */
};

#define ATTEMPTS_MAX (ESCAPES * (2 * JAIL_THREAD_COUNT + 1))
static struct attempt attempts[ATTEMPTS_MAX];
static size_t attempt_count;

/* A thread of its kind for one attempt: a process of its own, since the jail may kill it. */
static int try_once(struct jail *jail, const struct attempt *attempt)
{
	struct error err;
	pid_t child = fork();
	int status = NOT_MADE << 8;

	if (child == 0) {
		if (attempt->kind == JAIL_THREAD_GUARD)
			_exit(run_in_guard(attempt->escape->act));
		if (jail_enter_thread(jail, attempt->kind, &err) < 0)
			_exit(NOT_MADE);
		_exit(attempt->escape->act());
	}
	waitpid(child, &status, 0);
	return status;
}

/* In a process that is what a VMM is after its start: makes all attempts of one user. A guard
 * starts before the process's jail closes. */
static int try_all(bool plain, bool guard)
{
	struct jail *jail = NULL;
	int status = 0;

	if (plain)
		become_plain();
	open_sockets();
	scene.victim = make_victim();
	if (!guard)
		status = enter_process(JAIL_ON, 0, &jail);
	for (size_t i = 0; i < attempt_count && status == 0; i++)
		if (!attempts[i].freedom && attempts[i].plain == plain &&
		    (attempts[i].kind == JAIL_THREAD_GUARD) == guard)
			*attempts[i].outcome = try_once(jail, &attempts[i]);
	return status;
}

static int try_all_in_child(bool plain, bool guard)
{
	pid_t child;
	int status;

	touch_own_file();
	child = fork();
	if (child == 0)
		_exit(try_all(plain, guard));
	if (waitpid(child, &status, 0) != child || !WIFEXITED(status))
		return -1;
	return WEXITSTATUS(status) == NO_JAIL ? 0 : -WEXITSTATUS(status);
}

static void an_attempt(void **state)
{
	const struct attempt *attempt = *state;
	int status = *attempt->outcome;

	if (status < 0)
		skip(); /* a sanitizer's build */
	if (WIFSIGNALED(status))
		assert_int_equal(WTERMSIG(status), SIGSYS);
	else if (attempt->escape->may & (1u << attempt->kind))
		assert_in_range(WEXITSTATUS(status), 0, 1);
	else
		assert_int_equal(WEXITSTATUS(status), 0);
}

static void an_attempt_in_freedom(void **state)
{
	const struct attempt *attempt = *state;
	pid_t child;
	int status;

	if (!is_root())
		skip();
	touch_own_file();
	child = fork();
	if (child == 0) {
		open_sockets();
		scene.victim = make_victim();
		_exit(attempt->escape->act());
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	expect_exit(status, 1);
}

/* --- what works, and what is in force --- */
static int live_on(void)
{
	/* Memory of all sizes, a descriptor, a lock's system call. */
	for (size_t size = 16; size < (64u << 20); size *= 4) {
		char *memory = malloc(size);

		if (!memory)
			return 1;
		memset(memory, 1, size);
		memory = realloc(memory, size * 2);
		free(memory);
	}
	return write(STDERR_FILENO, "", 0) == 0 ? 0 : 2;
}

static void each_thread_can_work(void **state)
{
	for (unsigned kind = 0; kind < JAIL_THREAD_GUARD; kind++)
		for (unsigned plain = 0; plain < 2; plain++)
			expect_exit(in_jail(JAIL_ON, (enum jail_thread)kind, plain ? 0 : ~0u, plain,
					    live_on),
				    0);
}

static int signal_itself(void)
{
	return syscall(SYS_tgkill, getpid(), gettid(), 0) == 0 ? 0 : 1;
}

static void a_thread_may_signal_its_own_process(void **state)
{
	for (unsigned kind = 0; kind < JAIL_THREAD_GUARD; kind++)
		expect_exit(in_jail(JAIL_ON, (enum jail_thread)kind, 0, false, signal_itself), 0);
}

static bool has_capability(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &header, data) < 0)
		return true;
	for (unsigned i = 0; i < 2; i++)
		if (data[i].effective | data[i].permitted | data[i].inheritable)
			return true;
	for (unsigned long capability = 0; capability <= CAP_LAST_CAP; capability++)
		if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, capability, 0, 0) != 0)
			return true;
	return false;
}

static bool has_bounding_set(void)
{
	for (unsigned long capability = 0; capability <= CAP_LAST_CAP; capability++)
		if (prctl(PR_CAPBSET_READ, capability) != 0)
			return true;
	return false;
}

static int look_at_process(bool root)
{
	const struct jail_state *now;
	struct rlimit core, data;
	struct jail *jail;
	int status = enter_process(JAIL_ON, 0, &jail);

	if (status)
		return status;
	now = jail_state(jail);
	if (has_capability())
		return 1;
	if ((root || now->user_namespace) && (has_bounding_set() || !now->bounding_empty))
		return 2;
	if (root && (getuid() == 0 || geteuid() == 0 || getgroups(0, NULL) != 0))
		return 3;
	if (!root && getuid() != PLAIN_USER)
		return 4;
	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1 || prctl(PR_GET_DUMPABLE) != 0)
		return 5;
	if (getrlimit(RLIMIT_CORE, &core) < 0 || core.rlim_max != 0 ||
	    getrlimit(RLIMIT_DATA, &data) < 0 || data.rlim_max != now->heap_limit)
		return 6;
	if (root && (!now->mount_namespace || access("/etc", F_OK) == 0 || errno != ENOENT))
		return 7;
	if (now->landlock_abi != landlock_abi())
		return 8;
	if (malloc(2ull << 30))
		return 9;
	return 0;
}

static int process_of_root(void)
{
	return look_at_process(true);
}

static int process_of_plain_user(void)
{
	become_plain();
	return look_at_process(false);
}

static int in_child(deed act)
{
	pid_t child = fork();
	int status;

	if (child == 0)
		_exit(act());
	assert_int_equal(waitpid(child, &status, 0), child);
	if (WIFEXITED(status) && WEXITSTATUS(status) == NO_JAIL)
		skip();
	return status;
}

static void no_process_keeps_a_capability_or_a_path(void **state)
{
	if (!is_root())
		skip();
	expect_exit(in_child(process_of_root), 0);
	expect_exit(in_child(process_of_plain_user), 0);
}

/* --- a user network --- */
static int use_network(void)
{
	if (!open_tcp() || socket(AF_INET, SOCK_DGRAM, 0) < 0)
		return 1;
	if (!connect_to_host())
		return 2;
	if (open_raw() || errno != EACCES)
		return 3;
	if (bind_port() || errno != EACCES)
		return 4;
	return 0;
}

static void a_user_network_opens_sockets(void **state)
{
	const unsigned net = JAIL_FEATURE_NET_USER;

	expect_exit(in_jail(JAIL_ON, JAIL_THREAD_IO, net, false, use_network), 0);
	expect_exit(in_jail(JAIL_ON, JAIL_THREAD_IO, net, true, use_network), 0);
	for (unsigned kind = 0; kind < JAIL_THREAD_GUARD; kind++) {
		expect_killed(in_jail(JAIL_ON, (enum jail_thread)kind, net, false, open_unix));
		expect_killed(
			in_jail(JAIL_ON, (enum jail_thread)kind, net, false, open_multipath_tcp));
		expect_killed(in_jail(JAIL_ON, (enum jail_thread)kind, net, false, filter_packets));
		expect_killed(
			in_jail(JAIL_ON, (enum jail_thread)kind, net, false, send_descriptor));
		if (kind != JAIL_THREAD_IO)
			expect_killed(
				in_jail(JAIL_ON, (enum jail_thread)kind, net, false, open_tcp));
	}
}

static void write_resolver(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		_exit(NOT_MADE);
	close(fd);
}

static int reads(const char *expected)
{
	char text[32] = "";
	int fd = open("/etc/resolv.conf", O_RDONLY);

	if (fd < 0 || read(fd, text, sizeof(text) - 1) < 0)
		return 0;
	close(fd);
	return strcmp(text, expected) == 0;
}

/*
 * In a host of its own, whose resolv.conf is a link into /run, as systemd-resolved has it: a
 * process outside of the jail replaces the file.
 */
static int follow_resolver(void)
{
	int to_helper[2], from_helper[2];
	struct jail *jail;
	struct error err;
	char byte = 0;
	int status;

	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("x", "/etc", "tmpfs", 0, NULL) < 0 || mount("x", "/run", "tmpfs", 0, NULL) < 0 ||
	    mkdir("/run/resolve", 0755) < 0 ||
	    symlink("../run/resolve/stub.conf", "/etc/resolv.conf") < 0 || pipe(to_helper) < 0 ||
	    pipe(from_helper) < 0)
		return NOT_MADE;
	write_resolver("/run/resolve/stub.conf", "first");
	write_resolver("/run/secret", "secret");
	if (fork() == 0) {
		if (read(to_helper[0], &byte, 1) == 1) {
			write_resolver("/run/resolve/new", "second");
			rename("/run/resolve/new", "/run/resolve/stub.conf");
			_exit(write(from_helper[1], &byte, 1) == 1 ? 0 : 1);
		}
		_exit(1);
	}
	status = enter_process(JAIL_ON, JAIL_FEATURE_NET_USER, &jail);
	if (status)
		return status;
	if (jail_enter_thread(jail, JAIL_THREAD_IO, &err) < 0)
		return NOT_MADE;
	if (!reads("first"))
		return 1;
	if (write(to_helper[1], &byte, 1) != 1 || read(from_helper[0], &byte, 1) != 1)
		return 2;
	if (!reads("second"))
		return 3;
	return open("/run/secret", O_RDONLY) >= 0 ? 4 : 0;
}

static void a_replaced_resolver_file_is_followed(void **state)
{
	if (!is_root() || landlock_abi() == 0)
		skip();
	expect_exit(in_child(follow_resolver), 0);
}

/* --- hosts that lack something --- */
/* From now on system call @call fails with @error, as on a host without it. */
static void lack(int call, int error)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)call, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {4, code};

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0)
		_exit(NOT_MADE);
}

static int without_landlock(void)
{
	lack(SYS_landlock_create_ruleset, EOPNOTSUPP);
	return enter_and_act(JAIL_ON, JAIL_THREAD_IO, JAIL_FEATURE_NET_USER, read_file) == 0 &&
			       errno == EACCES
		       ? 0
		       : 1;
}

static void without_landlock_nothing_is_opened(void **state)
{
	expect_exit(in_child(without_landlock), 0);
}

static int without_namespaces(void)
{
	lack(SYS_unshare, EPERM);
	return enter_and_act(JAIL_ON, JAIL_THREAD_VCPU, 0, read_file);
}

static int plain_without_namespaces(void)
{
	become_plain();
	return without_namespaces();
}

static void without_namespaces_it_still_holds(void **state)
{
	expect_exit(in_child(without_namespaces), 0);
	expect_exit(in_child(plain_without_namespaces), 0);
}

/* --- whom a VM runs as --- */
static int choose_users(void)
{
	struct jail_user user;
	struct error err;

	unsetenv("SUDO_UID");
	unsetenv("PKEXEC_UID");
	if (jail_user_choose("1234:5678", &user, &err) < 0 || user.uid != 1234 || user.gid != 5678)
		return 1;
	if (jail_user_choose("nobody-of-this-name", &user, &err) != -EINVAL ||
	    jail_user_choose("4294967295", &user, &err) != -EINVAL ||
	    jail_user_choose("1234:no-such-group", &user, &err) != -EINVAL ||
	    jail_user_choose("-1", &user, &err) != -EINVAL)
		return 2;
	if (jail_user_choose("daemon", &user, &err) < 0 || user.uid == 0 || !user.wanted)
		return 3;
	setenv("SUDO_UID", "1234", 1);
	setenv("SUDO_GID", "5678", 1);
	if (jail_user_choose(NULL, &user, &err) < 0 || user.uid == 0)
		return 4;
	setenv("SUDO_UID", "0", 1);
	if (jail_user_choose(NULL, &user, &err) < 0 || user.uid == 0)
		return 5;
	become_plain();
	if (jail_user_choose("1234", &user, &err) != -EPERM ||
	    jail_user_choose(NULL, &user, &err) < 0 || user.change)
		return 6;
	return 0;
}

static void the_user_is_chosen(void **state)
{
	if (!is_root())
		skip();
	expect_exit(in_child(choose_users), 0);
}

/* --- development --- */
static void log_mode_lets_it_through(void **state)
{
	expect_exit(in_jail(JAIL_LOG, JAIL_THREAD_VCPU, 0, false, open_tcp), 1);
}

static void trap_mode_names_the_call(void **state)
{
	int pipe_fds[2], saved = dup(STDERR_FILENO), status;
	char text[256] = "";

	assert_int_equal(pipe(pipe_fds), 0);
	dup2(pipe_fds[1], STDERR_FILENO);
	status = in_jail(JAIL_TRAP, JAIL_THREAD_VCPU, 0, false, open_tcp);
	dup2(saved, STDERR_FILENO);
	close(pipe_fds[1]);
	assert_true(read(pipe_fds[0], text, sizeof(text) - 1) > 0);
	close(pipe_fds[0]);
	close(saved);
	expect_exit(status, 1);
	assert_non_null(strstr(text, "system call 41 (socket)"));
	assert_non_null(strstr(text, "vCPU thread"));
}

static int open_listener(int family, const void *address, socklen_t length)
{
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, address, length) < 0 || listen(fd, 64) < 0)
		return -1;
	return fd;
}

static int setup(void **state)
{
	struct sockaddr_in address = loopback(0);
	socklen_t length = sizeof(address);
	int fd;

	if (pipe(scene.life) < 0 || !mkdtemp(scene.dir) || chmod(scene.dir, 0777) < 0)
		return -1;
	scene.dir_fd = open(scene.dir, O_RDONLY | O_DIRECTORY);
	scene.etc_fd = open("/etc", O_RDONLY | O_DIRECTORY);
	scene.true_fd = open("/bin/true", O_RDONLY);
	scene.file_fd = openat(scene.dir_fd, "file", O_RDWR | O_CREAT, 0666);
	fd = open_listener(AF_INET, &address, sizeof(address));
	if (fd < 0 || getsockname(fd, (struct sockaddr *)&address, &length) < 0)
		return -1;
	scene.port = ntohs(address.sin_port);
	scene.abstract.sun_family = AF_UNIX;
	snprintf(scene.abstract.sun_path + 1, 32, "symvm-test-jail-%d", (int)getpid());
	if (open_listener(AF_UNIX, &scene.abstract, sizeof(scene.abstract)) < 0 ||
	    scene.file_fd < 0)
		return -1;
	for (unsigned plain = is_root() ? 0 : 1; plain < 2; plain++)
		for (unsigned guard = 0; guard < 2; guard++)
			if (try_all_in_child(plain, guard) < 0)
				return -1;
	return 0;
}

static int teardown(void **state)
{
	unlinkat(scene.dir_fd, "file", 0);
	unlinkat(scene.dir_fd, "own.sock", 0);
	unlinkat(scene.dir_fd, "new", 0);
	unlinkat(scene.dir_fd, "new", AT_REMOVEDIR);
	unlinkat(scene.dir_fd, "taken", 0);
	return rmdir(scene.dir);
}

static struct CMUnitTest table[ATTEMPTS_MAX + 32];
static char names[ATTEMPTS_MAX][128];

static void add_attempt(struct attempt attempt, int *outcome)
{
	size_t number = attempt_count++;

	attempts[number] = attempt;
	attempts[number].outcome = outcome + number;
	outcome[number] = -1;
	if (attempt.freedom)
		snprintf(names[number], sizeof(names[0]), "in freedom: %s", attempt.escape->name);
	else
		snprintf(names[number], sizeof(names[0]), "%s thread%s: %s",
			 kind_names[attempt.kind], attempt.plain ? ", plain user" : "",
			 attempt.escape->name);
	table[number] = (struct CMUnitTest){
		.name = names[number],
		.test_func = attempt.freedom ? an_attempt_in_freedom : an_attempt,
		.initial_state = &attempts[number],
	};
}

static void add_escapes(int *outcomes)
{
	for (size_t i = 0; i < ESCAPES; i++) {
		for (unsigned kind = 0; kind < JAIL_THREAD_COUNT; kind++)
			for (unsigned plain = is_root() ? 0 : 1; plain < 2; plain++)
				add_attempt((struct attempt){.escape = &escapes[i],
							     .kind = (enum jail_thread)kind,
							     .plain = plain},
					    outcomes);
		if (escapes[i].free)
			add_attempt((struct attempt){.escape = &escapes[i], .freedom = true},
				    outcomes);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_thread_can_work),
		cmocka_unit_test(a_thread_may_signal_its_own_process),
		cmocka_unit_test(no_process_keeps_a_capability_or_a_path),
		cmocka_unit_test(a_user_network_opens_sockets),
		cmocka_unit_test(a_replaced_resolver_file_is_followed),
		cmocka_unit_test(without_landlock_nothing_is_opened),
		cmocka_unit_test(without_namespaces_it_still_holds),
		cmocka_unit_test(the_user_is_chosen),
		cmocka_unit_test(log_mode_lets_it_through),
		cmocka_unit_test(trap_mode_names_the_call),
	};
	int *outcomes = mmap(NULL, ATTEMPTS_MAX * sizeof(int), PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	size_t count;

	if (outcomes == MAP_FAILED)
		return 1;
	add_escapes(outcomes);
	memcpy(table + attempt_count, tests, sizeof(tests));
	count = attempt_count + sizeof(tests) / sizeof(tests[0]);
	return _cmocka_run_group_tests("jail", table, count, setup, teardown);
}
