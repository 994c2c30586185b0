// SPDX-License-Identifier: BSD-2-Clause
/* Files and block devices that are accepted as a disk, refused ones, and the words for these. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "devices/virtio/blk/blk_image.h"
#include "devices/virtio/blk/blk_probe.h"

#define SIZE (1u << 20)

struct fixture {
	char directory[32];
	char path[64];
	int fd;
	char loop[32]; /* "": none */
	int loop_fd;
	bool mounted;
};

static const struct blk_image_options writer = {0}, reader = {.readonly = true};

static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	strcpy(fixture->directory, "/tmp/symvm-image-XXXXXX");
	assert_non_null(mkdtemp(fixture->directory));
	snprintf(fixture->path, sizeof(fixture->path), "%s/disk", fixture->directory);
	fixture->fd = open(fixture->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fixture->fd >= 0);
	assert_int_equal(ftruncate(fixture->fd, SIZE), 0);
	fixture->loop_fd = -1;
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	if (fixture->mounted)
		umount2("/mnt", MNT_DETACH);
	/* The loop device ends with its last user (LO_FLAGS_AUTOCLEAR). */
	if (fixture->loop_fd >= 0)
		close(fixture->loop_fd);
	close(fixture->fd);
	unlink(fixture->path);
	rmdir(fixture->directory);
	free(fixture);
	return 0;
}

static int try(const char *path, const struct blk_image_options *options, struct error *err)
{
	struct blk_image image;
	int status;

	err->text[0] = '\0';
	status = blk_image_open(&image, path, options, err);
	if (status == 0)
		blk_image_close(&image);
	return status;
}

static void refused(const char *path, const struct blk_image_options *options, int status,
		    const char *word)
{
	struct error err;

	if (try(path, options, &err) != status)
		fail_msg("%s: '%s', and not refused with %d", path, err.text, status);
	if (!strstr(err.text, word) || strchr(err.text, '\n'))
		fail_msg("'%s' does not say '%s'", err.text, word);
}

static void other_formats_are_refused(void **state)
{
	static const struct {
		const char *magic;
		unsigned length;
		int offset; /* negative: from the end */
		const char *word;
	} formats[] = {
		{"QFI\xfb\0\0\0\1", 8, 0, "-f qcow -O raw"},
		{"QFI\xfb\0\0\0\2", 8, 0, "-f qcow2 -O raw"},
		{"QFI\xfb\0\0\0\3", 8, 0, "-f qcow2 -O raw"},
		{"KDMV\1\0\0\0", 8, 0, "-f vmdk"},
		{"COWD\1\0\0\0", 8, 0, "-f vmdk"},
		{"# Disk DescriptorFile\nversion=1\n", 33, 0, "-f vmdk"},
		{"\n\n# Disk DescriptorFile\nversion=1\n", 35, 0, "-f vmdk"},
		{"vhdxfile", 8, 0, "-f vhdx"},
		{"conectix", 8, 0, "-f vpc"},
		{"conectix", 8, -512, "-f vpc"},
		{"conectix", 8, -511, "-f vpc"},
		{"\x7f\x10\xda\xbe", 4, 64, "-f vdi"},
		{"QED\0", 4, 0, "-f qed"},
		{"WithoutFreeSpace", 16, 0, "-f parallels"},
		{"WithouFreSpacExt", 16, 0, "-f parallels"},
		{"koly", 4, -512, "-f dmg"},
		{"\x1f\x8b\x08\0", 4, 0, "gunzip "},
		{"\xfd\x37zXZ\0", 6, 0, "unxz "},
		{"\x28\xb5\x2f\xfd", 4, 0, "unzstd "},
		{"BZh91AY&SY", 10, 0, "bunzip2 "},
		{"\x04\x22\x4d\x18", 4, 0, "unlz4 "},
		{"PK\3\4", 4, 0, "unzip "},
		{"\x3a\xff\x26\xed", 4, 0, "simg2img "},
	};
	const struct blk_image_options raw = {.any_format = true};
	struct fixture *fixture = *state;
	struct error err;
	char zeroes[64] = {0};

	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
		off_t at = formats[i].offset < 0 ? (off_t)SIZE + formats[i].offset
						 : formats[i].offset;

		assert_int_equal(pwrite(fixture->fd, formats[i].magic, formats[i].length, at),
				 formats[i].length);
		refused(fixture->path, &writer, -EMEDIUMTYPE, formats[i].word);
		refused(fixture->path, &reader, -EMEDIUMTYPE, "format=raw");
		refused(fixture->path, &reader, -EMEDIUMTYPE, fixture->path);
		assert_int_equal(try(fixture->path, &raw, &err), 0);
		assert_int_equal(pwrite(fixture->fd, zeroes, formats[i].length, at),
				 formats[i].length);
	}
	/* A small one, as qemu-img makes it, whose end lies in the first block. */
	assert_int_equal(ftruncate(fixture->fd, 1024), 0);
	assert_int_equal(pwrite(fixture->fd, "conectix", 8, 512), 8);
	refused(fixture->path, &writer, -EMEDIUMTYPE, "-f vpc");
}

static void raw_contents_are_taken(void **state)
{
	static const struct {
		const char *bytes;
		unsigned length, offset;
	} contents[] = {
		{"", 0, 0},
		{"\x55\xaa", 2, 510},	/* MBR */
		{"EFI PART", 8, 512},	/* GPT */
		{"LUKS\xba\xbe", 6, 0}, /* an encrypted disk is a raw disk */
		{"\x53\xef", 2, 0x438}, /* ext4 */
		{"XFSB", 4, 0},
		{"hsqs", 4, 0},
		{"CD001", 5, 0x8001},
		{"ustar", 5, 257}, /* a tar file as a tape */
		{"SWAPSPACE2", 10, 4086},
		{"conectix", 8, 4096},
		{"#!/bin/sh\necho hello\n", 21, 0},
	};
	struct fixture *fixture = *state;
	struct error err;

	for (size_t i = 0; i < sizeof(contents) / sizeof(contents[0]); i++) {
		assert_int_equal(ftruncate(fixture->fd, 0), 0);
		assert_int_equal(ftruncate(fixture->fd, SIZE), 0);
		assert_int_equal(pwrite(fixture->fd, contents[i].bytes, contents[i].length,
					contents[i].offset),
				 contents[i].length);
		if (try(fixture->path, &writer, &err) < 0)
			fail_msg("%s", err.text);
	}
}

/* No probe changes the file. */
static void probing_changes_nothing(void **state)
{
	struct fixture *fixture = *state;
	struct blk_image image;
	struct stat before, after;
	struct error err;
	char text[5000], copy[5000];

	memset(text, 'x', sizeof(text));
	assert_int_equal(ftruncate(fixture->fd, 0), 0);
	assert_int_equal(write(fixture->fd, text, sizeof(text)), sizeof(text));
	assert_int_equal(fstat(fixture->fd, &before), 0);
	assert_int_equal(blk_image_open(&image, fixture->path, &writer, &err), 0);
	assert_int_equal(image.bytes, 5000);
	assert_int_equal(image.sectors, 9);
	assert_int_equal(image.block_size, 512);
	assert_int_equal(image.physical_size, 4096);
	blk_image_close(&image);
	assert_int_equal(fstat(fixture->fd, &after), 0);
	assert_int_equal(after.st_size, before.st_size);
	assert_int_equal(after.st_blocks, before.st_blocks);
	assert_int_equal(pread(fixture->fd, copy, sizeof(copy), 0), sizeof(copy));
	assert_memory_equal(copy, text, sizeof(copy));
}

/* A loop device on the fixture's file, in a mount namespace of our own; false: not on this host. */
static bool loop_make(struct fixture *fixture, unsigned block)
{
	struct loop_config config = {.fd = (uint32_t)fixture->fd,
				     .block_size = block,
				     .info.lo_flags = LO_FLAGS_AUTOCLEAR};
	int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC), number;

	if (control < 0 || unshare(CLONE_NEWNS) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return false;
	for (unsigned i = 0; i < 20 && fixture->loop_fd < 0; i++) {
		number = ioctl(control, LOOP_CTL_GET_FREE);
		snprintf(fixture->loop, sizeof(fixture->loop), "/dev/loop%d", number);
		fixture->loop_fd = number < 0 ? -1 : open(fixture->loop, O_RDWR | O_CLOEXEC);
		if (fixture->loop_fd >= 0 && ioctl(fixture->loop_fd, LOOP_CONFIGURE, &config) < 0) {
			close(fixture->loop_fd);
			fixture->loop_fd = -1;
		}
	}
	close(control);
	return fixture->loop_fd >= 0;
}

static bool loop_mount(struct fixture *fixture, const char *make)
{
	char command[128];

	snprintf(command, sizeof(command), "%s %s >/dev/null 2>&1", make, fixture->loop);
	fixture->mounted = system(command) == 0 &&
			   mount(fixture->loop, "/mnt", "ext4", 0, NULL) == 0;
	return fixture->mounted;
}

static void a_device_in_use_is_refused(void **state)
{
	struct fixture *fixture = *state;
	struct blk_image first, second;
	struct error err;

	assert_int_equal(ftruncate(fixture->fd, 8 * SIZE), 0);
	if (!loop_make(fixture, 512))
		skip();
	/* The file behind it is the host's. */
	refused(fixture->path, &writer, -EBUSY, fixture->loop);
	/* One writer, or several readers. */
	assert_int_equal(blk_image_open(&first, fixture->loop, &writer, &err), 0);
	refused(fixture->loop, &writer, -EBUSY, "in use");
	refused(fixture->loop, &reader, -EBUSY, "in use");
	blk_image_close(&first);
	assert_int_equal(blk_image_open(&first, fixture->loop, &reader, &err), 0);
	assert_int_equal(blk_image_open(&second, fixture->loop, &reader, &err), 0);
	refused(fixture->loop, &writer, -EBUSY, "in use");
	blk_image_close(&first);
	blk_image_close(&second);
	if (!loop_mount(fixture, "mkfs.ext4 -q"))
		skip();
	refused(fixture->loop, &writer, -EBUSY, "mounted");
	refused(fixture->loop, &reader, -EBUSY, "mounted");
}

/* A file on a disk of 4096-byte blocks keeps its sectors of 512 bytes for the guest. */
static void direct_keeps_small_sectors(void **state)
{
	const struct blk_image_options direct = {.direct = true};
	struct fixture *fixture = *state;
	struct blk_image image;
	struct error err;
	int fd;

	assert_int_equal(ftruncate(fixture->fd, 32 * SIZE), 0);
	if (!loop_make(fixture, 4096) || !loop_mount(fixture, "mkfs.ext4 -q -b 4096"))
		skip();
	fd = open("/mnt/image", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, SIZE), 0);
	assert_int_equal(blk_image_open(&image, "/mnt/image", &direct, &err), 0);
	assert_int_equal(image.block_size, 512);
	assert_int_equal(image.physical_size, 4096);
	assert_int_equal(image.access.offset_align, 4096);
	assert_int_equal(image.sectors, SIZE / 512);
	blk_image_close(&image);
	/* Its last sector could not be written without making it longer. */
	assert_int_equal(ftruncate(fd, SIZE - 512), 0);
	refused("/mnt/image", &direct, -EINVAL, "multiple of 4096");
	assert_int_equal(try("/mnt/image", &writer, &err), 0);
	close(fd);
	/* The device itself shows its own blocks. */
	umount2("/mnt", MNT_DETACH);
	fixture->mounted = false;
	if (blk_image_open(&image, fixture->loop, &writer, &err) < 0)
		skip(); /* the kernel is not done with the file system */
	assert_int_equal(image.block_size, 4096);
	blk_image_close(&image);
}

static void holes_are_offered_where_there_are_any(void **state)
{
	struct fixture *fixture = *state;
	struct blk_image image;
	struct error err;
	int fd;

	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("ramfs", "/mnt", "ramfs", 0, NULL) < 0)
		skip();
	fixture->mounted = true;
	fd = open("/mnt/image", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(ftruncate(fd, SIZE), 0);
	close(fd);
	assert_int_equal(blk_image_open(&image, "/mnt/image", &writer, &err), 0);
	assert_false(image.can_punch);
	assert_true(image.access.no_punch);
	blk_image_close(&image);
	umount2("/mnt", MNT_DETACH);
	assert_int_equal(mount("tmpfs", "/mnt", "tmpfs", 0, NULL), 0);
	fd = open("/mnt/image", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(ftruncate(fd, SIZE), 0);
	close(fd);
	assert_int_equal(blk_image_open(&image, "/mnt/image", &writer, &err), 0);
	assert_true(image.can_punch);
	blk_image_close(&image);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(other_formats_are_refused),  TEST(raw_contents_are_taken),
		TEST(probing_changes_nothing),	  TEST(a_device_in_use_is_refused),
		TEST(direct_keeps_small_sectors), TEST(holes_are_offered_where_there_are_any),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
