// SPDX-License-Identifier: BSD-2-Clause
#include "swap/codec.h"

#include <errno.h>
#include <lz4.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#define ZSTD_LEVEL 1

struct swap_codec {
	enum swap_codec_kind kind;
	void *lz4; /* on the heap: threads have small stacks */
	ZSTD_CCtx *compress;
	ZSTD_DCtx *expand;
};

static const char *const names[] = {
	[SWAP_CODEC_NONE] = "none",
	[SWAP_CODEC_LZ4] = "lz4",
	[SWAP_CODEC_ZSTD] = "zstd",
};

int swap_codec_parse(const char *text, enum swap_codec_kind *kind)
{
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(text, names[i]) == 0) {
			*kind = (enum swap_codec_kind)i;
			return 0;
		}
	}
	return -EINVAL;
}

const char *swap_codec_name(enum swap_codec_kind kind)
{
	return names[kind];
}

struct swap_codec *swap_codec_create(enum swap_codec_kind kind)
{
	struct swap_codec *codec = calloc(1, sizeof(*codec));

	if (!codec)
		return NULL;
	codec->kind = kind;
	if (kind == SWAP_CODEC_LZ4)
		codec->lz4 = malloc((size_t)LZ4_sizeofState());
	if (kind == SWAP_CODEC_ZSTD) {
		codec->compress = ZSTD_createCCtx();
		codec->expand = ZSTD_createDCtx();
	}
	if ((kind == SWAP_CODEC_LZ4 && !codec->lz4) ||
	    (kind == SWAP_CODEC_ZSTD && (!codec->compress || !codec->expand))) {
		swap_codec_destroy(codec);
		return NULL;
	}
	return codec;
}

void swap_codec_destroy(struct swap_codec *codec)
{
	if (!codec)
		return;
	free(codec->lz4);
	ZSTD_freeCCtx(codec->compress);
	ZSTD_freeDCtx(codec->expand);
	free(codec);
}

size_t swap_codec_compress(struct swap_codec *codec, const void *data, size_t size, void *out,
			   size_t room)
{
	size_t length = 0;
	int written;

	switch (codec->kind) {
	case SWAP_CODEC_LZ4:
		written = LZ4_compress_fast_extState(codec->lz4, data, out, (int)size, (int)room,
						     1);
		return written > 0 ? (size_t)written : 0;
	case SWAP_CODEC_ZSTD:
		length = ZSTD_compressCCtx(codec->compress, out, room, data, size, ZSTD_LEVEL);
		return ZSTD_isError(length) ? 0 : length;
	default:
		return 0;
	}
}

int swap_codec_expand(struct swap_codec *codec, const void *data, size_t length, void *out,
		      size_t size)
{
	size_t got = 0;
	int read;

	switch (codec->kind) {
	case SWAP_CODEC_LZ4:
		read = LZ4_decompress_safe(data, out, (int)length, (int)size);
		got = read > 0 ? (size_t)read : 0;
		break;
	case SWAP_CODEC_ZSTD:
		got = ZSTD_decompressDCtx(codec->expand, out, size, data, length);
		break;
	default:
		break;
	}
	return got == size ? 0 : -EIO;
}
