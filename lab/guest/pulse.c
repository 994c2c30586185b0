// SPDX-License-Identifier: BSD-2-Clause
/*
 * pulse PORT: read what comes from the port, and be on every CPU once each time.
 *
 * QEMU 7.2's SVM can lose the word that an interrupt has come: another thread sets
 * CPU_INTERRUPT_POLL in a vCPU's interrupt_request under a lock, while the emulation of #VMEXIT and
 * VMRUN changes that word without the lock (target/i386/tcg/sysemu/svm_helper.c). The interrupt then waits
 * in the local APIC, and since it is mostly the one-shot timer's, the emulated host stands still
 * for good. The next interrupt of any kind at that CPU brings back the lost one. lab/emulate therefore
 * sends a byte to this port a few times a second, which is an interrupt at one CPU; being
 * moved to each of them is one at the others.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

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

int main(int argc, char **argv)
{
	const struct sched_param first = {.sched_priority = 1};
	cpu_set_t all;
	char bytes[256];
	int port = argc == 2 ? open(argv[1], O_RDONLY | O_CLOEXEC) : -1;

	if (port < 0 || sched_getaffinity(0, sizeof(all), &all)) {
		perror("lab pulse");
		return 1;
	}
	sched_setscheduler(0, SCHED_FIFO, &first);
	for (;;) {
		struct pollfd p = {.fd = port, .events = POLLIN};

		if (poll(&p, 1, -1) == 1 && read(port, bytes, sizeof(bytes)) > 0)
			visit_each(&all);
		else
			sleep(1);
	}
}
