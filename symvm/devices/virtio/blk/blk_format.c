// SPDX-License-Identifier: BSD-2-Clause
#include "devices/virtio/blk/blk_format.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BLOCK_SIZE     4096u /* size and alignment of a read: the file may be open for direct I/O */
#define HEAD_SIZE      512u
#define TAIL_SIZE      512u
#define PATH_MAX_SHOWN 120u

struct format {
	const char *name;
	/* The command that makes it raw; %s: the file. QEMU's name of the format in "convert". */
	const char *convert;
	const char *command;
	bool tail;	 /* the magic is in the last 512 bytes */
	bool anywhere;	 /* within them; offset is 0 */
	unsigned offset; /* of the magic in the first or last 512 bytes */
	unsigned length;
	const char *magic;
};

#define MAGIC(at, text) .offset = (at), .length = sizeof(text) - 1, .magic = (text)
#define IMAGE(is, format, at, text)                            \
	{                                                      \
		.name = is, .convert = format, MAGIC(at, text) \
	}
#define FOOTER(is, format, at, text)                                         \
	{                                                                    \
		.name = is, .convert = format, .tail = true, MAGIC(at, text) \
	}
#define PACKED(is, unpack, at, text)                           \
	{                                                      \
		.name = is, .command = unpack, MAGIC(at, text) \
	}

/* From the formats' specifications and the probe functions of QEMU's block drivers. */
static const struct format formats[] = {
	IMAGE("a qcow image", "qcow", 0, "QFI\xfb\0\0\0\1"),
	IMAGE("a qcow2 image", "qcow2", 0, "QFI\xfb"),
	IMAGE("a VMDK image", "vmdk", 0, "KDMV"),
	IMAGE("a VMDK image", "vmdk", 0, "COWD"),
	IMAGE("a VMDK image (SE sparse)", "vmdk", 0, "\xbe\xba\xfe\xca\0\0\0\0"),
	{
		.name = "the descriptor of a VMDK image",
		.convert = "vmdk",
		.anywhere = true,
		MAGIC(0, "# Disk DescriptorFile"),
	},
	IMAGE("a VHDX image", "vhdx", 0, "vhdxfile"),
	IMAGE("a VHD image", "vpc", 0, "conectix"),
	FOOTER("a VHD image of fixed size", "vpc", 0, "conectix"),
	FOOTER("a VHD image of fixed size", "vpc", 1, "conectix"), /* its footer has 511 bytes */
	IMAGE("a VDI image", "vdi", 64, "\x7f\x10\xda\xbe"),
	IMAGE("a QED image", "qed", 0, "QED\0"),
	IMAGE("a Parallels image", "parallels", 0, "WithoutFreeSpace"),
	IMAGE("a Parallels image", "parallels", 0, "WithouFreSpacExt"),
	IMAGE("a Bochs image", "bochs", 0, "Bochs Virtual HD Image"),
	IMAGE("a cloop image", "cloop", 0, "#!/bin/sh\n#V2.0 Format\nmodprobe cloop"),
	FOOTER("a DMG image", "dmg", 0, "koly"),
	PACKED("compressed by gzip", "gunzip", 0, "\x1f\x8b\x08"),
	PACKED("compressed by xz", "unxz", 0, "\xfd\x37zXZ\0"),
	PACKED("compressed by zstd", "unzstd", 0, "\x28\xb5\x2f\xfd"),
	PACKED("compressed by bzip2", "bunzip2", 4, "1AY&SY"),
	PACKED("compressed by lz4", "unlz4", 0, "\x04\x22\x4d\x18"),
	PACKED("compressed by lzip", "lunzip", 0, "LZIP\1"),
	PACKED("a ZIP archive", "unzip", 0, "PK\3\4"),
	PACKED("a 7z archive", "7z x", 0, "7z\xbc\xaf\x27\x1c"),
	PACKED("an Android sparse image", "simg2img", 0, "\x3a\xff\x26\xed"),
	PACKED("a VMA archive", "vma extract", 0, "VMA\0"),
};

/* The path as an argument of a shell command, or a word for it if it is too long or has a quote. */
static const char *shown(const char *path, char *text, size_t size)
{
	if (strlen(path) > PATH_MAX_SHOWN || strchr(path, '\''))
		return "FILE";
	snprintf(text, size, strpbrk(path, " \t\n\"$&;<>()|*?[]#~`\\!{}") ? "'%s'" : "%s", path);
	return text;
}

static int refuse(const struct format *format, const char *path, struct error *err)
{
	char text[PATH_MAX_SHOWN + 3];
	const char *file = shown(path, text, sizeof(text));

	if (format->command)
		return error_set(
			err, -EMEDIUMTYPE,
			"disk %s: it is %s, and symvm takes raw images: unpack it (%s %s), "
			"or add ',format=raw' to give the guest the bytes as they are",
			path, format->name, format->command, file);
	return error_set(
		err, -EMEDIUMTYPE,
		"disk %s: it is %s, and symvm takes raw images: convert it (qemu-img "
		"convert -f %s -O raw %s disk.raw), or add ',format=raw' to give the guest "
		"the bytes as they are",
		path, format->name, format->convert, file);
}

/* The first or last bytes of a file. */
struct part {
	char bytes[2 * BLOCK_SIZE] __attribute__((aligned(BLOCK_SIZE)));
	const char *start;
	size_t length;
};

static bool matches(const struct format *format, const struct part *part)
{
	const char *block = part->start;
	size_t length = part->length;

	if (format->anywhere)
		return length && memmem(block, length, format->magic, format->length);
	return format->offset + format->length <= length &&
	       memcmp(block + format->offset, format->magic, format->length) == 0;
}

/*
 * Reads up to @length bytes at @offset. An error of the disk is reported when the guest reads; here
 * it means that no format is recognised.
 */
static void part_read(int fd, uint64_t offset, size_t length, struct part *part)
{
	size_t skip = offset % BLOCK_SIZE;
	ssize_t count = pread(fd, part->bytes, sizeof(part->bytes), (off_t)(offset - skip));

	part->start = part->bytes + skip;
	part->length = count > (ssize_t)skip ? (size_t)count - skip : 0;
	if (part->length > length)
		part->length = length;
}

int blk_format_check(int fd, uint64_t size, const char *path, struct error *err)
{
	struct part head, tail = {.length = 0};

	part_read(fd, 0, HEAD_SIZE, &head);
	if (size >= TAIL_SIZE)
		part_read(fd, size - TAIL_SIZE, TAIL_SIZE, &tail);
	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++)
		if (matches(&formats[i], formats[i].tail ? &tail : &head))
			return refuse(&formats[i], path, err);
	return 0;
}
