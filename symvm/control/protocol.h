/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The control protocol's form: it cuts a byte stream into lines of bounded length, and turns a line
 * into a request. There are no sockets here, so that it can be fuzzed. All functions: any thread,
 * one at a time for each object.
 */
#ifndef SYMVM_CONTROL_PROTOCOL_H
#define SYMVM_CONTROL_PROTOCOL_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "util/error.h"

#define CONTROL_LINE_MAX   65536u      /* bytes of a request, without its newline */
#define CONTROL_ANSWER_MAX (16u << 20) /* bytes of an answer; clients take as many */

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
	CONTROL_LINE_TOO_LONG, /* reported once; its rest is dropped */
};

/* How many bytes it takes now; not 0 if control_input_take() has just found no line. */
size_t control_input_room(const struct control_input *input);
/* Appends received bytes. Takes at most as many as fit, and returns how many, or -ENOMEM. */
ssize_t control_input_put(struct control_input *input, const char *data, size_t length);
/*
 * Takes the next line. *@line points into @input and is valid until the next call on it. The
 * newline (and a carriage return before it) is not part of it.
 */
enum control_line control_input_take(struct control_input *input, const char **line,
				     size_t *length);
/* Frees the bytes; @input is empty then. */
void control_input_free(struct control_input *input);

/* A file that the client passed (SCM_RIGHTS). */
struct control_file {
	bool present;
	int fd;
};

/* Closes it, if it is there. */
void control_file_close(struct control_file *file);

struct control_request {
	json_t *document;	  /* owned */
	const char *command;	  /* in document */
	json_t *arguments;	  /* owned, always an object */
	json_t *id;		  /* in document: given back with the answer; NULL */
	struct control_file file; /* owned */
};

/*
 * Parses {"command": TEXT, "arguments": OBJECT, "id": TEXT or NUMBER}, of which only the command is
 * required. -EINVAL with words; @request is then empty.
 */
int control_request_parse(const char *line, size_t length, struct control_request *request,
			  struct error *err);
/* Frees the request's parts; @request is empty then. */
void control_request_free(struct control_request *request);

/*
 * The line (newline included) that answers @request, which may be NULL: the result (stolen; NULL
 * gives {}) if @code is 0, otherwise the error. A result that is longer than CONTROL_ANSWER_MAX
 * gives the error -EMSGSIZE. NULL if memory is exhausted; the caller frees the line.
 */
char *control_answer(const struct control_request *request, int code, json_t *result,
		     const struct error *err);

#endif
