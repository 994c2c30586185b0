// SPDX-License-Identifier: BSD-2-Clause
/* The control command `exits`: the exits of a VM for a time, by the guest's task that caused them.
 */
#include "services/exits.h"

#include <errno.h>
#include <string.h>

#include "control/control.h"
#include "control/guest_json.h"
#include "util/clock.h"
#include "util/word_list.h"

#define EXITS_SECONDS_MAX     600
#define EXITS_SECONDS_DEFAULT 10
#define EXITS_MARGIN_MS	      5000 /* for the last call, and for the answer */

/* The frames of @text, which ends each with '\n', as a list. */
static json_t *stack_json(const char *text)
{
	json_t *frames = json_array();
	char frame[SYM_MESSAGE_SIZE + 1];

	while (*text) {
		size_t length = strcspn(text, "\n");

		if (length < sizeof(frame)) {
			memcpy(frame, text, length);
			frame[length] = '\0';
			json_array_append_new(frames, control_text(frame));
		}
		text += length + (text[length] == '\n');
	}
	return frames;
}

static void add_place(json_t *object, const struct exit_place *place)
{
	json_int_t address = (json_int_t)(place->address & INT64_MAX);

	json_object_set_new(object, "reason", json_string(exits_kind_name(place->kind)));
	if (place->kind == EXIT_KIND_HLT || place->kind == EXIT_KIND_INTERRUPT)
		return;
	json_object_set_new(object, place->kind == EXIT_KIND_MMIO ? "address" : "port",
			    json_integer(address));
	json_object_set_new(object, "write", json_boolean(place->write));
	if (place->kind != EXIT_KIND_DOORBELL)
		return;
	json_object_set_new(object, "device", control_text(place->doorbell.device));
	json_object_set_new(object, "queue", json_integer((json_int_t)place->doorbell.queue));
}

static json_t *row_json(const struct exit_row *row)
{
	json_t *object = json_object();

	json_object_set_new(object, "count", json_integer((json_int_t)row->count));
	add_place(object, &row->place);
	json_object_set_new(object, "task",
			    row->known ? guest_whoami_json(&row->task) : json_null());
	if (row->stack)
		json_object_set_new(object, "stack", stack_json(row->stack));
	return object;
}

static json_t *totals_json(const struct exits_watch *watch)
{
	json_t *totals = json_object();

	for (unsigned kind = 0; kind < EXIT_KINDS; kind++) {
		const struct exits_totals *of = &watch->totals[kind];

		if (!(watch->kinds & (1u << kind)))
			continue;
		json_object_set_new(totals, exits_kind_name(kind),
				    json_pack("{s:I, s:I, s:I}", "exits",
					      (json_int_t)atomic_load(&of->seen), "asked",
					      (json_int_t)atomic_load(&of->asked), "unattributed",
					      (json_int_t)atomic_load(&of->failed)));
	}
	return totals;
}

static json_t *watch_json(const struct exits_watch *watch, uint64_t start_ns)
{
	json_t *rows = json_array();

	exit_tally_sort(watch->tally);
	for (unsigned i = 0; i < exit_tally_count(watch->tally); i++)
		json_array_append_new(rows, row_json(exit_tally_row(watch->tally, i)));
	return json_pack("{s:f, s:i, s:o, s:o, s:I}", "seconds",
			 (double)(clock_now_ns() - start_ns) / 1e9, "sample", (int)watch->percent,
			 "totals", totals_json(watch), "rows", rows, "other",
			 (json_int_t)exit_tally_other(watch->tally));
}

/* Adds the reason of @length bytes at @name to *@kinds. */
static int parse_kind(const char *name, size_t length, unsigned *kinds, struct error *err)
{
	char known[128] = "";

	for (unsigned kind = 0; kind < EXIT_KINDS; kind++) {
		const char *text = exits_kind_name(kind);

		if (strlen(text) == length && memcmp(text, name, length) == 0) {
			*kinds |= 1u << kind;
			return 0;
		}
		word_list_add(known, sizeof(known), ", ", text);
	}
	if (length == 3 && memcmp(name, "all", 3) == 0) {
		*kinds = (1u << EXIT_KINDS) - 1;
		return 0;
	}
	return error_set(err, -EINVAL, "reason: '%.*s' is none of %s, all",
			 (int)(length < 32 ? length : 32), name, known);
}

static int parse_kinds(const char *text, unsigned *kinds, struct error *err)
{
	int status = 0;

	*kinds = 0;
	while (status == 0) {
		size_t length = strcspn(text, ",");

		status = parse_kind(text, length, kinds, err);
		if (!text[length])
			break;
		text += length + 1;
	}
	return status;
}

static int parse_watch(json_t *arguments, struct exits_watch *watch, json_int_t *seconds, bool *end,
		       struct error *err)
{
	static const char *const known[] = {"reason", "sample", "seconds", "stack", "end", NULL};
	const char *reason = "io,mmio,doorbell";
	json_int_t percent = 100;
	int status = control_arguments_known(arguments, known, err);

	if (status == 0)
		status = control_argument_text(arguments, "reason", &reason, err);
	if (status == 0)
		status = control_argument_integer(arguments, "sample", 1, 100, &percent, err);
	if (status == 0)
		status = control_argument_integer(arguments, "seconds", 1, EXITS_SECONDS_MAX,
						  seconds, err);
	if (status == 0)
		status = control_argument_bool(arguments, "stack", &watch->stack, err);
	if (status == 0)
		status = control_argument_bool(arguments, "end", end, err);
	watch->percent = (unsigned)percent;
	return status < 0 ? status : parse_kinds(reason, &watch->kinds, err);
}

static int handle_exits(struct vm *vm, json_t *arguments, struct wait_limit *limit, json_t **result,
			struct error *err)
{
	json_int_t seconds = EXITS_SECONDS_DEFAULT;
	uint64_t start_ns = clock_now_ns();
	struct exits_watch watch = {0};
	bool end = false;
	int status = parse_watch(arguments, &watch, &seconds, &end, err);

	if (status < 0)
		return status;
	if (end) {
		exits_watches_end(vm);
		return 0;
	}
	watch.tally = exit_tally_create();
	if (!watch.tally)
		return error_set(err, -ENOMEM, "exits: out of memory");
	watch.end_ns = start_ns + (uint64_t)seconds * NS_PER_SECOND;
	status = exits_watch_run(vm, &watch, limit, err);
	if (status == 0)
		*result = watch_json(&watch, start_ns);
	exit_tally_destroy(watch.tally);
	return status;
}

static const struct control_command exits_command = {
	.name = "exits",
	.help = "exits by reason (list of io, mmio, doorbell, hlt, interrupt), sample (percent), "
		"seconds, stack; end: ends the watches under way",
	.is_query = true,
	.limit_ms = EXITS_SECONDS_MAX * 1000 + EXITS_MARGIN_MS,
	.handle_until = handle_exits,
};
CONTROL_COMMAND(exits_command);
