// SPDX-License-Identifier: BSD-2-Clause
/*
 * A spill store in a file or on a block device. Its first block says whose it is, so that a file
 * with other contents is never overwritten by mistake; block N follows at N + 1.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "swap/spill.h"

#define MAGIC "SymVM slots\n"

struct spill_file {
	struct spill spill;
	int fd;
	bool is_device;
};

static int transfer_status(ssize_t done, size_t length)
{
	if (done < 0)
		return -errno;
	return (size_t)done == length ? 0 : -EIO;
}

static off_t offset_of(uint64_t block)
{
	return (off_t)((block + 1) * SPILL_BLOCK);
}

static int file_read(struct spill *spill, unsigned lane, uint64_t block, void *data, unsigned count)
{
	struct spill_file *file = (struct spill_file *)spill;
	size_t length = (size_t)count * SPILL_BLOCK;

	return transfer_status(pread(file->fd, data, length, offset_of(block)), length);
}

static int file_write(struct spill *spill, unsigned lane, uint64_t block, const void *data,
		      unsigned count)
{
	struct spill_file *file = (struct spill_file *)spill;
	size_t length = (size_t)count * SPILL_BLOCK;

	return transfer_status(pwrite(file->fd, data, length, offset_of(block)), length);
}

static void file_close(struct spill *spill)
{
	struct spill_file *file = (struct spill_file *)spill;

	/* Without the VM its blocks mean nothing. */
	if (file->fd >= 0 && !file->is_device && ftruncate(file->fd, 0) < 0)
		(void)!ftruncate(file->fd, SPILL_BLOCK);
	if (file->fd >= 0)
		close(file->fd);
	free(file);
}

static const struct spill_ops file_ops = {
	.read = file_read,
	.write = file_write,
	.close = file_close,
};

/* Past the page cache, which would cost the host the memory that spilling is to save. */
static int file_open(const char *path)
{
	int flags = O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY;
	int fd = open(path, flags | O_DIRECT, 0600);

	if (fd < 0 && errno == EINVAL) /* tmpfs before Linux 6.6 */
		fd = open(path, flags, 0600);
	return fd < 0 ? -errno : fd;
}

static int device_check(int fd, const char *path, uint64_t blocks, struct error *err)
{
	off_t size = lseek(fd, 0, SEEK_END);

	if (size < 0)
		return error_set_errno(err, -errno, "--swap: spill=%s", path);
	if ((uint64_t)size < (blocks + 1) * SPILL_BLOCK)
		return error_set(err, -ENOSPC, "--swap: spill=%s has %lld bytes, %llu are needed",
				 path, (long long)size,
				 (unsigned long long)((blocks + 1) * SPILL_BLOCK));
	return 0;
}

/* Refuses what is no file, is in use, or holds something else. */
static int file_check(struct spill_file *file, const char *path, uint64_t blocks, void *block,
		      struct error *err)
{
	struct stat what;
	ssize_t got;

	if (fstat(file->fd, &what) < 0)
		return error_set_errno(err, -errno, "--swap: spill=%s", path);
	file->is_device = S_ISBLK(what.st_mode);
	if (!file->is_device && !S_ISREG(what.st_mode))
		return error_set(err, -EINVAL,
				 "--swap: spill=%s is neither a file nor a block device", path);
	if (flock(file->fd, LOCK_EX | LOCK_NB) < 0)
		return error_set(err, -EBUSY, "--swap: spill=%s is in use", path);
	got = pread(file->fd, block, SPILL_BLOCK, 0);
	if (got < 0)
		return error_set_errno(err, -errno, "--swap: spill=%s", path);
	if (what.st_size && (got < (ssize_t)sizeof(MAGIC) || memcmp(block, MAGIC, sizeof(MAGIC))))
		return error_set(err, -EEXIST,
				 "--swap: spill=%s exists and is no spill file of symvm", path);
	if (file->is_device)
		return device_check(file->fd, path, blocks, err);
	/* What an earlier VM left behind goes first. */
	if (ftruncate(file->fd, 0) < 0 ||
	    ftruncate(file->fd, (off_t)((blocks + 1) * SPILL_BLOCK)) < 0)
		return error_set_errno(err, -errno, "--swap: spill=%s: cannot size it to %llu MiB",
				       path, (unsigned long long)((blocks * SPILL_BLOCK) >> 20));
	return 0;
}

int spill_file_open(const char *path, uint64_t blocks, struct spill **spill, struct error *err)
{
	struct spill_file *file = calloc(1, sizeof(*file));
	void *block = aligned_alloc(SPILL_BLOCK, SPILL_BLOCK);
	int status = 0;

	if (!file || !block) {
		free(file);
		free(block);
		return error_set(err, -ENOMEM, "--swap: out of memory");
	}
	file->spill = (struct spill){.ops = &file_ops, .lanes = SPILL_LANES};
	file->fd = file_open(path);
	if (file->fd < 0)
		status = error_set_errno(err, file->fd, "--swap: spill=%s", path);
	if (status == 0)
		status = file_check(file, path, blocks, block, err);
	if (status == 0) {
		memset(block, 0, SPILL_BLOCK);
		memcpy(block, MAGIC, sizeof(MAGIC));
		if (pwrite(file->fd, block, SPILL_BLOCK, 0) != SPILL_BLOCK)
			status = error_set_errno(err, -errno, "--swap: spill=%s", path);
	}
	free(block);
	if (status < 0) {
		if (file->fd >= 0)
			close(file->fd);
		free(file);
		return status;
	}
	*spill = &file->spill;
	return 0;
}

int spill_open(const char *where, uint64_t blocks, struct spill **spill, struct error *err)
{
	if (strncmp(where, "nbd://", 6) == 0 || strncmp(where, "nbd+unix://", 11) == 0)
		return spill_nbd_open(where, blocks, spill, err);
	if (strstr(where, "://"))
		return error_set(err, -EINVAL,
				 "--swap: spill='%s' is neither a file nor an nbd:// address",
				 where);
	return spill_file_open(where, blocks, spill, err);
}
