/* SPDX-License-Identifier: BSD-2-Clause */
/* The terminal's whole screen, by ncurses. One at a time; one thread. */
#ifndef SYMVM_CLI_TOP_SCREEN_H
#define SYMVM_CLI_TOP_SCREEN_H

#include <jansson.h>

#include "util/error.h"

struct top_screen;

/*
 * Takes the terminal of standard input and output. Control-C and SIGTERM give it back and end the
 * process. NULL, with words, if the terminal's type is not known.
 */
struct top_screen *top_screen_open(struct error *err);
/* Gives the terminal back. @screen may be NULL. */
void top_screen_close(struct top_screen *screen);
/* The rows that the terminal has now. */
unsigned top_screen_height(const struct top_screen *screen);
/*
 * Shows @rows, an array of raw strings. Each is escaped and cut at the edge, and those that do not
 * fit are left out.
 */
void top_screen_draw(struct top_screen *screen, json_t *rows);
/* Waits at most @timeout_ms for a key. 0: no key; -1: the terminal's size changed, or it is gone.
 */
int top_screen_key(struct top_screen *screen, unsigned timeout_ms);

#endif
