// SPDX-License-Identifier: BSD-2-Clause
/*
 * Cuts a byte stream into lines, parses a line into a request, and makes the line of an answer. The
 * buffer never grows beyond one whole line. A line that is too long is reported once, and its rest
 * is dropped up to its newline.
 */
#include "control/protocol.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control/control.h"

/* A whole line, its carriage return and newline. */
#define INPUT_CAPACITY (CONTROL_LINE_MAX + 2)

size_t control_input_room(const struct control_input *input)
{
	return INPUT_CAPACITY - input->length;
}

ssize_t control_input_put(struct control_input *input, const char *data, size_t length)
{
	size_t room = control_input_room(input);

	if (length > room)
		length = room;
	if (input->length + length > input->capacity) {
		size_t capacity = input->capacity ? input->capacity : 512;
		char *grown;

		while (capacity < input->length + length)
			capacity *= 2;
		grown = realloc(input->data, capacity);
		if (!grown)
			return -ENOMEM;
		input->data = grown;
		input->capacity = capacity;
	}
	if (length)
		memcpy(input->data + input->length, data, length);
	input->length += length;
	return (ssize_t)length;
}

/* Drops the first @count bytes. A line handed out before must not be used any more. */
static void input_consume(struct control_input *input, size_t count)
{
	input->length -= count;
	memmove(input->data, input->data + count, input->length);
}

enum control_line control_input_take(struct control_input *input, const char **line, size_t *length)
{
	char *newline;
	size_t used;

	if (input->taken) {
		input_consume(input, input->taken);
		input->taken = 0;
	}
	newline = input->length ? memchr(input->data, '\n', input->length) : NULL;
	if (input->skipping) {
		input_consume(input, newline ? (size_t)(newline - input->data) + 1 : input->length);
		input->skipping = !newline;
		return newline ? control_input_take(input, line, length) : CONTROL_LINE_NONE;
	}
	/* Without a newline it may still become a line, as long as it could fit. */
	if (!newline && input->length < INPUT_CAPACITY)
		return CONTROL_LINE_NONE;
	used = newline ? (size_t)(newline - input->data) : input->length;
	if (newline && used > 0 && newline[-1] == '\r')
		used--;
	if (used > CONTROL_LINE_MAX) {
		input_consume(input, newline ? (size_t)(newline - input->data) + 1 : input->length);
		input->skipping = !newline;
		return CONTROL_LINE_TOO_LONG;
	}
	*line = input->data;
	*length = used;
	input->taken = (size_t)(newline - input->data) + 1;
	return CONTROL_LINE_READY;
}

void control_input_free(struct control_input *input)
{
	free(input->data);
	memset(input, 0, sizeof(*input));
}

static int check_request(struct control_request *request, struct error *err)
{
	json_t *arguments = NULL;
	const char *key;
	json_t *value;

	if (!json_is_object(request->document))
		return error_set(err, -EINVAL, "a request is a JSON object");
	json_object_foreach(request->document, key, value) {
		if (strcmp(key, "command") == 0 && json_is_string(value))
			request->command = json_string_value(value);
		else if (strcmp(key, "arguments") == 0 && json_is_object(value))
			arguments = value;
		else if (strcmp(key, "id") == 0 && (json_is_string(value) || json_is_number(value)))
			request->id = value;
		else
			return error_set(err, -EINVAL, "a request has no such key or type: '%.32s'",
					 key);
	}
	if (!request->command)
		return error_set(err, -EINVAL, "the request names no command");
	request->arguments = arguments ? json_incref(arguments) : json_object();
	return request->arguments ? 0 : error_set(err, -ENOMEM, "out of memory");
}

int control_request_parse(const char *line, size_t length, struct control_request *request,
			  struct error *err)
{
	json_error_t json_err;
	int status;

	memset(request, 0, sizeof(*request));
	request->document = json_loadb(line, length, JSON_REJECT_DUPLICATES, &json_err);
	if (!request->document)
		return error_set(err, -EINVAL, "malformed JSON at byte %d: %s", json_err.position,
				 json_err.text);
	status = check_request(request, err);
	if (status < 0)
		control_request_free(request);
	return status;
}

void control_request_free(struct control_request *request)
{
	json_decref(request->arguments);
	json_decref(request->document);
	control_file_close(&request->file);
	memset(request, 0, sizeof(*request));
}

void control_file_close(struct control_file *file)
{
	if (file->present)
		close(file->fd);
	file->present = false;
}

json_t *control_text(const char *text)
{
	json_t *string = json_string(text);
	char *copy;

	if (string)
		return string;
	copy = strdup(text);
	if (!copy)
		return NULL;
	for (char *c = copy; *c; c++)
		if ((unsigned char)*c >= 0x80)
			*c = '?';
	string = json_string(copy);
	free(copy);
	return string;
}

struct answer_text {
	char *data;
	size_t length;
	size_t capacity;
	int status;
};

static int answer_append(const char *data, size_t size, void *opaque)
{
	struct answer_text *text = opaque;

	if (size > CONTROL_ANSWER_MAX - text->length) {
		text->status = -EMSGSIZE;
		return -1;
	}
	if (text->length + size > text->capacity) {
		size_t capacity = text->capacity ? text->capacity : 256;
		char *grown;

		while (capacity < text->length + size)
			capacity *= 2;
		grown = realloc(text->data, capacity);
		if (!grown) {
			text->status = -ENOMEM;
			return -1;
		}
		text->data = grown;
		text->capacity = capacity;
	}
	memcpy(text->data + text->length, data, size);
	text->length += size;
	return 0;
}

/* The line of @answer, allocated. -EMSGSIZE, -ENOMEM. */
static int answer_dump(json_t *answer, char **line)
{
	struct answer_text text = {.status = -ENOMEM};

	if (answer &&
	    json_dump_callback(answer, answer_append, &text, JSON_COMPACT | JSON_ENSURE_ASCII) ==
		    0 &&
	    answer_append("\n", 2, &text) == 0) {
		*line = text.data;
		return 0;
	}
	free(text.data);
	return text.status;
}

static json_t *error_json(int code, const struct error *err)
{
	return json_pack("{s:i, s:o}", "code", code, "message",
			 control_text(err->text[0] ? err->text : strerror(-code)));
}

char *control_answer(const struct control_request *request, int code, json_t *result,
		     const struct error *err)
{
	json_t *answer = json_object();
	struct error too_long;
	char *line = NULL;

	if (code == 0)
		json_object_set_new(answer, "result", result ? result : json_object());
	else
		json_object_set_new(answer, "error", error_json(code, err));
	if (request && request->id)
		json_object_set(answer, "id", request->id);
	if (answer_dump(answer, &line) == -EMSGSIZE) {
		error_set(&too_long, -EMSGSIZE, "the answer is longer than %u MiB",
			  CONTROL_ANSWER_MAX >> 20);
		json_object_del(answer, "result");
		json_object_set_new(answer, "error", error_json(-EMSGSIZE, &too_long));
		answer_dump(answer, &line);
	}
	json_decref(answer);
	return line;
}

int control_argument_bool(json_t *arguments, const char *key, bool *value, struct error *err)
{
	json_t *found = json_object_get(arguments, key);

	if (!found)
		return 0;
	if (!json_is_boolean(found))
		return error_set(err, -EINVAL, "%s: expected true or false", key);
	*value = json_is_true(found);
	return 0;
}

int control_argument_integer(json_t *arguments, const char *key, json_int_t minimum,
			     json_int_t maximum, json_int_t *value, struct error *err)
{
	json_t *found = json_object_get(arguments, key);

	if (!found)
		return 0;
	if (!json_is_integer(found) || json_integer_value(found) < minimum ||
	    json_integer_value(found) > maximum)
		return error_set(err, -EINVAL, "%s: expected an integer, %lld to %lld", key,
				 (long long)minimum, (long long)maximum);
	*value = json_integer_value(found);
	return 0;
}

int control_argument_text(json_t *arguments, const char *key, const char **value, struct error *err)
{
	json_t *found = json_object_get(arguments, key);

	if (!found)
		return 0;
	if (!json_is_string(found))
		return error_set(err, -EINVAL, "%s: expected a text", key);
	*value = json_string_value(found);
	return 0;
}

int control_arguments_known(json_t *arguments, const char *const *known, struct error *err)
{
	const char *key;
	json_t *value;

	json_object_foreach(arguments, key, value) {
		size_t i = 0;

		while (known[i] && strcmp(known[i], key) != 0)
			i++;
		if (!known[i])
			return error_set(err, -EINVAL, "unknown argument '%.32s'", key);
	}
	return 0;
}

int control_arguments_none(json_t *arguments, struct error *err)
{
	static const char *const known[] = {NULL};

	return control_arguments_known(arguments, known, err);
}
