/* SPDX-License-Identifier: BSD-2-Clause */
/* A view of top_model.h as rows of text. */
#ifndef SYMVM_CLI_TOP_ROWS_H
#define SYMVM_CLI_TOP_ROWS_H

#include <jansson.h>

/*
 * The rows that show @view (borrowed) to a person, the most important first. Each is raw: show it
 * by output_line() or top_screen_draw(), which escape it. Text of a guest is always the last of its
 * row, so it cannot move other columns. New reference to an array of strings. Any thread.
 */
json_t *top_rows(json_t *view);

#endif
