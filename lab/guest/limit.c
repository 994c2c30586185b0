// SPDX-License-Identifier: BSD-2-Clause
/*
 * limit CLOCK SECONDS COMMAND...: run the command as timeout(1) does, but count the seconds of the
 * file CLOCK, which pulse.c updates. On a busy machine they are longer than the emulated seconds.
 *
 * Status: the command's, 128+N if signal N ended it, 124 at the limit (SIGTERM, 5 s later SIGKILL).
 * Signals that ask this process to end are passed on to the command's process group.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define KILL_MS 5000

static const int passed_on[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};

static long long clock_ms(int clock)
{
	char text[32] = "";

	return pread(clock, text, sizeof(text) - 1, 0) > 0 ? strtoll(text, NULL, 10) : 0;
}

static _Noreturn void command_run(char **argv, const sigset_t *mask)
{
	sigprocmask(SIG_SETMASK, mask, NULL);
	execvp(argv[0], argv);
	fprintf(stderr, "limit: %s: %s\n", argv[0], strerror(errno));
	_exit(errno == ENOENT ? 127 : 126);
}

/* Wait until the child has ended. Returns its wait status. */
static int child_wait(pid_t child, int clock, long long end, const sigset_t *set, bool *late)
{
	const struct timespec tick = {.tv_nsec = 200000000};
	siginfo_t info;
	int status;

	while (waitpid(child, &status, WNOHANG) == 0) {
		int number = sigtimedwait(set, &info, &tick);

		/* Blocked here, so that the signal only reaches the others in the group. */
		if (number > 0 && number != SIGCHLD && info.si_pid != getpid())
			kill(0, number);
		if (clock_ms(clock) < end)
			continue;
		if (*late)
			kill(child, SIGKILL);
		else
			kill(0, SIGTERM);
		*late = true;
		end += KILL_MS;
	}
	return status;
}

int main(int argc, char **argv)
{
	sigset_t set, before;
	bool late = false;
	int clock = argc >= 4 ? open(argv[1], O_RDONLY | O_CLOEXEC) : -1;
	long long seconds = argc >= 4 ? strtoll(argv[2], NULL, 10) : 0;

	if (clock < 0 || seconds < 1) {
		fprintf(stderr, "usage: limit CLOCK SECONDS COMMAND...\n");
		return 125;
	}
	setpgid(0, 0);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	for (size_t i = 0; i < sizeof(passed_on) / sizeof(passed_on[0]); i++)
		sigaddset(&set, passed_on[i]);
	sigprocmask(SIG_BLOCK, &set, &before);
	pid_t child = fork();

	if (child == 0)
		command_run(argv + 3, &before);
	if (child < 0) {
		perror("limit");
		return 125;
	}
	int status = child_wait(child, clock, clock_ms(clock) + seconds * 1000, &set, &late);

	if (late)
		return 124;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
