/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The control protocol's form: cutting a byte stream into lines of bounded
 * length, and a line into a request. No sockets here, so that it can be fuzzed.
 */
#ifndef SYMVM_CONTROL_PROTOCOL_H
#define SYMVM_CONTROL_PROTOCOL_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "util/error.h"

#define CONTROL_LINE_MAX   65536u      /* bytes of a request, without its newline */
#define CONTROL_ANSWER_MAX (16u << 20) /* bytes of an answer; what clients take */

/* Bytes received and not yet consumed. All zero is an empty one. */
struct control_input {
	char *data;
	size_t length;
	size_t capacity;
	size_t taken;  /* of the line that was handed out last */
	bool skipping; /* an overlong line's rest is dropped, up to its newline */
};

enum control_line {
	CONTROL_LINE_NONE, /* no whole line yet */
	CONTROL_LINE_READY,
	CONTROL_LINE_TOO_LONG, /* reported once; what belongs to it is dropped */
};

/* How many bytes it takes now; not 0 once control_input_take() found no line. */
size_t control_input_room(const struct control_input *input);
/* Appends received bytes; takes at most what fits, returns how many, or -ENOMEM. */
ssize_t control_input_put(struct control_input *input, const char *data, size_t length);
/*
 * Takes the next line. *@line points into @input and is valid until the next
 * call on it; the newline (and a carriage return before it) is not part of it.
 */
enum control_line control_input_take(struct control_input *input, const char **line,
				     size_t *length);
void control_input_free(struct control_input *input);

struct control_request {
	json_t *document;    /* owned */
	const char *command; /* in document */
	json_t *arguments;   /* owned, always an object */
	json_t *id;	     /* in document: given back with the answer; NULL */
};

/*
 * Parses {"command": TEXT, "arguments": OBJECT, "id": TEXT or NUMBER}, of which only the command
 * must be there. -EINVAL with words; @request is then empty.
 */
int control_request_parse(const char *line, size_t length, struct control_request *request,
			  struct error *err);
void control_request_free(struct control_request *request);

/*
 * The line (newline included) that answers @request, which may be NULL: the
 * result (stolen; NULL gives {}) when @code is 0, otherwise the error. A result that is longer than
 * CONTROL_ANSWER_MAX gives the error -EMSGSIZE. NULL when out of memory; the caller frees it.
 */
char *control_answer(const struct control_request *request, int code, json_t *result,
		     const struct error *err);

#endif
