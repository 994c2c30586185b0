/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Messages to the VMM's standard error: one line each, "symvm-preload: ...". The guest can cause
 * some of them, and a full pipe would hold up a vCPU. So no process writes more than
 * PRELOAD_LINES_MAX lines of at most PRELOAD_LINE_MAX bytes, which an empty pipe takes. Any thread.
 */
#ifndef PRELOAD_SAY_H
#define PRELOAD_SAY_H

#define PRELOAD_LINES_MAX 100u
#define PRELOAD_LINE_MAX  300u

void preload_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
