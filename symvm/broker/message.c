// SPDX-License-Identifier: BSD-2-Clause
#include "broker/message.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *message_input_room(struct message_input *input, size_t *size)
{
	*size = sizeof(input->data) - input->length;
	return input->data + input->length;
}

void message_input_put(struct message_input *input, size_t size)
{
	input->length += size;
}

int message_input_take(struct message_input *input, const char **line, size_t *length)
{
	char *newline;

	if (input->taken) {
		input->length -= input->taken;
		memmove(input->data, input->data + input->taken, input->length);
		input->taken = 0;
	}
	newline = memchr(input->data, '\n', input->length);
	if (!newline)
		return input->length == sizeof(input->data) ? -EMSGSIZE : 0;
	*line = input->data;
	*length = (size_t)(newline - input->data);
	input->taken = *length + 1;
	return 1;
}

/* A member of an object that is a number from 0 to its maximum. */
struct number {
	const char *key;
	size_t offset; /* of a uint64_t in struct message_request */
	uint64_t maximum;
	bool required;
};

#define REQUEST(member) offsetof(struct message_request, member)

static const struct number join_numbers[] = {
	{"min", REQUEST(min), ACCOUNTS_BYTES_MAX, true},
	{"max", REQUEST(max), ACCOUNTS_BYTES_MAX, true},
	{"weight", REQUEST(weight), ACCOUNTS_WEIGHT_MAX, true},
	{"held", REQUEST(held), ACCOUNTS_BYTES_MAX, false},
	{0},
};

static const struct number demand_numbers[] = {
	{"held", REQUEST(demand.held), ACCOUNTS_BYTES_MAX, true},
	{"serial", REQUEST(demand.serial), INT64_MAX, true},
	{"idle", REQUEST(demand.idle), ACCOUNTS_BYTES_MAX, false},
	{"want", REQUEST(demand.want), ACCOUNTS_BYTES_MAX, false},
	{"refaults", REQUEST(demand.refaults), INT64_MAX, false},
	{"swap_ins", REQUEST(demand.swap_ins), INT64_MAX, false},
	{"psi_some", REQUEST(demand.psi_some), 10000, false},
	{"psi_full", REQUEST(demand.psi_full), 10000, false},
	{"miss_ns", REQUEST(demand.miss_ns), INT64_MAX, false},
	{0},
};

static const struct number no_numbers[] = {{0}};

static const struct {
	const char *name;
	enum message_kind kind;
	bool has_name;
	const struct number *numbers;
} commands[] = {
	{"join", MESSAGE_JOIN, true, join_numbers},
	{"demand", MESSAGE_DEMAND, false, demand_numbers},
	{"list", MESSAGE_LIST, false, no_numbers},
	{"explain", MESSAGE_EXPLAIN, true, no_numbers},
};
#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static const struct number *number_find(const struct number *numbers, const char *key)
{
	for (; numbers->key; numbers++)
		if (strcmp(numbers->key, key) == 0)
			return numbers;
	return NULL;
}

/* Letters, digits, ".", "_" and "-": the name of a VM (control/state_dir.h). */
static int name_read(struct message_request *request, json_t *value, struct error *err)
{
	const char *name = json_string_value(value);
	size_t length = name ? json_string_length(value) : 0;

	if (length == 0 || length > ACCOUNTS_NAME_MAX)
		return error_set(err, -EINVAL, "name: not a text of 1 to %u bytes",
				 ACCOUNTS_NAME_MAX);
	for (size_t i = 0; i < length; i++) {
		char c = name[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		      c == '.' || c == '_' || c == '-'))
			return error_set(err, -EINVAL, "name: not the name of a VM");
	}
	memcpy(request->name, name, length + 1);
	return 0;
}

static int number_read(struct message_request *request, const struct number *number, json_t *value,
		       struct error *err)
{
	json_int_t integer = json_integer_value(value);

	if (!json_is_integer(value) || integer < 0 || (uint64_t)integer > number->maximum)
		return error_set(err, -EINVAL, "%s: not an integer from 0 to %llu", number->key,
				 (unsigned long long)number->maximum);
	memcpy((char *)request + number->offset, &(uint64_t){(uint64_t)integer}, sizeof(uint64_t));
	return 0;
}

static int arguments_read(struct message_request *request, size_t command, json_t *arguments,
			  struct error *err)
{
	const struct number *numbers = commands[command].numbers;
	const char *key;
	json_t *value;
	int status = 0;

	json_object_foreach(arguments, key, value) {
		const struct number *number = number_find(numbers, key);

		if (number)
			status = number_read(request, number, value, err);
		else if (commands[command].has_name && strcmp(key, "name") == 0)
			status = name_read(request, value, err);
		else
			status = error_set(err, -EINVAL, "unknown argument '%.32s'", key);
		if (status < 0)
			return status;
	}
	if (commands[command].has_name && !request->name[0])
		return error_set(err, -EINVAL, "%s: name is missing", commands[command].name);
	for (; numbers->key; numbers++)
		if (numbers->required && !json_object_get(arguments, numbers->key))
			return error_set(err, -EINVAL, "%s: %s is missing", commands[command].name,
					 numbers->key);
	return 0;
}

static int document_read(struct message_request *request, json_t *document, struct error *err)
{
	json_t *arguments = json_object_get(document, "arguments");
	const char *name = json_string_value(json_object_get(document, "command"));
	size_t command = 0;

	if (!name || (arguments && !json_is_object(arguments)) ||
	    json_object_size(document) != (arguments ? 2 : 1))
		return error_set(err, -EINVAL,
				 "a request has a command, and arguments that are an object");
	while (command < COMMANDS && strcmp(commands[command].name, name) != 0)
		command++;
	if (command == COMMANDS)
		return error_set(err, -EINVAL, "unknown command '%.32s'", name);
	request->kind = commands[command].kind;
	return arguments_read(request, command, arguments, err);
}

int message_request_read(const char *line, size_t length, struct message_request *request,
			 struct error *err)
{
	json_error_t where;
	json_t *document;
	int status;

	memset(request, 0, sizeof(*request));
	document = json_loadb(line, length, JSON_REJECT_DUPLICATES, &where);
	if (!document)
		return error_set(err, -EINVAL, "malformed JSON at byte %d", where.position);
	status = document_read(request, document, err);
	json_decref(document);
	return status;
}

static int64_t integer_of(json_t *object, const char *key)
{
	json_t *value = json_object_get(object, key);

	return json_is_integer(value) && json_integer_value(value) >= 0 ? json_integer_value(value)
									: -1;
}

static int error_read(json_t *object, struct error *err)
{
	const char *text = json_string_value(json_object_get(object, "message"));
	json_int_t code = json_integer_value(json_object_get(object, "code"));

	if (!text || code >= 0 || code < -4095)
		return error_set(err, -EPROTO, "the broker's answer is malformed");
	return error_set(err, (int)code, "%.400s", text);
}

int message_lease_read(const char *line, size_t length, struct message_lease *lease,
		       struct error *err)
{
	json_t *document = json_loadb(line, length, JSON_REJECT_DUPLICATES, NULL);
	json_t *object = json_object_get(document, "lease");
	json_t *error = json_object_get(document, "error");
	int64_t bytes = integer_of(object, "bytes"), serial = integer_of(object, "serial");
	int64_t deadline = integer_of(object, "deadline_ms");
	int status = 0;

	if (error)
		status = error_read(error, err);
	else if (bytes < 0 || bytes > (int64_t)ACCOUNTS_BYTES_MAX || serial < 0 || deadline < 0)
		status = error_set(err, -EPROTO, "the broker's answer is malformed");
	else
		*lease = (struct message_lease){(uint64_t)bytes, (uint64_t)serial,
						(uint64_t)deadline};
	json_decref(document);
	return status;
}

/* The line of @document, which is stolen. */
static char *line_make(json_t *document)
{
	char *text = document ? json_dumps(document, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;
	char *line = NULL;

	json_decref(document);
	if (text && asprintf(&line, "%s\n", text) < 0)
		line = NULL;
	free(text);
	return line;
}

char *message_join_line(const struct message_request *request)
{
	return line_make(json_pack(
		"{s:s, s:{s:s, s:I, s:I, s:I, s:I}}", "command", "join", "arguments", "name",
		request->name, "min", (json_int_t)request->min, "max", (json_int_t)request->max,
		"weight", (json_int_t)request->weight, "held", (json_int_t)request->held));
}

char *message_demand_line(const struct accounts_demand *demand)
{
	const struct message_request request = {.demand = *demand};
	json_t *arguments = json_object();

	for (const struct number *number = demand_numbers; number->key; number++) {
		uint64_t value;

		memcpy(&value, (const char *)&request + number->offset, sizeof(value));
		json_object_set_new(
			arguments, number->key,
			json_integer(
				(json_int_t)(value < number->maximum ? value : number->maximum)));
	}
	return line_make(json_pack("{s:s, s:o}", "command", "demand", "arguments", arguments));
}

char *message_lease_line(const struct message_lease *lease)
{
	return line_make(json_pack("{s:{s:I, s:I, s:I}}", "lease", "bytes",
				   (json_int_t)lease->bytes, "serial", (json_int_t)lease->serial,
				   "deadline_ms", (json_int_t)lease->deadline_ms));
}

char *message_error_line(int code, const struct error *err)
{
	/* Words that quote a client may be cut within a character. */
	json_t *words = json_string(err->text[0] ? err->text : strerror(-code));

	if (!words)
		words = json_string(strerror(-code));
	return line_make(json_pack("{s:{s:i, s:o}}", "error", "code", code, "message", words));
}

char *message_result_line(json_t *result)
{
	return line_make(json_pack("{s:o}", "result", result));
}
