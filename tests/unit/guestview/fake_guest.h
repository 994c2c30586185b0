/* SPDX-License-Identifier: BSD-2-Clause */
/* A guest of the test's making behind libguestview's handle: it answers by a script. */
#ifndef TESTS_GUESTVIEW_FAKE_GUEST_H
#define TESTS_GUESTVIEW_FAKE_GUEST_H

#include "libguestview/guestview.h"

struct fake_answer {
	int status; /* of sym_call() */
	int64_t value;
	const void *message; /* NULL: none is copied */
	size_t length;	     /* that the answer claims; as much as fits is copied */
};

struct fake_guest {
	struct guest guest; /* the handle */
	struct guest_limit limit;
	_Atomic bool cut; /* of @limit */
	unsigned vcpus;
	const struct fake_answer *answers; /* one a call; the last one again and again */
	unsigned answer_count;
	unsigned calls;			 /* that came */
	unsigned end_after;		 /* the guest has ended after so many calls; 0: never */
	unsigned cut_after;		 /* nobody wants the answer after so many; 0: never */
	int held;			 /* what check() says: 0 or -errno */
	int run_status;			 /* what run_on() says without running anything, or 0 */
	unsigned vcpu;			 /* of the last call */
	struct sym_call_request request; /* the last one */
	char logged[128];		 /* the last line */
};

/* An hour is left, two vCPUs, and no answer yet. */
void fake_guest_init(struct fake_guest *fake);

/* From now on it answers by @list, an array. */
#define fake_guest_answers(fake, list)                                   \
	do {                                                             \
		(fake)->answers = (list);                                \
		(fake)->answer_count = sizeof(list) / sizeof((list)[0]); \
		(fake)->calls = 0;                                       \
	} while (0)

#endif
