/* SPDX-License-Identifier: BSD-2-Clause */
/* Compression of one slot. */
#ifndef SYMVM_SWAP_STORE_CODEC_H
#define SYMVM_SWAP_STORE_CODEC_H

#include <lz4.h>
#include <stddef.h>
#include <stdint.h>
#include <zstd.h>

#include "util/error.h"

enum swap_codec_kind { SWAP_CODEC_NONE, SWAP_CODEC_LZ4, SWAP_CODEC_ZSTD };

/* The functions used of each library, without its prefix. */
#define LZ4_FUNCTIONS(each) each(sizeofState) each(compress_fast_extState) each(decompress_safe)
#define ZSTD_FUNCTIONS(each)                                                               \
	each(createCCtx) each(createDCtx) each(freeCCtx) each(freeDCtx) each(compressCCtx) \
		each(decompressDCtx) each(isError)

/* A codec, and the functions of its library (those of the other one are not set). */
struct swap_codec_library {
	enum swap_codec_kind kind;
	struct {
#define LZ4_POINTER(name) __typeof__(&LZ4_##name) name;
		LZ4_FUNCTIONS(LZ4_POINTER)
#undef LZ4_POINTER
	} lz4;
	struct {
#define ZSTD_POINTER(name) __typeof__(&ZSTD_##name) name;
		ZSTD_FUNCTIONS(ZSTD_POINTER)
#undef ZSTD_POINTER
	} zstd;
};

/* State of one thread's compression; not to be used by two threads at once. */
struct swap_codec;

/* Parses "none", "lz4" or "zstd"; -EINVAL. */
int swap_codec_parse(const char *text, enum swap_codec_kind *kind);
const char *swap_codec_name(enum swap_codec_kind kind);

/* Loads the library that @kind needs. Before the jail closes. -ENOENT: it is not installed. */
int swap_codec_load(enum swap_codec_kind kind, struct swap_codec_library *library,
		    struct error *err);

/* NULL when out of memory. @library must outlive it. */
struct swap_codec *swap_codec_create(const struct swap_codec_library *library);
void swap_codec_destroy(struct swap_codec *codec);

/*
 * Compresses @size bytes into at most @room bytes. Returns their number, or 0 if they do not fit.
 */
size_t swap_codec_compress(struct swap_codec *codec, const void *data, size_t size, void *out,
			   size_t room);
/* The reverse; -EIO unless exactly @size bytes come out. */
int swap_codec_expand(struct swap_codec *codec, const void *data, size_t length, void *out,
		      size_t size);

#endif
