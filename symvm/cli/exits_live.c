// SPDX-License-Identifier: BSD-2-Clause
/* `symvm exits --live`: one watch after the other. */
#include "cli/exits_live.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "cli/client.h"
#include "cli/exits_stack.h"
#include "cli/output.h"
#include "cli/top_screen.h"

#define SECONDS_DEFAULT 2
#define PAUSE_MS	200u
#define ROWS_MAX	512u /* of an answer (docs/reference/control.md) */

static double number_of(json_t *object, const char *key)
{
	return json_number_value(json_object_get(object, key));
}

static void add(json_t *rows, json_t *row)
{
	if (row)
		json_array_append_new(rows, row);
}

/* The counts of a reason, and adds to *@asked the exits at which the guest was asked. */
static void add_total(json_t *rows, const char *reason, json_t *total, double seconds,
		      double *asked)
{
	*asked += number_of(total, "asked");
	add(rows,
	    json_sprintf("%10.1f/s, not attributed %.0f of %.0f: %s",
			 number_of(total, "exits") / seconds, number_of(total, "unattributed"),
			 number_of(total, "asked"), reason));
}

static void add_row(json_t *rows, json_t *row, double seconds, double asked)
{
	json_t *task = json_object_get(row, "task"), *place = exits_place(row);
	const char *at = json_string_value(place);
	double count = number_of(row, "count");
	char pid[24] = "-";

	if (json_is_object(task))
		snprintf(pid, sizeof(pid), "%.0f", number_of(task, "pid"));
	add(rows,
	    json_sprintf("%10.1f %6.1f %10s %s %s: %s %s", count / seconds,
			 asked > 0 ? 100 * count / asked : 0.0, pid,
			 output_text(row, "reason", "?"), at ? at : "",
			 json_is_object(task) ? output_text(task, "comm", "?") : "(not attributed)",
			 output_text(task, "cgroup", "")));
	json_decref(place);
}

json_t *exits_live_rows(json_t *answer)
{
	double seconds = number_of(answer, "seconds"), asked = 0;
	json_t *rows = json_array(), *value;
	const char *reason;
	size_t i;

	if (!(seconds > 0))
		seconds = 1;
	json_object_foreach(json_object_get(answer, "totals"), reason, value) {
		if (json_array_size(rows) == 8)
			break;
		add_total(rows, reason, value, seconds, &asked);
	}
	add(rows,
	    json_sprintf("%10s %6s %10s %s", "EXITS/s", "%", "PID", "REASON AT: TASK CGROUP"));
	json_array_foreach(json_object_get(answer, "rows"), i, value) {
		if (i == ROWS_MAX)
			break;
		add_row(rows, value, seconds, asked);
	}
	return rows;
}

/* One watch. @screen may be NULL: rows go to standard output. */
static int show_one(const char *name, json_t *request, struct top_screen *screen, struct error *err)
{
	json_int_t seconds = json_integer_value(json_object_get(request, "seconds"));
	json_t *answer = NULL, *rows, *row;
	struct client client;
	size_t i;
	int status = client_open(&client, name, err);

	if (status < 0)
		return status;
	status = client_call(&client, "exits", json_copy(request),
			     (unsigned)seconds * 1000 + CLIENT_TIMEOUT_MS, &answer, err);
	client_close(&client);
	if (status < 0)
		return status;
	rows = exits_live_rows(answer);
	if (screen)
		top_screen_draw(screen, rows);
	else
		json_array_foreach(rows, i, row)
			output_line("%s", json_string_value(row));
	json_decref(rows);
	json_decref(answer);
	return 0;
}

int exits_live(const char *name, json_t *request, struct error *err)
{
	json_t *watch = json_copy(request), *waiting;
	struct top_screen *screen;
	int status = 0;

	if (!json_object_get(watch, "seconds"))
		json_object_set_new(watch, "seconds", json_integer(SECONDS_DEFAULT));
	if (!isatty(STDOUT_FILENO) || !isatty(STDIN_FILENO)) {
		status = show_one(name, watch, NULL, err);
		json_decref(watch);
		return status;
	}
	screen = top_screen_open(err);
	if (!screen)
		status = -ENOTSUP;
	waiting = json_pack("[s]", "counting; q ends it after the next view, control-C at once");
	if (screen)
		top_screen_draw(screen, waiting);
	json_decref(waiting);
	/* A VM that answers before its time costs no more than a few views a second. */
	while (status == 0 && top_screen_key(screen, PAUSE_MS) != 'q')
		status = show_one(name, watch, screen, err);
	top_screen_close(screen);
	json_decref(watch);
	return status;
}
