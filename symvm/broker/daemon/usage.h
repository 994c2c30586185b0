/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What one VM really uses, and the limit of that, as the host's kernel says. The account is
 * memory.current of the VM's control group (version 2) if the group holds this VM alone, otherwise
 * the resident memory of its process. All functions: one thread.
 */
#ifndef SYMVM_BROKER_DAEMON_USAGE_H
#define SYMVM_BROKER_DAEMON_USAGE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "util/error.h"

struct usage {
	pid_t pid;
	uint64_t start;	 /* of the process: field 22 of /proc/PID/stat */
	int resident_fd; /* /proc/PID/statm; -1: closed */
	int current_fd;	 /* memory.current; -1: no group of its own */
	int high_fd;	 /* memory.high; -1: not ours to write */
	int pressure_fd; /* memory.pressure; -1: none */
	uint64_t high;	 /* as written; 0: not yet */
	char group[160]; /* the group's path below the mount */
	char words[160]; /* why there is no account by a group, or no ceiling; "": both are there */
};

/*
 * Opens the account of the process @pid, which the kernel named (SCM_CREDENTIALS). -ESRCH: there is
 * no such process, or we cannot see it; with words.
 */
int usage_open(struct usage *usage, pid_t pid, struct error *err);
/* Closes it, and takes its ceiling away. */
void usage_close(struct usage *usage);
/* Bytes in use. False if the process has ended. */
bool usage_read(struct usage *usage, uint64_t *bytes);
/* Whether usage_limit() works. */
static inline bool usage_can_limit(const struct usage *usage)
{
	return usage->high_fd >= 0;
}
/* Sets memory.high, if it can and it changed. */
void usage_limit(struct usage *usage, uint64_t bytes);

#endif
