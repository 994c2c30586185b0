/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The calls that this module answers itself. A file call_NAME.c answers one or a few of them:
 *
 *	SYM_CALLS(NAME) = {
 *		{ .number = SYM_CALL_..., .name = "...", .owner = THIS_MODULE, .handler = ... },
 *		{},
 *	};
 *
 * Kbuild finds the file by its name. It links the file, keeps the function tracer out of it, and
 * lists NAME in call_files.h, from which call_table.c makes the table. Nothing else names the file.
 */
#ifndef SYMBIOTIC_CALLS_H
#define SYMBIOTIC_CALLS_H

#include "symbiotic.h"

#define SYM_CALLS(file)                                        \
	extern const struct symbiotic_call sym_calls_##file[]; \
	const struct symbiotic_call sym_calls_##file[]

#endif
