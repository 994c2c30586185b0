/* SPDX-License-Identifier: BSD-2-Clause */
/* A guest that the test plays behind libguestview's handle: it answers by a script. */
#ifndef TESTS_GUESTVIEW_FAKE_GUEST_H
#define TESTS_GUESTVIEW_FAKE_GUEST_H

#include "libguestview/guestview.h"

struct fake_answer {
	int status; /* of sym_call() */
	int64_t value;
	const void *message; /* NULL: none is copied */
	size_t length;	     /* that the answer claims; the fake copies as much as fits */
};

struct fake_guest {
	struct guest guest; /* the handle */
	struct guest_limit limit;
	_Atomic bool cut; /* of @limit */
	unsigned vcpus;
	const struct fake_answer *answers; /* one for each call; the last one repeats */
	unsigned answer_count;
	unsigned calls;	    /* made so far */
	unsigned end_after; /* the guest has ended after so many calls; 0: never */
	unsigned cut_after; /* the caller does not want the answer after so many; 0: never */
	int held;	    /* result of check(): 0 or -errno */
	int run_status;	    /* result of run_on() if it must not run anything, or 0 */
	unsigned vcpu;	    /* of the last call */
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

/* A struct with a .head and a .text: its size, and as what fake_guest_answers() takes. */
#define FAKE_SIZE(answer) ((int64_t)(sizeof((answer).head) + strlen((answer).text)))
#define FAKE_SAID(answer)                                          \
	{                                                          \
		0, FAKE_SIZE(answer), &(answer), FAKE_SIZE(answer) \
	}

#endif
