// SPDX-License-Identifier: BSD-2-Clause
#include "devices/virtio/blk/blk_probe.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "util/text_file.h"

#define ALIGN_SMALLEST 512u  /* a sector; the guest knows this one */
#define ALIGN_LARGEST  4096u /* every device and file system takes this */

/* A number from a file in /sys; 0 if there is none. */
static uint64_t sys_number(const char *path)
{
	char text[32];

	text_file_read(path, text, sizeof(text));
	return strtoull(text, NULL, 10);
}

/* A block device's limit; for a partition, the limit of the whole disk. */
static uint64_t queue_limit(dev_t device, const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/queue/%s", major(device), minor(device),
		 name);
	if (access(path, F_OK) < 0)
		snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/../queue/%s", major(device),
			 minor(device), name);
	return sys_number(path);
}

bool blk_probe_punch(int fd, bool block_device, uint64_t size)
{
	struct stat st;

	/* A hole beyond the end of a file changes nothing. */
	if (!block_device)
		return fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				 (off_t)((size + ALIGN_LARGEST) & ~(ALIGN_LARGEST - 1ull)),
				 ALIGN_LARGEST) == 0;
	/*
	 * A block device has nothing beyond its end. fallocate(2) on it needs the second of these.
	 */
	return fstat(fd, &st) == 0 && queue_limit(st.st_rdev, "discard_max_bytes") &&
	       queue_limit(st.st_rdev, "write_zeroes_max_bytes");
}

/* An offset at which the file has data: a read of a hole says nothing about alignment. -1: none. */
static off_t data_offset(int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -1;
	return S_ISBLK(st.st_mode) ? 0 : lseek(fd, 0, SEEK_DATA) & ~(off_t)(ALIGN_LARGEST - 1);
}

static bool read_works(int fd, uint8_t *memory, unsigned length, off_t offset)
{
	return pread(fd, memory, length, offset) > 0;
}

/* For kernels before 6.1, and file systems that do not report their alignment. */
static int probe_by_reading(int fd, unsigned *offset_align, unsigned *memory_align)
{
	static const unsigned memory_aligns[] = {4, ALIGN_SMALLEST};
	off_t data = data_offset(fd);
	uint8_t *memory;

	*offset_align = ALIGN_LARGEST;
	*memory_align = ALIGN_LARGEST;
	if (data < 0)
		return 0;
	memory = aligned_alloc(ALIGN_LARGEST, 2 * ALIGN_LARGEST);
	if (!memory)
		return -ENOMEM;
	if (read_works(fd, memory, ALIGN_SMALLEST, data))
		*offset_align = ALIGN_SMALLEST;
	for (size_t i = 0; i < sizeof(memory_aligns) / sizeof(memory_aligns[0]); i++) {
		if (read_works(fd, memory + memory_aligns[i], *offset_align, data)) {
			*memory_align = memory_aligns[i];
			break;
		}
	}
	free(memory);
	return 0;
}

int blk_probe_direct(int fd, unsigned *offset_align, unsigned *memory_align)
{
#ifdef STATX_DIOALIGN
	struct statx stx;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &stx) == 0 &&
	    (stx.stx_mask & STATX_DIOALIGN)) {
		if (!stx.stx_dio_offset_align || !stx.stx_dio_mem_align)
			return -EOPNOTSUPP;
		*offset_align = stx.stx_dio_offset_align;
		*memory_align = stx.stx_dio_mem_align;
		if (*offset_align < ALIGN_SMALLEST)
			*offset_align = ALIGN_SMALLEST;
		return 0;
	}
#endif
	return probe_by_reading(fd, offset_align, memory_align);
}

/* Whether @name in /sys/block is a loop device on the file @st. */
static bool loop_is_on(const char *name, const struct stat *st)
{
	char path[320], backing[PATH_MAX];
	struct stat other;
	ssize_t length;
	int fd;

	snprintf(path, sizeof(path), "/sys/block/%s/loop/backing_file", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	length = read(fd, backing, sizeof(backing) - 1);
	close(fd);
	if (length <= 1)
		return false;
	backing[length - 1] = '\0'; /* a new line */
	return stat(backing, &other) == 0 && other.st_dev == st->st_dev &&
	       other.st_ino == st->st_ino;
}

bool blk_probe_loop(int fd, bool written, char *name, unsigned size)
{
	DIR *directory = opendir("/sys/block");
	struct dirent *entry;
	bool found = false;
	char path[320];
	struct stat st;

	if (!directory)
		return false;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
		while (!found && (entry = readdir(directory))) {
			if (strncmp(entry->d_name, "loop", 4) != 0 ||
			    !loop_is_on(entry->d_name, &st))
				continue;
			snprintf(path, sizeof(path), "/sys/block/%s/ro", entry->d_name);
			found = !written || !sys_number(path);
			snprintf(name, size, "/dev/%s", entry->d_name);
		}
	}
	closedir(directory);
	return found;
}
