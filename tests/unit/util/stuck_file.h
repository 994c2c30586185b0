/* SPDX-License-Identifier: BSD-2-Clause */
/* A file on a host disk that hangs: while it is held, write(2) to it by this process waits. */
#ifndef TESTS_UNIT_UTIL_STUCK_FILE_H
#define TESTS_UNIT_UTIL_STUCK_FILE_H

#include <stdbool.h>

/* Holds up the writes to the file @path from now on. One file at a time. */
void stuck_file_hold(const char *path);
/* Waits until a thread is in such a write; false after 10 s. */
bool stuck_file_reached(void);
void stuck_file_release(void);

#endif
