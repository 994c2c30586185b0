// SPDX-License-Identifier: BSD-2-Clause
#include "util/serialize.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

void serialize_writer_free(struct serialize_writer *writer)
{
	free(writer->data);
	memset(writer, 0, sizeof(*writer));
}

void serialize_put_bytes(struct serialize_writer *writer, const void *data, size_t length)
{
	if (writer->status < 0 || length == 0)
		return;
	if (length > writer->capacity - writer->length) {
		size_t capacity = (writer->length + length) * 2;
		uint8_t *grown = realloc(writer->data, capacity);

		if (!grown) {
			writer->status = -ENOMEM;
			return;
		}
		writer->data = grown;
		writer->capacity = capacity;
	}
	memcpy(writer->data + writer->length, data, length);
	writer->length += length;
}

void serialize_put_u8(struct serialize_writer *writer, uint8_t value)
{
	serialize_put_bytes(writer, &value, sizeof(value));
}

void serialize_put_u16(struct serialize_writer *writer, uint16_t value)
{
	value = htole16(value);
	serialize_put_bytes(writer, &value, sizeof(value));
}

void serialize_put_u32(struct serialize_writer *writer, uint32_t value)
{
	value = htole32(value);
	serialize_put_bytes(writer, &value, sizeof(value));
}

void serialize_put_u64(struct serialize_writer *writer, uint64_t value)
{
	value = htole64(value);
	serialize_put_bytes(writer, &value, sizeof(value));
}

void serialize_get_bytes(struct serialize_reader *reader, void *data, size_t length)
{
	if (reader->status < 0 || length > reader->length - reader->offset) {
		reader->status = -EINVAL;
		memset(data, 0, length);
		return;
	}
	memcpy(data, reader->data + reader->offset, length);
	reader->offset += length;
}

uint8_t serialize_get_u8(struct serialize_reader *reader)
{
	uint8_t value;

	serialize_get_bytes(reader, &value, sizeof(value));
	return value;
}

uint16_t serialize_get_u16(struct serialize_reader *reader)
{
	uint16_t value;

	serialize_get_bytes(reader, &value, sizeof(value));
	return le16toh(value);
}

uint32_t serialize_get_u32(struct serialize_reader *reader)
{
	uint32_t value;

	serialize_get_bytes(reader, &value, sizeof(value));
	return le32toh(value);
}

uint64_t serialize_get_u64(struct serialize_reader *reader)
{
	uint64_t value;

	serialize_get_bytes(reader, &value, sizeof(value));
	return le64toh(value);
}
