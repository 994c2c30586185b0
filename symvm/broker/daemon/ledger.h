/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The leases on disk, so that a broker that was killed knows them when it starts again: one file,
 * mapped, with a record for each VM. Each record is written in an order in which a kill at any
 * point leaves either the old or the new lease. The file belongs to this user alone, and its lock
 * shows that a broker lives. It is not meant to survive the host: processes are known by their id
 * and start time. All functions: one thread.
 */
#ifndef SYMVM_BROKER_DAEMON_LEDGER_H
#define SYMVM_BROKER_DAEMON_LEDGER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "broker/accounts.h"
#include "util/error.h"

struct ledger_record {
	char name[ACCOUNTS_NAME_MAX + 1];
	uint64_t pid, start;
	uint64_t min, max, weight, granted;
	uint64_t valid; /* 1: the record counts. Written last, and cleared first */
};

struct ledger {
	int fd;
	struct ledger_record *records; /* ACCOUNTS_VMS_MAX of them, by index in accounts.vms */
};

/*
 * Opens or makes the file @path. -EEXIST with words: a living broker has it. -EPERM: it belongs to
 * somebody else. Records with impossible values are cleared.
 */
int ledger_open(struct ledger *ledger, const char *path, struct error *err);
void ledger_close(struct ledger *ledger);
/* Writes or clears (@record NULL) the record @index. */
void ledger_set(struct ledger *ledger, unsigned index, const struct ledger_record *record);

#endif
