/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Saved device state: a flat, bounds-checked byte stream. Fixed-width little-endian values in the
 * order in which they were put. Loaded data is untrusted.
 */
#ifndef SYMVM_UTIL_SERIALIZE_H
#define SYMVM_UTIL_SERIALIZE_H

#include <stddef.h>
#include <stdint.h>

struct serialize_writer {
	uint8_t *data; /* owned by the writer; serialize_writer_free() */
	size_t length;
	size_t capacity;
	int status; /* first failure, sticky */
};

struct serialize_reader {
	const uint8_t *data;
	size_t length;
	size_t offset;
	int status; /* -EINVAL once something was missing, sticky */
};

void serialize_writer_free(struct serialize_writer *writer);
void serialize_put_u8(struct serialize_writer *writer, uint8_t value);
void serialize_put_u16(struct serialize_writer *writer, uint16_t value);
void serialize_put_u32(struct serialize_writer *writer, uint32_t value);
void serialize_put_u64(struct serialize_writer *writer, uint64_t value);
void serialize_put_bytes(struct serialize_writer *writer, const void *data, size_t length);

/* Each returns 0 and sets the sticky status when the stream is too short. */
uint8_t serialize_get_u8(struct serialize_reader *reader);
uint16_t serialize_get_u16(struct serialize_reader *reader);
uint32_t serialize_get_u32(struct serialize_reader *reader);
uint64_t serialize_get_u64(struct serialize_reader *reader);
void serialize_get_bytes(struct serialize_reader *reader, void *data, size_t length);

#endif
