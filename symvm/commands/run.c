// SPDX-License-Identifier: BSD-2-Clause
/*
 * `symvm run`: makes a VM, boots it and stays until it ends. The order matters: options and name
 * are checked first, vm_create() looks at kernel and memory before it opens KVM; all files are
 * open before the jail closes, and it closes before the first guest instruction.
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
#include <unistd.h>

#include "commands/command.h"
#include "commands/run_options.h"
#include "control/control.h"
#include "control/state_watch.h"
#include "jail/jail.h"
#include "util/descriptor.h"
#include "util/reopen.h"

#define THREAD_STACK_SIZE (1u << 20)

struct run {
	struct run_options options;
	struct state_name name;
	struct log log;
	struct reopen *reopen;
	int log_fd;
	bool start_paused;
	sigset_t signals;
	int signal_fd;
	struct event_source *signal_source;
	struct vm *vm;
	struct control_server *control;
	struct state_watch *watch;
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
		/* A terminal or pipe that nobody reads must not hold up the VM. */
		run->log_fd = descriptor_reopen(STDERR_FILENO, O_WRONLY, &own);
		if (run->log_fd < 0)
			run->log_fd = STDERR_FILENO;
	}
	log_init(&run->log, run->log_fd, run->options.log_level);
	log_set_name(&run->log, run->options.config.name);
	run->reopen = run->log.reopen = reopen_create();
	if (!run->reopen)
		return error_set(err, -ENOMEM, "out of memory");
	if (path)
		reopen_add(run->reopen, run->log_fd, path);
	return 0;
}

/* Before any thread: they all inherit the mask, and signals arrive at the main loop alone. */
static int block_signals(struct run *run, struct error *err)
{
	struct sigaction ignore = {.sa_handler = SIG_IGN};
	int status;

	sigemptyset(&run->signals);
	sigaddset(&run->signals, SIGTERM);
	sigaddset(&run->signals, SIGINT);
	sigaddset(&run->signals, SIGHUP);
	sigaction(SIGPIPE, &ignore, NULL);
	status = -pthread_sigmask(SIG_BLOCK, &run->signals, NULL);
	if (status == 0) {
		run->signal_fd = signalfd(-1, &run->signals, SFD_CLOEXEC | SFD_NONBLOCK);
		if (run->signal_fd < 0)
			status = -errno;
	}
	return status < 0 ? error_set_errno(err, status, "cannot take signals") : 0;
}

/*
 * For every thread that asks for no other size. Much less than the usual 8 MiB, in which the host
 * would put a whole huge page for the first byte; much more than any of them needs.
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

static void signal_arrived(void *opaque, uint32_t events)
{
	struct run *run = opaque;
	struct signalfd_siginfo info;

	if (read(run->signal_fd, &info, sizeof(info)) != sizeof(info))
		return;
	log_info(&run->log, "signal %u: stopping", info.ssi_signo);
	vm_end(run->vm, VM_END_STOPPED);
	/* From here on they do what they do by default: a second one ends symvm at once, should
	 * the orderly end hang. */
	pthread_sigmask(SIG_UNBLOCK, &run->signals, NULL);
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
	run->signal_source = event_loop_add(run->vm->main_loop, run->signal_fd, EPOLLIN,
					    signal_arrived, run);
	if (!run->signal_source)
		return error_set(err, -ENOMEM, "cannot take signals: out of memory");
	return create_devices(run, err);
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
	status = jail_create(run->options.jail, run->name.dir_fd, &run->log, &run->jail, err);
	if (status < 0)
		return status;
	run->vm->jail = run->jail;
	status = state_watch_create(run->vm->main_loop, &run->name, &run->log, &run->watch, err);
	if (status < 0)
		return status;
	status = control_server_start(run->control, err);
	if (status < 0)
		return status;
	status = vm_start(run->vm, err);
	if (status < 0)
		return status;
	status = jail_enter_thread(run->jail, JAIL_THREAD_MAIN, err);
	if (status < 0)
		return status;
	if (run->start_paused)
		return 0;
	status = vm_resume(run->vm);
	return status < 0 && status != -ESHUTDOWN
		       ? error_set_errno(err, status, "cannot let the guest run")
		       : 0;
}

static int run_vm(struct run *run, struct error *err)
{
	int status = create_vm(run, err);

	if (status == 0)
		status = start_vm(run, err);
	if (status < 0)
		return status;
	event_loop_run(run->vm->main_loop);
	return 0;
}

static int tear_down(struct run *run)
{
	int end = VM_END_FAILURE;

	if (run->control)
		control_server_destroy(run->control);
	state_watch_destroy(run->watch);
	reopen_destroy(run->reopen);
	if (run->vm) {
		end = atomic_load(&run->vm->end);
		event_source_remove(run->signal_source);
		vm_destroy(run->vm);
	}
	jail_destroy(run->jail);
	if (run->name.lock_fd >= 0)
		state_name_release(&run->name);
	if (run->signal_fd >= 0)
		close(run->signal_fd);
	if (run->log_fd > STDERR_FILENO)
		close(run->log_fd);
	return end < 0 ? VM_END_FAILURE : end;
}

static int run_run(int argc, char **argv)
{
	struct run run = {.name.lock_fd = -1, .signal_fd = -1, .log_fd = -1};
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
		status = block_signals(&run, &err);
	if (status == 0)
		status = limit_stacks(&err);
	if (status == 0)
		status = run_vm(&run, &err);
	/* In the log as well, where that is a file: nobody may be at the terminal. */
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
	.arguments = "--kernel FILE [OPTIONS]",
	.summary = "Boot a kernel in a new virtual machine and stay until it ends",
	.run = run_run,
};
COMMAND(run_command);
