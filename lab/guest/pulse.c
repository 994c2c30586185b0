// SPDX-License-Identifier: BSD-2-Clause
/*
 * pulse PORT CLOCK: read lines from the port, run on every CPU once for each, and answer.
 *
 * A line is DIGITS digits: milliseconds of the clock that time limits count (lab/fairclock.py). The
 * newest one is written to the file CLOCK. The answer, one byte, shows lab/emulate that every CPU
 * of this host still runs processes.
 *
 * QEMU's SVM can lose an interrupt. Another thread sets CPU_INTERRUPT_POLL in a vCPU's
 * interrupt_request under a lock, while the emulation of VMRUN changes that word without the lock
 * (QEMU's target/i386/tcg, svm_helper.c, 7.2 to 10.0). The interrupt then waits in the local APIC.
 * It is mostly the one-shot timer's, so the emulated host hangs for good. The next interrupt of any
 * kind at that CPU brings back the lost one. The input on the port, a few times a second, is an
 * interrupt at one CPU; moving to each of the other CPUs is one there.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DIGITS 12

static void visit_each(const cpu_set_t *all)
{
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		cpu_set_t one;

		if (!CPU_ISSET(cpu, all))
			continue;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		sched_setaffinity(0, sizeof(one), &one);
	}
	sched_setaffinity(0, sizeof(*all), all);
}

/* Write the last whole line among the bytes to the file. */
static void clock_set(int clock, const char *bytes, size_t length)
{
	const char *end = memrchr(bytes, '\n', length);

	if (end && end - bytes >= DIGITS && pwrite(clock, end - DIGITS, DIGITS + 1, 0) < 0)
		perror("lab pulse: clock");
}

int main(int argc, char **argv)
{
	const struct sched_param first = {.sched_priority = 1};
	cpu_set_t all;
	char bytes[256];
	int port = argc == 3 ? open(argv[1], O_RDWR | O_CLOEXEC) : -1;
	int clock = argc == 3 ? open(argv[2], O_WRONLY | O_CREAT | O_CLOEXEC, 0644) : -1;

	if (port < 0 || clock < 0 || sched_getaffinity(0, sizeof(all), &all)) {
		perror("lab pulse");
		return 1;
	}
	clock_set(clock, "000000000000\n", DIGITS + 1);
	sched_setscheduler(0, SCHED_FIFO, &first);
	for (;;) {
		struct pollfd p = {.fd = port, .events = POLLIN};
		ssize_t length = poll(&p, 1, -1) == 1 ? read(port, bytes, sizeof(bytes)) : 0;

		if (length <= 0) {
			sleep(1);
			continue;
		}
		visit_each(&all);
		clock_set(clock, bytes, (size_t)length);
		if (write(port, ".", 1) < 0)
			perror("lab pulse: answer");
	}
}
