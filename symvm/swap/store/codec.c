// SPDX-License-Identifier: BSD-2-Clause
#include "swap/store/codec.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/dlopen.h"

#define LZ4_LIBRARY  "liblz4.so.1"
#define ZSTD_LIBRARY "libzstd.so.1"
#define ZSTD_LEVEL   1

struct swap_codec {
	const struct swap_codec_library *library;
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

int swap_codec_load(enum swap_codec_kind kind, struct swap_codec_library *library,
		    struct error *err)
{
	static const struct dlopen_function lz4[] = {
#define LZ4_ENTRY(name) {"LZ4_" #name, offsetof(struct swap_codec_library, lz4.name)},
		LZ4_FUNCTIONS(LZ4_ENTRY)
#undef LZ4_ENTRY
	};
	static const struct dlopen_function zstd[] = {
#define ZSTD_ENTRY(name) {"ZSTD_" #name, offsetof(struct swap_codec_library, zstd.name)},
		ZSTD_FUNCTIONS(ZSTD_ENTRY)
#undef ZSTD_ENTRY
	};

	library->kind = kind;
	switch (kind) {
	case SWAP_CODEC_LZ4:
		return dlopen_load(LZ4_LIBRARY, lz4, sizeof(lz4) / sizeof(lz4[0]), library,
				   "--swap: compress=lz4", err);
	case SWAP_CODEC_ZSTD:
		return dlopen_load(ZSTD_LIBRARY, zstd, sizeof(zstd) / sizeof(zstd[0]), library,
				   "--swap: compress=zstd", err);
	default:
		return 0;
	}
}

struct swap_codec *swap_codec_create(const struct swap_codec_library *library)
{
	struct swap_codec *codec = calloc(1, sizeof(*codec));

	if (!codec)
		return NULL;
	codec->library = library;
	if (library->kind == SWAP_CODEC_LZ4)
		codec->lz4 = malloc((size_t)library->lz4.sizeofState());
	if (library->kind == SWAP_CODEC_ZSTD) {
		codec->compress = library->zstd.createCCtx();
		codec->expand = library->zstd.createDCtx();
	}
	if ((library->kind == SWAP_CODEC_LZ4 && !codec->lz4) ||
	    (library->kind == SWAP_CODEC_ZSTD && (!codec->compress || !codec->expand))) {
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
	if (codec->library->kind == SWAP_CODEC_ZSTD) {
		codec->library->zstd.freeCCtx(codec->compress);
		codec->library->zstd.freeDCtx(codec->expand);
	}
	free(codec);
}

size_t swap_codec_compress(struct swap_codec *codec, const void *data, size_t size, void *out,
			   size_t room)
{
	const struct swap_codec_library *library = codec->library;
	size_t length = 0;
	int written;

	switch (library->kind) {
	case SWAP_CODEC_LZ4:
		written = library->lz4.compress_fast_extState(codec->lz4, data, out, (int)size,
							      (int)room, 1);
		return written > 0 ? (size_t)written : 0;
	case SWAP_CODEC_ZSTD:
		length = library->zstd.compressCCtx(codec->compress, out, room, data, size,
						    ZSTD_LEVEL);
		return library->zstd.isError(length) ? 0 : length;
	default:
		return 0;
	}
}

int swap_codec_expand(struct swap_codec *codec, const void *data, size_t length, void *out,
		      size_t size)
{
	const struct swap_codec_library *library = codec->library;
	size_t got = 0;
	int read;

	switch (library->kind) {
	case SWAP_CODEC_LZ4:
		read = library->lz4.decompress_safe(data, out, (int)length, (int)size);
		got = read > 0 ? (size_t)read : 0;
		break;
	case SWAP_CODEC_ZSTD:
		got = library->zstd.decompressDCtx(codec->expand, out, size, data, length);
		break;
	default:
		break;
	}
	return got == size ? 0 : -EIO;
}
