// SPDX-License-Identifier: BSD-2-Clause
/*
 * The control socket's form: any bytes, in pieces of any length, through the line cutter, the
 * request parser, the argument helpers and back into an answer. An answer must be one line of
 * JSON, whatever the request was.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "control/control.h"
#include "control/protocol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_answer(const struct control_request *request, int code, json_t *result,
			 const struct error *err)
{
	char *line = control_answer(request, code, result, err);
	size_t length = line ? strlen(line) : 0;
	json_t *back;

	if (!line || line[length - 1] != '\n' || memchr(line, '\n', length - 1))
		abort();
	back = json_loadb(line, length, 0, NULL);
	if (!json_object_get(back, code ? "error" : "result"))
		abort();
	json_decref(back);
	free(line);
}

static void handle(const char *line, size_t length)
{
	static const char *const known[] = {"force", "cpu", NULL};
	struct control_request request;
	struct error err = {""};
	json_int_t number = 1;
	const char *text = "";
	bool flag = false;
	int code = control_request_parse(line, length, &request, &err);

	if (code < 0) {
		check_answer(NULL, code, NULL, &err);
		return;
	}
	code = control_arguments_known(request.arguments, known, &err);
	if (code == 0)
		code = control_argument_bool(request.arguments, "force", &flag, &err);
	if (code == 0)
		code = control_argument_integer(request.arguments, "cpu", 0, 15, &number, &err);
	if (code == 0 && (number < 0 || number > 15))
		abort();
	if (code == 0)
		code = control_argument_text(request.arguments, "name", &text, &err);
	if (code < 0)
		error_set(&err, code, "%s: '%.32s'", err.text, request.command);
	check_answer(&request, code, code ? NULL : json_incref(request.arguments), &err);
	control_request_free(&request);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct control_input input = {0};
	size_t done = 0;

	while (done < size) {
		/* The data itself give the piece's length. */
		size_t piece = 1 + (size_t)data[done] * data[size - 1 - done] % 5000;
		size_t room = control_input_room(&input);
		enum control_line kind;
		const char *line;
		size_t length;

		if (piece > size - done)
			piece = size - done;
		if (piece > room)
			piece = room;
		if (piece == 0 ||
		    control_input_put(&input, (const char *)data + done, piece) != (ssize_t)piece)
			abort();
		done += piece;
		while ((kind = control_input_take(&input, &line, &length)) != CONTROL_LINE_NONE) {
			if (kind == CONTROL_LINE_READY && length > CONTROL_LINE_MAX)
				abort();
			if (kind == CONTROL_LINE_READY)
				handle(line, length);
		}
	}
	control_input_free(&input);
	return 0;
}
