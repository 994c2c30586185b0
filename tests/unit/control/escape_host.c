// SPDX-License-Identifier: BSD-2-Clause
/* Attempts of test_jail.c: files, programs, other processes and their signals. */
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

/* --- files --- */
int read_file(void)
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

const struct escape escapes_host[] = {
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
};
const size_t escapes_host_count = sizeof(escapes_host) / sizeof(escapes_host[0]);
