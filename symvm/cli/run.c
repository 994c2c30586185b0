// SPDX-License-Identifier: BSD-2-Clause
/*
 * `symvm run`: creates a VM, boots it and stays until it ends.
 *
 * The order matters. Options and name are checked first, and vm_create() checks kernel and memory
 * before it opens KVM. All files are open before the jail closes, and the jail closes before the
 * first guest instruction.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/run_options.h"
#include "control/control.h"
#include "control/panic.h"
#include "control/state_watch.h"
#include "jail/jail.h"
#include "util/descriptor.h"
#include "util/reopen.h"

#define THREAD_STACK_SIZE (1u << 20)
#define END_LIMIT_MS	  4000u /* until the process ends, whatever still runs */
#define LAST_WORDS_MS	  200u	/* for the log's file to take the watchdog's last line */

struct run {
	struct run_options options;
	struct state_name name;
	struct log log;
	struct reopen *reopen;
	int log_fd;
	bool start_paused;
	sigset_t signals;
	int signal_fd;
	struct watchdog *watchdog;
	unsigned signal_count; /* the watchdog's thread only */
	_Atomic bool looping;  /* the main loop runs, or is about to */
	int grace_fd;
	struct event_source *grace_source;
	struct vm *vm;
	struct control_server *control;
	struct state_watch *watch;
	struct panic_action *panic;
	struct jail *jail;
};

static int open_log(struct run *run, struct error *err)
{
	const char *path = run->options.log_file;
	bool own;

	if (path) {
		run->log_fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
		if (run->log_fd < 0)
			return error_set_errno(err, -errno, "--log-file: cannot open '%s'", path);
	} else {
		/* A terminal or pipe without a reader must not delay the VM. */
		run->log_fd = descriptor_reopen(STDERR_FILENO, O_WRONLY, &own);
		if (run->log_fd < 0)
			run->log_fd = STDERR_FILENO;
	}
	log_init(&run->log, run->log_fd, run->options.log_level);
	log_set_name(&run->log, run->options.config.name);
	if (log_file_open(&run->log) < 0)
		return error_set(err, -ENOMEM, "out of memory");
	run->reopen = run->log.reopen = reopen_create();
	if (!run->reopen)
		return error_set(err, -ENOMEM, "out of memory");
	if (path)
		reopen_add(run->reopen, run->log_fd, path);
	return 0;
}

/* The run of this thread, while a signal ends it at once; NULL: none. */
static _Thread_local struct run *starting;

/* The guest has not run yet, and this is the only thread. */
static void start_cancelled(int number)
{
	if (!starting)
		return;
	state_name_release(&starting->name);
	_exit(VM_END_STOPPED);
}

/*
 * The signals that end a VM, except those that our parent told us to ignore (nohup, a shell's
 * background job).
 */
static void stop_signals(sigset_t *signals)
{
	static const int numbers[] = {SIGTERM, SIGINT, SIGHUP};
	struct sigaction current;

	sigemptyset(signals);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		if (sigaction(numbers[i], NULL, &current) == 0 && current.sa_handler != SIG_IGN)
			sigaddset(signals, numbers[i]);
}

/* While the VM is created, which may wait for a server or a slow file system. */
static void begin_start(struct run *run)
{
	struct sigaction ignore = {.sa_handler = SIG_IGN};
	struct sigaction cancel = {.sa_handler = start_cancelled};

	stop_signals(&run->signals);
	sigaction(SIGPIPE, &ignore, NULL);
	starting = run;
	for (int number = 1; number < SIGRTMIN; number++)
		if (sigismember(&run->signals, number) == 1)
			sigaction(number, &cancel, NULL);
}

/* Before any other thread: they all inherit the mask, and only the watchdog takes the signals. */
static int end_start(struct run *run, struct error *err)
{
	int status = -pthread_sigmask(SIG_BLOCK, &run->signals, NULL);

	starting = NULL;
	if (status == 0) {
		run->signal_fd = signalfd(-1, &run->signals, SFD_CLOEXEC | SFD_NONBLOCK);
		if (run->signal_fd < 0)
			status = -errno;
	}
	return status < 0 ? error_set_errno(err, status, "cannot take signals") : 0;
}

/*
 * For every thread that asks for no other size. It is much less than the usual 8 MiB, in which the
 * host would use a whole huge page for the first byte. It is much more than any thread needs.
 */
static int limit_stacks(struct error *err)
{
	pthread_attr_t attributes;
	int status = -pthread_attr_init(&attributes);

	if (status == 0) {
		status = -pthread_attr_setstacksize(&attributes, THREAD_STACK_SIZE);
		if (status == 0)
			status = -pthread_setattr_default_np(&attributes);
		pthread_attr_destroy(&attributes);
	}
	return status < 0 ? error_set_errno(err, status, "cannot set the threads' stack size") : 0;
}

/* The guest did not power off in time. */
static void grace_over(void *opaque, uint32_t events)
{
	struct run *run = opaque;
	uint64_t count;

	if (read(run->grace_fd, &count, sizeof(count)) < 0)
		return;
	log_warn(&run->log, "the guest did not power off within %u s: ending it",
		 run->options.grace_s);
	vm_end(run->vm, VM_END_STOPPED);
}

/* The first signal, on the main loop: the power button, and after a while the plug. */
static void begin_stop(void *opaque)
{
	struct run *run = opaque;
	const struct itimerspec grace = {.it_value.tv_sec = run->options.grace_s};

	if (run->options.grace_s > 0 && vm_power_off(run->vm, run->options.grace_s) == 0 &&
	    timerfd_settime(run->grace_fd, 0, &grace, NULL) == 0)
		return;
	vm_end(run->vm, VM_END_STOPPED);
}

static void pull_plug(void *opaque)
{
	struct run *run = opaque;

	vm_end(run->vm, VM_END_STOPPED);
}

/* On the watchdog's thread, which receives signals even if another thread is stuck. */
static void signal_arrived(void *opaque, unsigned number)
{
	struct run *run = opaque;
	bool first = run->signal_count++ == 0 && atomic_load(&run->looping);

	if (first)
		log_info(&run->log, "signal %u: asking the guest to power off", number);
	else
		log_info(&run->log, "signal %u: ending the VM", number);
	watchdog_arm(run->watchdog, (first ? run->options.grace_s * 1000ull : 0) + END_LIMIT_MS);
	if (atomic_load(&run->looping))
		event_loop_post(run->vm->main_loop, first ? begin_stop : pull_plug, run);
}

/*
 * The watchdog's last words, on its thread: a step does not end. Removes the state files, which the
 * next VM of this name would find. The guard of the terminal restores its mode after this process
 * has ended.
 */
static void end_overdue(void *opaque, const char *phase)
{
	struct run *run = opaque;
	int end = atomic_load(&run->vm->end);

	state_name_release(&run->name);
	log_error(&run->log, "%s did not end in time; ending without it",
		  phase ? phase : "the main loop");
	log_file_flush(&run->log, LAST_WORDS_MS);
	_exit(end == VM_END_NONE ? VM_END_STOPPED : end);
}

static int watchdog_enter_jail(void *opaque)
{
	struct run *run = opaque;
	struct error err;
	/* It does work that would otherwise be the main thread's. */
	int status = jail_enter_thread(run->jail, JAIL_THREAD_MAIN, &err);

	if (status < 0)
		log_error(&run->log, "watchdog: %s", err.text);
	return status;
}

static int watchdog_start(struct run *run, struct error *err)
{
	struct watchdog_config config = {
		.expired = end_overdue,
		.signalled = signal_arrived,
		.opaque = run,
	};
	int status = end_start(run, err);

	if (status < 0)
		return status;
	config.signal_fd = run->signal_fd;
	status = watchdog_create(&config, &run->watchdog);
	if (status == 0) {
		run->vm->watchdog = run->watchdog;
		status = watchdog_call(run->watchdog, watchdog_enter_jail, run);
	}
	return status < 0 ? error_set_errno(err, status, "cannot start the watchdog") : 0;
}

static int log_enter_jail(void *opaque, struct error *err)
{
	struct run *run = opaque;

	/* The same jail as the threads of disks: they make calls on an open file. */
	return jail_enter_thread(run->jail, JAIL_THREAD_SWAP, err);
}

static int create_devices(struct run *run, struct error *err)
{
	for (size_t i = 0; i < run->options.device_count; i++) {
		const struct run_device *device = &run->options.devices[i];
		int status = device->class->create(run->vm, device->argument, err);

		if (status < 0)
			return status;
	}
	return 0;
}

static int create_vm(struct run *run, struct error *err)
{
	struct vm_config *config = &run->options.config;
	int status;

	/* The vCPUs stay parked until this thread is in its jail, too. */
	run->start_paused = config->start_paused;
	config->start_paused = true;
	status = vm_create(config, &run->log, &run->vm, err);
	if (status < 0)
		return status;
	run->grace_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (run->grace_fd >= 0)
		run->grace_source = event_loop_add(run->vm->main_loop, run->grace_fd, EPOLLIN,
						   grace_over, run);
	if (!run->grace_source)
		return error_set(err, -ENOMEM, "cannot take signals: out of memory");
	return create_devices(run, err);
}

static uint64_t memory_most(const struct memory_config *memory)
{
	return memory->max > memory->size ? memory->max : memory->size;
}

/* For the whole process, before any other thread runs; each thread enters by itself. */
static int close_jail(struct run *run, struct error *err)
{
	struct jail_needs needs = run->vm->jail_needs;
	const struct memory_config *memory = &run->vm->config.memory;

	/* A control group's memory does not include huge pages. */
	if (!memory->huge_pages)
		needs.memory += memory_most(memory);
	/* The state directory may be a tmpfs: a dump there is memory of this process, too. */
	if (run->vm->config.on_panic == VM_ON_PANIC_DUMP && !run->options.dump_file)
		needs.memory += memory_most(memory);
	return jail_enter_process(run->jail, &needs, err);
}

static int start_vm(struct run *run, struct error *err)
{
	int status;

	status = control_server_create(run->vm, &run->name, &run->control, err);
	if (status < 0)
		return status;
	status = reopen_start(run->reopen, run->vm->main_loop, &run->log, err);
	if (status < 0)
		return status;
	run->vm->jail = run->jail;
	status = state_watch_create(run->vm->main_loop, &run->name, &run->log, &run->watch, err);
	if (status < 0)
		return status;
	status = panic_action_create(run->vm, &run->name, run->options.dump_file, &run->panic, err);
	if (status < 0)
		return status;
	status = close_jail(run, err);
	if (status < 0)
		return status;
	status = watchdog_start(run, err);
	if (status < 0)
		return status;
	/* Its threads start while this one loads the kernel. */
	status = control_server_start(run->control, err);
	if (status < 0)
		return status;
	status = log_file_start(&run->log, log_enter_jail, run, err);
	if (status < 0)
		return status;
	status = vm_start(run->vm, err);
	if (status < 0)
		return status;
	status = control_server_wait_ready(run->control, err);
	if (status < 0)
		return status;
	status = jail_enter_thread(run->jail, JAIL_THREAD_MAIN, err);
	if (status < 0)
		return status;
	if (run->start_paused)
		return 0;
	status = vm_resume(run->vm);
	return status < 0 && status != -ESHUTDOWN
		       ? error_set_errno(err, status, "cannot start the guest")
		       : 0;
}

static int run_vm(struct run *run, struct error *err)
{
	int status = create_vm(run, err);

	if (status == 0)
		status = start_vm(run, err);
	if (status < 0)
		return status;
	atomic_store(&run->looping, true);
	event_loop_run(run->vm->main_loop);
	return 0;
}

static int tear_down(struct run *run)
{
	int end = VM_END_FAILURE;

	watchdog_phase(run->watchdog, "a control command");
	if (run->control)
		control_server_destroy(run->control);
	state_watch_destroy(run->watch);
	reopen_destroy(run->reopen);
	if (run->vm) {
		end = atomic_load(&run->vm->end);
		event_source_remove(run->grace_source);
		vm_destroy(run->vm);
	}
	panic_action_destroy(run->panic);
	watchdog_destroy(run->watchdog);
	if (run->grace_fd >= 0)
		close(run->grace_fd);
	jail_destroy(run->jail);
	if (run->name.lock_fd >= 0)
		state_name_release(&run->name);
	if (run->signal_fd >= 0)
		close(run->signal_fd);
	if (log_file_close(&run->log) && run->log_fd > STDERR_FILENO)
		close(run->log_fd);
	return end < 0 ? VM_END_FAILURE : end;
}

static int open_jail(struct run *run, struct error *err)
{
	const struct jail_config config = {
		.mode = run->options.jail, .user = run->options.user, .log = &run->log};
	int status = state_name_guard(&run->name, err);

	return status < 0 ? status : jail_create(&config, &run->jail, err);
}

static int run_run(int argc, char **argv)
{
	struct run run = {.name.lock_fd = -1, .signal_fd = -1, .grace_fd = -1, .log_fd = -1};
	struct error err = {0};
	int status, end;

	status = run_options_parse(argc, argv, &run.options, &err);
	if (status == 0)
		status = state_name_check(run.options.config.name, &err);
	if (status != 0) {
		run_options_free(&run.options);
		if (status > 0) /* help */
			return VM_END_POWEROFF;
		command_error("%s", err.text);
		return VM_END_USAGE;
	}
	status = open_log(&run, &err);
	if (status == 0)
		status = state_name_claim(&run.name, run.options.config.name, &err);
	if (status == 0)
		status = open_jail(&run, &err);
	if (status == 0)
		begin_start(&run);
	if (status == 0)
		status = limit_stacks(&err);
	if (status == 0)
		status = run_vm(&run, &err);
	/* Also in the log, if that is a file: the terminal may be unattended. */
	if (status < 0 && run.options.log_file && run.log_fd >= 0)
		log_error(&run.log, "%s", err.text);
	end = tear_down(&run);
	run_options_free(&run.options);
	if (status == 0)
		return end;
	command_error("%s", err.text);
	return VM_END_FAILURE;
}

static const struct command run_command = {
	.name = "run",
	.summary = "Boot a kernel in a new virtual machine and stay until it ends",
	.run_unparsed = run_run,
};
COMMAND(run_command);
