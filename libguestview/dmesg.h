/* SPDX-License-Identifier: BSD-2-Clause */
/* The messages of the guest's kernel log (SYM_CALL_DMESG). */
#ifndef GUESTVIEW_DMESG_H
#define GUESTVIEW_DMESG_H

#include "guestview.h"

/* Lines and bytes of text that one answer holds at most. */
#define GUEST_DMESG_LINES 4096u
#define GUEST_DMESG_TEXT  (256u << 10)

struct guest_dmesg_line {
	uint8_t level;	  /* of syslog: 0 (emergency) to 7 (debug) */
	uint8_t facility; /* of syslog: 0 is the kernel */
	uint32_t start;	  /* of its text in guest_dmesg.text */
};

struct guest_dmesg {
	uint64_t next; /* sequence number to ask for the messages after these */
	uint64_t lost; /* records that the guest's log overwrote before they were asked for */
	bool complete; /* the guest had no further message at that moment */
	size_t count;
	struct guest_dmesg_line *lines;
	char *text; /* the lines, each ended by a NUL */
	size_t size, lines_room;
};

/* Line @index, below log->count. It lives in @log. */
static inline const char *guest_dmesg_text(const struct guest_dmesg *log, size_t index)
{
	return log->text + log->lines[index].start;
}

/*
 * Asks for the messages from sequence number @from on (0: from the oldest), at most as many as an
 * answer holds: *@log, which guest_dmesg_free() frees; empty after an error. If a vCPU cannot be
 * asked, the next one is. In addition: -EOPNOTSUPP, the guest's module does not know this call;
 * -EPROTO, the answer is malformed; -ENOMEM.
 */
GUEST_API int guest_dmesg(const struct guest *guest, const struct guest_limit *limit, uint64_t from,
			  struct guest_dmesg *log, struct guest_error *err);

/* Frees the lines. @log is empty then. Any thread. */
GUEST_API void guest_dmesg_free(struct guest_dmesg *log);

/*
 * Appends the lines of one answer, @length bytes at @message, to @log, and takes its `next` and
 * `lost`. Returns the number of bytes of text; 0: no further messages. -EPROTO: the answer is too
 * short, too long, or says `next` below @from; -ENOMEM; -ENOSPC: @log is full. @log is unchanged
 * after an error. Any thread.
 */
GUEST_API int guest_dmesg_decode(const void *message, size_t length, uint64_t from,
				 struct guest_dmesg *log);

#endif
