// SPDX-License-Identifier: BSD-2-Clause
#include "control/panic.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "control/vm_dump.h"
#include "machine/vm.h"
#include "machine/vm_panic.h"
#include "services/panic_report.h"
#include "util/descriptor.h"

struct panic_action {
	int report_fd;
	int dump_fd; /* -1: no dump */
	char report_path[STATE_PATH_MAX];
	char dump_path[STATE_PATH_MAX];
};

static void format_time(char text[32])
{
	time_t now = time(NULL);
	struct tm parts;

	if (!gmtime_r(&now, &parts) || !strftime(text, 32, "%Y-%m-%dT%H:%M:%SZ", &parts))
		snprintf(text, 32, "?");
}

/* The report of the last panic is replaced only now. */
static int write_report(int fd, const char *text, size_t length)
{
	if (ftruncate(fd, 0) < 0)
		return -errno;
	return descriptor_write_at(fd, text, length, 0);
}

static void make_report(struct vm *vm, const struct panic_action *action)
{
	struct panic_facts *facts = panic_facts_collect(vm);
	char *text = NULL, now[32];
	size_t length = 0;
	int status = facts ? 0 : -ENOMEM;

	format_time(now);
	if (status == 0)
		status = panic_report_make(facts, now, &text, &length);
	if (status == 0)
		status = write_report(action->report_fd, text, length);
	if (facts && facts->words[0])
		vm_panic_set_text(vm, facts->words);
	if (status == 0)
		vm_panic_set_report(vm, action->report_path);
	else
		log_error(&vm->log, "panic: no report in '%s': %s", action->report_path,
			  strerror(-status));
	free(text);
	panic_facts_free(facts);
}

static bool has_ended(void *opaque)
{
	return vm_has_ended(opaque);
}

static void make_dump(struct vm *vm, const struct panic_action *action)
{
	struct vmcore core = {.fd = action->dump_fd, .cut = has_ended, .opaque = vm};
	struct error err;

	if (vm_dump(vm, &core, &err) < 0)
		log_error(&vm->log, "panic: no dump in '%s': %s", action->dump_path, err.text);
	else
		log_warn(&vm->log, "panic: the guest's memory is in '%s'%s", action->dump_path,
			 core.has_vmcoreinfo ? "" : ", without VMCOREINFO");
}

/* On the lifecycle thread; the VM is held. */
static void panic_handle(struct vm *vm, void *opaque)
{
	const struct panic_action *action = opaque;

	/* The dump comes first, since a question runs code of the guest. */
	if (action->dump_fd >= 0)
		make_dump(vm, action);
	make_report(vm, action);
}

static int open_dump_file(const char *path, struct error *err)
{
	struct stat status;
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0600);

	if (fd < 0)
		return error_set_errno(err, -errno, "--dump-file: cannot open '%s'", path);
	if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode))
		return fd;
	close(fd);
	return error_set(err, -EINVAL, "--dump-file: '%s' is not a regular file", path);
}

static int open_files(struct panic_action *action, const struct vm *vm,
		      const struct state_name *name, const char *dump_file, struct error *err)
{
	action->report_fd = state_name_open_kept(name, ".panic", action->report_path,
						 sizeof(action->report_path), err);
	if (action->report_fd < 0)
		return action->report_fd;
	if (vm->config.on_panic != VM_ON_PANIC_DUMP)
		return 0;
	if (dump_file) {
		snprintf(action->dump_path, sizeof(action->dump_path), "%s", dump_file);
		action->dump_fd = open_dump_file(dump_file, err);
	} else {
		action->dump_fd = state_name_open_kept(name, ".vmcore", action->dump_path,
						       sizeof(action->dump_path), err);
	}
	return action->dump_fd < 0 ? action->dump_fd : 0;
}

int panic_action_create(struct vm *vm, const struct state_name *name, const char *dump_file,
			struct panic_action **out, struct error *err)
{
	struct panic_action *action;
	int status;

	if (vm->config.on_panic == VM_ON_PANIC_EXIT)
		return 0;
	action = calloc(1, sizeof(*action));
	if (!action)
		return error_set(err, -ENOMEM, "panic report: out of memory");
	action->report_fd = action->dump_fd = -1;
	status = open_files(action, vm, name, dump_file, err);
	if (status < 0) {
		panic_action_destroy(action);
		return status;
	}
	vm_panic_set_handler(vm, panic_handle, action);
	*out = action;
	return 0;
}

void panic_action_destroy(struct panic_action *action)
{
	if (!action)
		return;
	if (action->report_fd >= 0)
		close(action->report_fd);
	if (action->dump_fd >= 0)
		close(action->dump_fd);
	free(action);
}
