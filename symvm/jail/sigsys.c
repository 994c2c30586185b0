// SPDX-License-Identifier: BSD-2-Clause
/* `--jail trap`: says which call the filter refused. Runs in a signal handler, without stdio. */
#include "jail/sigsys.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <unistd.h>

#include "jail/filters.h"

static _Thread_local const char *thread_name = "unknown";

void trap_name_thread(const char *name)
{
	thread_name = name;
}

static size_t put_text(char *line, size_t used, size_t size, const char *text)
{
	while (*text && used < size)
		line[used++] = *text++;
	return used;
}

static size_t put_number(char *line, size_t used, size_t size, unsigned long number)
{
	char digits[24];
	unsigned count = 0;

	do {
		digits[count++] = (char)('0' + number % 10);
		number /= 10;
	} while (number);
	while (count > 0 && used < size)
		line[used++] = digits[--count];
	return used;
}

static void call_refused(int signal, siginfo_t *info, void *context)
{
	const char *name = jail_call_name(info->si_syscall);
	char line[160];
	size_t used = 0;

	/*
	 * Both calls are tried even if the filter refuses them. At worst this handler is not
	 * entered again, because its signal is blocked and the kernel ends the process.
	 */
	used = put_text(line, used, sizeof(line) - 1, "symvm: jail: system call ");
	used = put_number(line, used, sizeof(line) - 1, (unsigned long)info->si_syscall);
	used = put_text(line, used, sizeof(line) - 1, name ? " (" : " (unknown");
	used = put_text(line, used, sizeof(line) - 1, name ? name : "");
	used = put_text(line, used, sizeof(line) - 1, ")");
	used = put_text(line, used, sizeof(line) - 1, " is not on the list of the ");
	used = put_text(line, used, sizeof(line) - 1, thread_name);
	used = put_text(line, used, sizeof(line) - 1, " thread, at ");
	used = put_number(line, used, sizeof(line) - 1, (uintptr_t)info->si_call_addr);
	line[used++] = '\n';
	if (write(STDERR_FILENO, line, used) < 0)
		_exit(1);
	_exit(1);
}

int trap_install(struct error *err)
{
	struct sigaction action = {.sa_sigaction = call_refused, .sa_flags = SA_SIGINFO};

	if (sigaction(SIGSYS, &action, NULL) < 0)
		return error_set_errno(err, -errno, "jail: cannot catch refused system calls");
	return 0;
}
