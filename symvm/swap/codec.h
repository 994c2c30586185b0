/* SPDX-License-Identifier: BSD-2-Clause */
/* Compression of one slot. */
#ifndef SYMVM_SWAP_CODEC_H
#define SYMVM_SWAP_CODEC_H

#include <stddef.h>
#include <stdint.h>

enum swap_codec_kind { SWAP_CODEC_NONE, SWAP_CODEC_LZ4, SWAP_CODEC_ZSTD };

/* State of one thread's compression; not to be used by two threads at once. */
struct swap_codec;

/* "none", "lz4" or "zstd"; -EINVAL. */
int swap_codec_parse(const char *text, enum swap_codec_kind *kind);
const char *swap_codec_name(enum swap_codec_kind kind);

/* NULL when out of memory. */
struct swap_codec *swap_codec_create(enum swap_codec_kind kind);
void swap_codec_destroy(struct swap_codec *codec);

/* Compresses @size bytes into at most @room bytes; their number, or 0: does not fit. */
size_t swap_codec_compress(struct swap_codec *codec, const void *data, size_t size, void *out,
			   size_t room);
/* The reverse; -EIO unless exactly @size bytes come out. */
int swap_codec_expand(struct swap_codec *codec, const void *data, size_t length, void *out,
		      size_t size);

#endif
