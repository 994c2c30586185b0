// SPDX-License-Identifier: BSD-2-Clause
#include "devices/virtio/blk/blk_bounce.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#define BOUNCE_SIZE (1u << 18)

void blk_operation_advance(struct blk_operation *operation, uint64_t bytes)
{
	operation->offset += bytes;
	operation->length -= bytes;
	while (bytes && operation->count) {
		size_t part = operation->iov->iov_len;

		if (bytes < part) {
			operation->iov->iov_base = (char *)operation->iov->iov_base + bytes;
			operation->iov->iov_len -= bytes;
			return;
		}
		bytes -= part;
		operation->iov++;
		operation->count--;
	}
}

static bool is_write(const struct blk_operation *operation)
{
	return operation->kind == BLK_WRITE || operation->writes_zeroes;
}

bool blk_bounce_excludes(const struct blk_access *access, const struct blk_operation *operation)
{
	return is_write(operation) &&
	       ((operation->offset | operation->length) & (access->offset_align - 1));
}

bool blk_bounce_needed(const struct blk_access *access, const struct blk_operation *operation)
{
	uint64_t offset = operation->offset | operation->length;
	uintptr_t memory = 0;

	if (operation->kind != BLK_READ && !is_write(operation))
		return false;
	for (unsigned i = 0; i < operation->count; i++) {
		memory |= (uintptr_t)operation->iov[i].iov_base;
		offset |= operation->iov[i].iov_len;
	}
	return (offset & (access->offset_align - 1)) || (memory & (access->memory_align - 1));
}

static void call_set(struct blk_bounce *bounce, struct blk_operation *operation,
		     enum blk_call_kind kind)
{
	bounce->iov = (struct iovec){bounce->buffer, bounce->length};
	operation->call = (struct blk_call){.kind = kind,
					    .iov = &bounce->iov,
					    .count = 1,
					    .offset = bounce->start,
					    .length = bounce->length};
}

/* Copies the bytes of this piece between the operation and the buffer. */
static void piece_copy(struct blk_bounce *bounce, const struct blk_operation *operation, bool in)
{
	uint8_t *buffer = bounce->buffer + bounce->skip;
	uint64_t left = bounce->bytes;

	if (operation->writes_zeroes) {
		memset(buffer, 0, left);
		return;
	}
	for (unsigned i = 0; i < operation->count && left; i++) {
		const struct iovec *part = &operation->iov[i];
		size_t length = part->iov_len < left ? part->iov_len : left;

		if (in)
			memcpy(buffer, part->iov_base, length);
		else
			memcpy(part->iov_base, buffer, length);
		buffer += length;
		left -= length;
	}
}

static int buffer_get(struct blk_bounce *bounce)
{
	void *buffer;

	if (bounce->buffer)
		return 0;
	/* Whole pages, which are aligned for any device. */
	buffer = mmap(NULL, BOUNCE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		      0);
	if (buffer == MAP_FAILED)
		return -ENOMEM;
	bounce->buffer = buffer;
	return 0;
}

int blk_bounce_begin(struct blk_bounce *bounce, const struct blk_access *access,
		     struct blk_operation *operation)
{
	uint64_t mask = access->offset_align - 1, end;

	if (buffer_get(bounce) < 0)
		return -ENOMEM;
	bounce->start = operation->offset & ~mask;
	bounce->skip = operation->offset - bounce->start;
	bounce->bytes = BOUNCE_SIZE - bounce->skip;
	if (bounce->bytes > operation->length)
		bounce->bytes = operation->length;
	end = (operation->offset + bounce->bytes + mask) & ~mask;
	bounce->length = end - bounce->start;
	bounce->reading = is_write(operation) && bounce->length != bounce->bytes;
	if (operation->kind == BLK_READ || bounce->reading) {
		call_set(bounce, operation, BLK_CALL_READ);
		return 0;
	}
	piece_copy(bounce, operation, true);
	call_set(bounce, operation, BLK_CALL_WRITE);
	return 0;
}

int blk_bounce_continue(struct blk_bounce *bounce, struct blk_operation *operation, int result)
{
	uint64_t wanted = bounce->reading || is_write(operation) ? bounce->length
								 : bounce->skip + bounce->bytes;

	/* A truncated file gives less. A short write means a full host: report it as such. */
	if ((uint64_t)result < wanted)
		return is_write(operation) && !bounce->reading ? -ENOSPC : -EIO;
	if (bounce->reading) {
		bounce->reading = false;
		piece_copy(bounce, operation, true);
		call_set(bounce, operation, BLK_CALL_WRITE);
		return 1;
	}
	if (operation->kind == BLK_READ)
		piece_copy(bounce, operation, false);
	blk_operation_advance(operation, bounce->bytes);
	return 0;
}

void blk_bounce_free(struct blk_bounce *bounce)
{
	if (bounce->buffer)
		munmap(bounce->buffer, BOUNCE_SIZE);
}
