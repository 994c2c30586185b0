/* SPDX-License-Identifier: BSD-2-Clause */
/* `symvm exits --live`: the exits of the last seconds, again and again. */
#ifndef SYMVM_CLI_EXITS_LIVE_H
#define SYMVM_CLI_EXITS_LIVE_H

#include <jansson.h>

#include "util/error.h"

/*
 * Watches the VM @name by @request (borrowed; without "seconds": 2) and shows each answer: on a
 * terminal on the whole screen until the user types q, elsewhere one view as rows. 0, or -errno
 * with words. One thread.
 */
int exits_live(const char *name, json_t *request, struct error *err);

/*
 * The rows that show @answer (borrowed), the highest count first. Each is raw, and text from the VM
 * is the last of its row. New reference to an array of strings. Any thread.
 */
json_t *exits_live_rows(json_t *answer);

#endif
