/* SPDX-License-Identifier: BSD-2-Clause */
/* Figures as people read them. */
#ifndef SYMVM_COMMANDS_FORMAT_H
#define SYMVM_COMMANDS_FORMAT_H

#include <stddef.h>
#include <stdint.h>

/* Bytes as "512 MiB" or "1.5 GiB". */
void format_size(char *text, size_t size, uint64_t bytes);
/* Seconds as "12.3s", "5m 12s", "3h 2m" or "4d 7h". */
void format_duration(char *text, size_t size, double seconds);

#endif
