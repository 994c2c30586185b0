/* SPDX-License-Identifier: BSD-2-Clause */
/* A hash for tables and names. Not for secrets: whoever chooses the bytes can choose the hash. */
#ifndef SYMVM_UTIL_HASH_H
#define SYMVM_UTIL_HASH_H

#include <stddef.h>
#include <stdint.h>

/* FNV-1a of 64 bits (RFC 9923). Any thread. */
static inline uint64_t hash_bytes(const void *data, size_t length)
{
	const uint8_t *bytes = data;
	uint64_t value = 0xcbf29ce484222325;

	for (size_t i = 0; i < length; i++)
		value = (value ^ bytes[i]) * 0x100000001b3;
	return value;
}

#endif
