/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Counts exits by place and cause: one row for each combination of reason, port or address or
 * queue, direction, task, cgroup, user IP and kernel stack. Everything that it needs is allocated
 * at the start, and its size does not depend on the guest. A cause that no longer fits is counted
 * in one number.
 */
#ifndef SYMVM_SERVICES_EXIT_TALLY_H
#define SYMVM_SERVICES_EXIT_TALLY_H

#include <stdbool.h>
#include <stdint.h>

#include "libguestview/who.h"
#include "machine/doorbell.h"

#define EXIT_TALLY_ROWS	  512u	       /* rows that the guest's causes may fill */
#define EXIT_TALLY_STACKS (256u << 10) /* bytes of different stacks */

enum exit_kind {
	EXIT_KIND_IO,
	EXIT_KIND_MMIO,
	EXIT_KIND_DOORBELL,
	EXIT_KIND_HLT,
	EXIT_KIND_INTERRUPT,
	EXIT_KINDS,
};

/* Where an exit happened. Unused bytes are 0, as places are compared as a whole. */
struct exit_place {
	enum exit_kind kind;
	bool write;			/* of IO, MMIO, DOORBELL */
	uint64_t address;		/* IO, DOORBELL: a port; MMIO: guest-physical */
	struct doorbell_place doorbell; /* DOORBELL */
};

struct exit_row {
	struct exit_place place;
	uint64_t count;
	bool known;		  /* the guest could be asked; else there is no task and no stack */
	struct guest_whoami task; /* cpu, in_kernel, user_rsp: of the first such exit */
	const char *stack;	  /* frames, innermost first, each ended by '\n'; NULL: none */
};

/* No lock: its callers must lock. */
struct exit_tally;

/* An empty tally, or NULL if there is no memory. */
struct exit_tally *exit_tally_create(void);
/* Frees @tally with its rows. NULL is allowed. */
void exit_tally_destroy(struct exit_tally *tally);

/* Counts an exit at @place; @who is its cause, NULL if the guest could not be asked. */
void exit_tally_add(struct exit_tally *tally, const struct exit_place *place,
		    const struct guest_who *who);

/* Sorts the rows, the highest count first. Then exit_tally_add() must not be called any more. */
void exit_tally_sort(struct exit_tally *tally);
/* The number of rows, and row @index below it. The row lives in @tally. */
unsigned exit_tally_count(const struct exit_tally *tally);
const struct exit_row *exit_tally_row(const struct exit_tally *tally, unsigned index);
/* Exits that are in no row, because their row did not fit. */
uint64_t exit_tally_other(const struct exit_tally *tally);

#endif
