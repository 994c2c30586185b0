/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The protocol between the broker and its VMs: one JSON object a line, of bounded length. Pure: no
 * sockets, so that it can be fuzzed. docs/design/broker.md lists the messages.
 *
 *   VM -> broker    {"command": "join", "arguments": {"name", "min", "max", "weight", "held"}}
 *                   {"command": "demand", "arguments": {"held", "serial", "idle", "want", ...}}
 *   tool -> broker  {"command": "list"}, {"command": "explain", "arguments": {"name"}}
 *   broker -> VM    {"lease": {"bytes", "serial", "deadline_ms"}}, the first one of which answers
 *                   the join, or {"error": {"code", "message"}}
 *   broker -> tool  {"result": {...}} or {"error": {"code", "message"}}
 *
 * All amounts are bytes, as in accounts.h. All functions: any thread, one at a time for each
 * object.
 */
#ifndef SYMVM_BROKER_MESSAGE_H
#define SYMVM_BROKER_MESSAGE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "broker/accounts.h"
#include "util/error.h"

#define MESSAGE_LINE_MAX 2048u /* bytes of a line, without its newline */

/* Bytes received that are not yet a whole line. All zero is an empty one. */
struct message_input {
	char data[MESSAGE_LINE_MAX + 1];
	size_t length;
	size_t taken; /* of the line that was handed out last */
};

/* Where and how many bytes may be received next: not 0 if message_input_take() found no line. */
char *message_input_room(struct message_input *input, size_t *size);
/* @size bytes were received there. */
void message_input_put(struct message_input *input, size_t size);
/*
 * The next whole line, which points into @input and is valid until the next call on it. 1: there is
 * one; 0: not yet; -EMSGSIZE: it is longer than MESSAGE_LINE_MAX, so the connection must end.
 */
int message_input_take(struct message_input *input, const char **line, size_t *length);

enum message_kind { MESSAGE_JOIN, MESSAGE_DEMAND, MESSAGE_LIST, MESSAGE_EXPLAIN };

struct message_request {
	enum message_kind kind;
	char name[ACCOUNTS_NAME_MAX + 1]; /* of a join, or to explain */
	uint64_t min, max, weight, held;  /* of a join */
	struct accounts_demand demand;
};

/*
 * Reads a line that the broker received. -EINVAL with words: it is malformed, has an unknown key,
 * or a value of another type or out of its range.
 */
int message_request_read(const char *line, size_t length, struct message_request *request,
			 struct error *err);

/* What a VM receives. */
struct message_lease {
	uint64_t bytes;
	uint64_t serial;
	uint64_t deadline_ms; /* for what must be returned; 0: nothing must */
};

/* Reads a line that a VM received. The broker's own code and words, or -EPROTO. */
int message_lease_read(const char *line, size_t length, struct message_lease *lease,
		       struct error *err);

/* Lines, with their newline. The caller frees them. NULL: out of memory. */
char *message_join_line(const struct message_request *request);
char *message_demand_line(const struct accounts_demand *demand);
char *message_lease_line(const struct message_lease *lease);
char *message_error_line(int code, const struct error *err);
/* @result is stolen. */
char *message_result_line(json_t *result);

#endif
