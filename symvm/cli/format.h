/* SPDX-License-Identifier: BSD-2-Clause */
/* Figures in the form that people read. Each writes to @text, at most @size bytes. Any thread. */
#ifndef SYMVM_CLI_FORMAT_H
#define SYMVM_CLI_FORMAT_H

#include <stddef.h>
#include <stdint.h>

/* Bytes as "512 MiB" or "1.5 GiB". */
void format_size(char *text, size_t size, uint64_t bytes);
/* A count as "1,234,567". @size: 28 at least. */
void format_count(char *text, size_t size, int64_t count);
/* Nanoseconds as "1.234 ms" or "12.345 s". */
void format_nanoseconds(char *text, size_t size, int64_t ns);
/* Seconds as "12.3s", "5m 12s", "3h 2m" or "4d 7h". Takes any value, also NaN. */
void format_duration(char *text, size_t size, double seconds);

#endif
