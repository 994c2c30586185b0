/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A listing that does not fit one message, and that no guest can make at an arbitrary instruction.
 * A first call asks for it, a thread of the guest makes it, and further calls fetch it in pieces.
 * SYM_CALL_TASKS in abi.h is the first such call, and its comment has the protocol.
 */
#ifndef GUESTVIEW_FETCH_H
#define GUESTVIEW_FETCH_H

#include "guestview.h"

/* How long the guest's thread may take for each step. */
#define GUEST_FETCH_WAIT_MS 3000u

struct guest_listing {
	const char *name; /* for messages: "task list" */
	uint64_t number;  /* of the call */
	uint64_t flags;	  /* of its first call */
	size_t record;	  /* bytes of one record, 1 to SYM_MESSAGE_SIZE */
	size_t max;	  /* records to take at most, whatever the guest has */
};

/*
 * Fetches @listing by calls on vCPU 0 and gives each record to @each, in the guest's order, on this
 * thread. A record is @listing->record bytes that belong to the caller until @each returns. A
 * negative errno of @each ends the fetch and is returned; @each sets its own words. A positive
 * value of @each ends it, too, without an error. *@complete: whether the guest's listing ended
 * before @listing->max records. Errors, in addition to those of guest_call():
 *   -ETIMEDOUT  the guest did not make its listing within GUEST_FETCH_WAIT_MS or the limit
 *   -EPROTO     the guest gave no listing, or a piece that ends inside a record
 *   -EOPNOTSUPP the guest's module does not know the call or its flags
 *   -EIO        the guest could not make its listing; its own errno is in the words
 */
GUEST_API int guest_fetch(const struct guest *guest, const struct guest_limit *limit,
			  const struct guest_listing *listing,
			  int (*each)(const void *record, void *opaque, struct guest_error *err),
			  void *opaque, bool *complete, struct guest_error *err);

#endif
