// SPDX-License-Identifier: BSD-2-Clause
/*
 * A spill store in a file or on a block device. The first MiB holds a header that says so, and
 * zeros; slots follow; the last MiB of a device stays zero. So nothing that a guest swaps out lies
 * where the signature of a file system, a partition table or a RAID would be looked for.
 */
#include "swap/spill/spill_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <linux/fs.h>
#include <unistd.h>

#include "util/descriptor.h"
#include "util/file_lock.h"

#define MAGIC "SymVM slots\n"

struct spill_file {
	struct spill spill;
	int fd;
	bool is_device;
};

static off_t offset_of(uint64_t block)
{
	return (off_t)(SPILL_FILE_START + block * SPILL_BLOCK);
}

/* Reads all of it: the next try reports what stopped a read half-way. */
static int read_at(int fd, uint8_t *data, size_t length, off_t offset)
{
	size_t done = 0;

	while (done < length) {
		ssize_t count = pread(fd, data + done, length - done, offset + (off_t)done);

		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0)
			return -errno;
		if (count == 0)
			return -EIO;
		done += (size_t)count;
	}
	return 0;
}

static int file_read(struct spill *spill, unsigned lane, uint64_t block, void *data, unsigned count)
{
	struct spill_file *file = (struct spill_file *)spill;

	return read_at(file->fd, data, (size_t)count * SPILL_BLOCK, offset_of(block));
}

static int file_write(struct spill *spill, unsigned lane, uint64_t block, const void *data,
		      unsigned count)
{
	struct spill_file *file = (struct spill_file *)spill;

	return descriptor_write_at(file->fd, data, (size_t)count * SPILL_BLOCK, offset_of(block));
}

static void file_close(struct spill *spill)
{
	struct spill_file *file = (struct spill_file *)spill;

	/* Without the VM its blocks are meaningless. */
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

/*
 * Opens the file without the page cache, which would cost the host the memory that spilling saves.
 * A block device is opened exclusively: the kernel refuses one that is mounted, or part of another
 * device.
 */
static int file_open(const char *path, bool is_device)
{
	int flags = O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | (is_device ? O_EXCL : O_CREAT);
	int fd = file_lock_open(path, flags | O_DIRECT, 0600, FILE_LOCK_WAIT_MS);

	if (fd == -EINVAL) /* tmpfs before Linux 6.6 */
		fd = file_lock_open(path, flags, 0600, FILE_LOCK_WAIT_MS);
	return fd;
}

static bool is_zero(const uint8_t *data, size_t length)
{
	return length == 0 || (data[0] == 0 && memcmp(data, data + 1, length - 1) == 0);
}

static void header_make(uint8_t block[SPILL_BLOCK])
{
	memset(block, 0, SPILL_BLOCK);
	memcpy(block, MAGIC, sizeof(MAGIC));
}

/* Whether the MiB at @data may be the start of a blank device or of a spill store. */
static bool start_is_ours(const uint8_t *data)
{
	uint8_t header[SPILL_BLOCK];

	header_make(header);
	return (is_zero(data, SPILL_BLOCK) || memcmp(data, header, SPILL_BLOCK) == 0) &&
	       is_zero(data + SPILL_BLOCK, SPILL_FILE_START - SPILL_BLOCK);
}

int spill_device_check(int fd, const char *path, uint64_t size, uint64_t blocks, struct error *err)
{
	uint64_t needed = SPILL_FILE_START + blocks * SPILL_BLOCK + SPILL_FILE_END;
	char found[64] = "";
	uint8_t *data;
	bool ours = false;
	int status;

	if (size < needed)
		return error_set(err, -ENOSPC, "--swap: spill=%s has %llu bytes, %llu are needed",
				 path, (unsigned long long)size, (unsigned long long)needed);
	status = spill_signature_find(fd, found, sizeof(found), err);
	if (status < 0)
		return status;
	data = aligned_alloc(SPILL_BLOCK, SPILL_FILE_START);
	if (!data)
		return error_set(err, -ENOMEM, "--swap: out of memory");
	status = read_at(fd, data, SPILL_FILE_START, 0);
	if (status == 0)
		ours = start_is_ours(data);
	if (status == 0)
		status = read_at(fd, data, SPILL_FILE_END, (off_t)(size - SPILL_FILE_END));
	ours = ours && is_zero(data, SPILL_FILE_END);
	free(data);
	if (status < 0)
		return error_set_errno(err, status, "--swap: spill=%s", path);
	if (found[0])
		return error_set(err, -EEXIST,
				 "--swap: spill=%s holds other data (%s) and is left alone; if "
				 "nobody needs them: blkdiscard --zeroout %s",
				 path, found, path);
	if (!ours)
		return error_set(err, -EEXIST,
				 "--swap: spill=%s is neither blank (zeros in its first and last "
				 "MiB) nor a spill store, and is left alone; if nobody needs its "
				 "data: blkdiscard --zeroout %s",
				 path, path);
	return 0;
}

static int device_check(int fd, const char *path, uint64_t blocks, struct error *err)
{
	uint64_t size;

	if (ioctl(fd, BLKGETSIZE64, &size) < 0)
		return error_set_errno(err, -errno, "--swap: spill=%s", path);
	return spill_device_check(fd, path, size, blocks, err);
}

/* A file is taken if it is empty or begins with the header; then it is made empty, and sized. */
static int regular_check(int fd, const char *path, uint64_t blocks, uint8_t *block,
			 struct error *err)
{
	struct stat what;

	/* With the lock held: a VM that had the file until now may just have made it empty. */
	if (fstat(fd, &what) < 0)
		return error_set_errno(err, -errno, "--swap: spill=%s", path);
	if (what.st_size) {
		if (what.st_size < SPILL_BLOCK || read_at(fd, block, SPILL_BLOCK, 0) < 0 ||
		    memcmp(block, MAGIC, sizeof(MAGIC)) != 0)
			return error_set(err, -EEXIST,
					 "--swap: spill=%s exists and is not a spill file of symvm",
					 path);
	}
	if (ftruncate(fd, 0) < 0 ||
	    ftruncate(fd, (off_t)(SPILL_FILE_START + blocks * SPILL_BLOCK)) < 0)
		return error_set_errno(err, -errno, "--swap: spill=%s: cannot size it to %llu MiB",
				       path, (unsigned long long)((blocks * SPILL_BLOCK) >> 20));
	return 0;
}

/* Refuses a path that is not a file, is in use, or holds something else. */
static int file_check(struct spill_file *file, const char *path, uint64_t blocks, uint8_t *block,
		      struct error *err)
{
	bool was_device = file->is_device;
	struct stat what;

	if (fstat(file->fd, &what) < 0)
		return error_set_errno(err, -errno, "--swap: spill=%s", path);
	file->is_device = S_ISBLK(what.st_mode);
	if (!file->is_device && !S_ISREG(what.st_mode))
		return error_set(err, -EINVAL,
				 "--swap: spill=%s is neither a file nor a block device", path);
	/* The path was replaced meanwhile, so it was opened in the wrong way. */
	if (file->is_device != was_device)
		return error_set(err, -EBUSY, "--swap: spill=%s was replaced just now", path);
	if (file_lock_whole(file->fd, FILE_LOCK_WAIT_MS) < 0)
		return error_set(err, -EBUSY, "--swap: spill=%s is in use", path);
	if (file->is_device)
		return device_check(file->fd, path, blocks, err);
	return regular_check(file->fd, path, blocks, block, err);
}

static int open_failed(const char *path, int status, bool is_device, struct error *err)
{
	if (is_device && status == -EBUSY)
		return error_set(err, status,
				 "--swap: spill=%s is in use: it is mounted, used as swap, or part "
				 "of another device",
				 path);
	return error_set_errno(err, status, "--swap: spill=%s", path);
}

static int open_and_check(struct spill_file *file, const char *path, uint64_t blocks,
			  uint8_t *block, struct error *err)
{
	struct stat what;
	int status;

	file->is_device = stat(path, &what) == 0 && S_ISBLK(what.st_mode);
	file->fd = file_open(path, file->is_device);
	if (file->fd < 0)
		return open_failed(path, file->fd, file->is_device, err);
	status = file_check(file, path, blocks, block, err);
	if (status < 0)
		return status;
	header_make(block);
	status = descriptor_write_at(file->fd, block, SPILL_BLOCK, 0);
	return status < 0 ? error_set_errno(err, status, "--swap: spill=%s", path) : 0;
}

int spill_file_open(const char *path, uint64_t blocks, struct spill **spill, struct error *err)
{
	struct spill_file *file = calloc(1, sizeof(*file));
	uint8_t *block = aligned_alloc(SPILL_BLOCK, SPILL_BLOCK);
	int status;

	if (!file || !block) {
		free(file);
		free(block);
		return error_set(err, -ENOMEM, "--swap: out of memory");
	}
	file->spill = (struct spill){.ops = &file_ops, .lanes = SPILL_LANES};
	file->fd = -1;
	status = open_and_check(file, path, blocks, block, err);
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
