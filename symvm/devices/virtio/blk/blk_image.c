// SPDX-License-Identifier: BSD-2-Clause
#include "devices/virtio/blk/blk_image.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "devices/virtio/blk/blk_format.h"
#include "devices/virtio/blk/blk_probe.h"
#include "util/file_lock.h"

/* File systems read and write whole pages. */
#define FILE_BLOCK 4096u

/* Only checks on the path itself: opening a FIFO, for example, would wait. */
static int image_check_path(struct blk_image *image, const char *path, struct error *err)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return error_set_errno(err, -errno, "disk %s", path);
	if (S_ISDIR(st.st_mode))
		return error_set(err, -EISDIR, "disk %s: it is a directory", path);
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return error_set(err, -EINVAL, "disk %s: neither a file nor a block device", path);
	image->block_device = S_ISBLK(st.st_mode);
	/* Root could write to it anyway, but the permission was removed on purpose. */
	if (!image->readonly && !image->block_device && !(st.st_mode & 0222))
		return error_set(err, -EACCES,
				 "disk %s: the file is read-only (add ',readonly' to use it so)",
				 path);
	return 0;
}

/* An open file description's lock: it ends with the last descriptor, even by kill -9. */
static int image_lock(struct blk_image *image, const char *path, struct error *err)
{
	int status = file_lock_records(image->fd, image->readonly, FILE_LOCK_WAIT_MS);

	if (status == -EBUSY)
		return error_set(err, -EBUSY, "disk %s: in use by another virtual machine", path);
	/* Some network file systems have no locks. */
	if (status == -ENOLCK || status == -EOPNOTSUPP || status == -ENOSYS || status == -EINVAL)
		return 0;
	return status < 0 ? error_set_errno(err, status, "disk %s: lock", path) : 0;
}

/* The needs of direct I/O to this file. The guest keeps its sectors of 512 bytes all the same. */
static int image_direct(struct blk_image *image, const char *path, struct error *err)
{
	struct blk_access *access = &image->access;
	int status = blk_probe_direct(image->fd, &access->offset_align, &access->memory_align);

	if (status < 0)
		return error_set(err, status, "disk %s: its file system has no direct I/O", path);
	/* The end could only be written in whole blocks, which would make the file longer. */
	if (!image->block_device && image->bytes % access->offset_align)
		return error_set(err, -EINVAL,
				 "disk %s: direct I/O needs a size that is a multiple of %u bytes "
				 "here, and it has %llu (leave out ',direct', or enlarge it)",
				 path, access->offset_align, (unsigned long long)image->bytes);
	return 0;
}

static int image_size(struct blk_image *image, const char *path, struct error *err)
{
	unsigned physical = 0;
	struct stat st;
	int block = 0;

	image->block_size = BLK_SECTOR;
	image->physical_size = FILE_BLOCK;
	if (image->block_device) {
		if (ioctl(image->fd, BLKGETSIZE64, &image->bytes) < 0 ||
		    ioctl(image->fd, BLKSSZGET, &block) < 0 ||
		    ioctl(image->fd, BLKPBSZGET, &physical) < 0)
			return error_set_errno(err, -errno, "disk %s: size", path);
		image->block_size = (unsigned)block;
		image->physical_size = physical > (unsigned)block ? physical : (unsigned)block;
	} else {
		if (fstat(image->fd, &st) < 0)
			return error_set_errno(err, -errno, "disk %s: size", path);
		image->bytes = (uint64_t)st.st_size;
	}
	image->sectors = (image->bytes - image->bytes % image->block_size) / BLK_SECTOR;
	if (image->sectors == 0)
		return error_set(err, -EINVAL, "disk %s: it is smaller than one block of %u bytes",
				 path, image->block_size);
	return 0;
}

/* Refuses a file that a loop device of the host uses, perhaps mounted. */
static int image_check_loop(const struct blk_image *image, const char *path, struct error *err)
{
	char name[64];

	if (image->block_device || !blk_probe_loop(image->fd, image->readonly, name, sizeof(name)))
		return 0;
	return error_set(err, -EBUSY,
			 "disk %s: the host uses it as %s, perhaps mounted (losetup -d %s)", path,
			 name, name);
}

static int image_open_file(struct blk_image *image, const char *path, bool direct,
			   struct error *err)
{
	int flags = O_CLOEXEC | (image->readonly ? O_RDONLY : O_RDWR);
	int exclusive = image->block_device ? O_EXCL : 0;

	image->fd = file_lock_open(path, flags | exclusive | (direct ? O_DIRECT : 0), 0,
				   FILE_LOCK_WAIT_MS);
	if (image->fd == -EBUSY)
		return error_set(err, -EBUSY,
				 "disk %s: the host has it in use: mounted, a part of another "
				 "device, swap, or another virtual machine's",
				 path);
	if (image->fd == -EINVAL && direct)
		return error_set(err, -EINVAL, "disk %s: its file system has no direct I/O", path);
	if (image->fd < 0)
		return error_set_errno(err, image->fd, "disk %s: open%s", path,
				       image->readonly ? "" : " for writing");
	if (!image->readonly || !image->block_device)
		return 0;
	/* Readers share a device, so none of them takes it exclusively. */
	close(image->fd);
	image->fd = open(path, flags | (direct ? O_DIRECT : 0));
	return image->fd < 0 ? error_set_errno(err, -errno, "disk %s: open", path) : 0;
}

static int image_prepare(struct blk_image *image, const char *path,
			 const struct blk_image_options *options, struct error *err)
{
	int status = image_lock(image, path, err);

	if (status == 0)
		status = image_size(image, path, err);
	if (status == 0)
		status = image_check_loop(image, path, err);
	if (status == 0 && !options->any_format)
		status = blk_format_check(image->fd, image->bytes, path, err);
	if (status == 0 && options->direct)
		status = image_direct(image, path, err);
	if (status == 0 && !image->readonly)
		image->can_punch = blk_probe_punch(image->fd, image->block_device, image->bytes);
	image->access.no_punch = !image->can_punch;
	return status;
}

int blk_image_open(struct blk_image *image, const char *path,
		   const struct blk_image_options *options, struct error *err)
{
	int status;

	*image = (struct blk_image){
		.fd = -1,
		.readonly = options->readonly,
		.access = {.direct = options->direct, .offset_align = 1, .memory_align = 1},
	};
	status = image_check_path(image, path, err);
	if (status == 0)
		status = image_open_file(image, path, options->direct, err);
	if (status == 0)
		status = image_prepare(image, path, options, err);
	if (status < 0)
		blk_image_close(image);
	return status;
}

void blk_image_close(struct blk_image *image)
{
	/*
	 * Explicitly: io_uring releases its reference to the file some time after its ring was
	 * closed, and a VM that starts meanwhile would have to wait for the disk. On a file system
	 * without locks this does nothing.
	 */
	struct flock unlock = {.l_type = F_UNLCK, .l_whence = SEEK_SET};

	if (image->fd >= 0) {
		fcntl(image->fd, F_OFD_SETLK, &unlock);
		close(image->fd);
	}
	image->fd = -1;
}
