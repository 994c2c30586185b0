// SPDX-License-Identifier: BSD-2-Clause
#include "torture.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define CGROUP "/sys/fs/cgroup/torture/"

static void say(const char *kind, const char *format, va_list arguments)
{
	char text[400];

	vsnprintf(text, sizeof(text), format, arguments);
	fprintf(stderr, "%s%s\n", kind, text);
}

int torture_fail(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	say("# ", format, arguments);
	va_end(arguments);
	return 1;
}

int torture_skip(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	say("# cannot run: ", format, arguments);
	va_end(arguments);
	return TORTURE_SKIP;
}

static void disturb_thirds(struct region *region)
{
	size_t third = region->pages / 3;
	volatile uint8_t sink;

	for (size_t page = third; page < 2 * third; page++)
		sink = *(volatile uint8_t *)region_page(region, page);
	(void)sink;
	for (size_t page = 2 * third; page < region->pages; page += 2)
		region_write_page(region, page);
}

int torture_prepare(const struct torture_context *context, struct region *region)
{
	size_t swapped;
	int error = region_create(region, context->pages, (uint32_t)getpid());

	CHECK(error == 0, "no memory for a region: %s", strerror(-error));
	region_write(region);
	swapped = region_pageout(region, 0, region->pages);
	CHECK(context->swapless || swapped >= region->pages * 8 / 10,
	      "only %zu of %zu pages were swapped out", swapped, region->pages);
	disturb_thirds(region);
	return 0;
}

void torture_disturb(struct region *region)
{
	region_pageout(region, 0, region->pages);
	disturb_thirds(region);
}

int torture_put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	int error = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		error = -errno;
	close(fd);
	return error;
}

long long torture_get(const char *path, const char *name)
{
	FILE *file = fopen(path, "re");
	long long value = -1;
	char line[256];

	while (file && value < 0 && fgets(line, sizeof(line), file)) {
		const char *number = line;

		if (name && strncmp(line, name, strlen(name)) != 0)
			continue;
		number += name ? strlen(name) : 0;
		number += strspn(number, ": \t");
		value = strtoll(number, NULL, 10);
	}
	if (file)
		fclose(file);
	return value;
}

int torture_reclaim(size_t bytes)
{
	char text[32];
	int error;

	snprintf(text, sizeof(text), "%zu", bytes);
	error = torture_put(CGROUP "memory.reclaim", text);
	return error == -EAGAIN ? 0 : error; /* less than that could be reclaimed */
}

int torture_limit(size_t bytes)
{
	char text[32];

	snprintf(text, sizeof(text), "%zu", bytes);
	return torture_put(CGROUP "memory.max", bytes ? text : "max");
}

int torture_wait(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return -errno;
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

pid_t torture_spawn(int (*work)(void *argument), void *argument)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(work(argument));
	return pid;
}

static __thread sigjmp_buf *escape;

static void on_fault(int number)
{
	if (escape)
		siglongjmp(*escape, number);
	signal(number, SIG_DFL); /* not expected: die of it at the same instruction */
}

static int with_faults(void (*access)(volatile void *), volatile void *address)
{
	struct sigaction action = {.sa_handler = on_fault, .sa_flags = SA_NODEFER};
	sigjmp_buf here;
	int number;

	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGBUS, &action, NULL);
	number = sigsetjmp(here, 1);
	if (number == 0) {
		escape = &here;
		access(address);
	}
	escape = NULL;
	return number;
}

static void access_read(volatile void *address)
{
	(void)*(volatile uint8_t *)address;
}

/* Leaves the contents alone. */
static void access_write(volatile void *address)
{
	*(volatile uint8_t *)address = *(volatile uint8_t *)address;
}

int torture_read(const volatile void *address)
{
	return with_faults(access_read, (volatile void *)(uintptr_t)address);
}

int torture_write(volatile void *address)
{
	return with_faults(access_write, address);
}
