/* SPDX-License-Identifier: BSD-2-Clause */
/* Arithmetic on 64-bit numbers: sizes, addresses, amounts. Any thread. */
#ifndef SYMVM_UTIL_U64_H
#define SYMVM_UTIL_U64_H

#include <stdint.h>

static inline uint64_t u64_min(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static inline uint64_t u64_max(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* The least multiple of @unit, which is not 0, that is at least @value. It must fit in 64 bits. */
static inline uint64_t u64_round_up(uint64_t value, uint64_t unit)
{
	return (value + unit - 1) / unit * unit;
}

#endif
