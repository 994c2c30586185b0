// SPDX-License-Identifier: BSD-2-Clause
#include "cli/exits_stack.h"

#include <stdlib.h>
#include <string.h>

#include "cli/output.h"

static unsigned long long number_of(json_t *object, const char *key)
{
	return (unsigned long long)json_integer_value(json_object_get(object, key));
}

json_t *exits_place(json_t *row)
{
	const char *way = json_is_true(json_object_get(row, "write")) ? "write" : "read";

	if (json_object_get(row, "device"))
		return json_sprintf("%s queue %llu", output_text(row, "device", "?"),
				    number_of(row, "queue"));
	if (json_object_get(row, "port"))
		return json_sprintf("port 0x%llx %s", number_of(row, "port"), way);
	if (json_object_get(row, "address"))
		return json_sprintf("address 0x%llx %s", number_of(row, "address"), way);
	return json_string("");
}

/* Kernel threads have no instruction of a user. */
static void add_task(json_t *frames, json_t *task)
{
	if (!json_is_object(task)) {
		json_array_append_new(frames, json_string("[not attributed]"));
		return;
	}
	json_array_append_new(frames, json_string(output_text(task, "comm", "?")));
	if (number_of(task, "user_rip"))
		json_array_append_new(frames,
				      json_sprintf("[user 0x%llx]", number_of(task, "user_rip")));
}

json_t *exits_frames(json_t *row)
{
	json_t *frames = json_array(), *stack = json_object_get(row, "stack"), *place;

	add_task(frames, json_object_get(row, "task"));
	for (size_t i = json_array_size(stack); i > 0; i--)
		json_array_append(frames, json_array_get(stack, i - 1));
	place = exits_place(row);
	json_array_append_new(
		frames, json_sprintf("[%s %s]", output_text(row, "reason", "?"),
				     json_string_value(place) ? json_string_value(place) : "?"));
	json_decref(place);
	return frames;
}

/* Appends @frame to the row that ends at @out. The new end. */
static char *fold_frame(char *out, const char *frame)
{
	for (; *frame; frame++) {
		unsigned char c = (unsigned char)*frame;

		*out++ = c < 0x20 || c == 0x7f || c == ';' ? '_' : *frame;
	}
	return out;
}

char *exits_fold(json_t *frames)
{
	size_t length = 1, i;
	json_t *frame;
	char *text, *out;

	json_array_foreach(frames, i, frame)
		length += json_string_length(frame) + 2;
	text = malloc(length);
	if (!text)
		return NULL;
	out = text;
	json_array_foreach(frames, i, frame) {
		const char *one = json_string_value(frame);

		if (i)
			*out++ = ';';
		out = fold_frame(out, one && *one ? one : "?");
	}
	*out = '\0';
	return text;
}
