// SPDX-License-Identifier: BSD-2-Clause
/* The terminal's whole screen, by ncurses, which is linked statically. */
#include "cli/top_screen.h"

#include <curses.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "util/text.h"

#define COLUMNS_MIN 4 /* of text_escape() */

struct top_screen {
	SCREEN *terminal;
};

struct top_screen *top_screen_open(struct error *err)
{
	struct top_screen *screen = calloc(1, sizeof(*screen));

	/* initscr() would end the process. */
	if (screen)
		screen->terminal = newterm(NULL, stdout, stdin);
	if (!screen || !screen->terminal) {
		const char *type = getenv("TERM");

		error_set(err, -ENOTSUP, "the terminal's type '%s' is not known; use --batch",
			  type ? type : "");
		free(screen);
		return NULL;
	}
	cbreak();
	noecho();
	keypad(stdscr, TRUE);
	curs_set(0);
	return screen;
}

void top_screen_close(struct top_screen *screen)
{
	if (!screen)
		return;
	endwin();
	delscreen(screen->terminal);
	free(screen);
}

unsigned top_screen_height(const struct top_screen *screen)
{
	int height = screen ? getmaxy(stdscr) : 0;

	return height > 0 ? (unsigned)height : 1;
}

void top_screen_draw(struct top_screen *screen, json_t *rows)
{
	int height = getmaxy(stdscr), width = getmaxx(stdscr);
	json_t *row;
	size_t i;

	if (!screen)
		return;
	erase();
	json_array_foreach(rows, i, row) {
		const char *raw = json_string_value(row);
		/* A character has at most 4 bytes. */
		size_t size = 4 * (size_t)width + 16;
		char *safe = raw ? malloc(size) : NULL;

		if ((int)i >= height || width < COLUMNS_MIN) {
			free(safe);
			break;
		}
		if (safe) {
			text_escape(safe, size, raw, strlen(raw), (size_t)width, 0);
			mvaddstr((int)i, 0, safe);
		}
		free(safe);
	}
	refresh();
}

int top_screen_key(struct top_screen *screen, unsigned timeout_ms)
{
	int key;

	if (!screen)
		return -1;
	timeout(timeout_ms > INT32_MAX ? INT32_MAX : (int)timeout_ms);
	key = getch();
	if (key == ERR)
		return 0;
	return key == KEY_RESIZE ? -1 : key;
}
