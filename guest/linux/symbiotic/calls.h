/* SPDX-License-Identifier: GPL-2.0-only */
/* The calls that this module answers itself: one line for each, one file for each. */
#ifndef SYMBIOTIC_CALLS_H
#define SYMBIOTIC_CALLS_H

#include "symbiotic.h"

extern const struct symbiotic_call sym_call_ping;
extern const struct symbiotic_call sym_call_safepoint_ping;
extern const struct symbiotic_call sym_call_whoami;
extern const struct symbiotic_call sym_call_meminfo;
extern const struct symbiotic_call sym_call_stack;
extern const struct symbiotic_call sym_call_tasks;

#endif
