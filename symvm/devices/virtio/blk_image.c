// SPDX-License-Identifier: BSD-2-Clause
#include "devices/virtio/blk_image.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

/* What direct I/O to a regular file needs at most; all file systems take a page. */
#define DIRECT_BLOCK 4096u

/* Only what can be told from the path: opening a FIFO, say, would wait. */
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
	/* Root could write to it anyhow, but whoever took the permission away meant it. */
	if (!image->readonly && !image->block_device && !(st.st_mode & 0222))
		return error_set(err, -EACCES,
				 "disk %s: the file is read-only (add ',readonly' to use it so)",
				 path);
	return 0;
}

static int image_lock(struct blk_image *image, const char *path, struct error *err)
{
	/* An open file description's lock: ends with the last descriptor, even by kill -9. */
	struct flock lock = {
		.l_type = image->readonly ? F_RDLCK : F_WRLCK,
		.l_whence = SEEK_SET,
	};

	if (fcntl(image->fd, F_OFD_SETLK, &lock) == 0)
		return 0;
	if (errno == EAGAIN || errno == EACCES)
		return error_set(err, -EBUSY, "disk %s: in use by another virtual machine", path);
	/* Some network file systems have no locks. */
	if (errno == ENOLCK || errno == EOPNOTSUPP || errno == ENOSYS || errno == EINVAL)
		return 0;
	return error_set_errno(err, -errno, "disk %s: lock", path);
}

static int image_size(struct blk_image *image, const char *path, struct error *err)
{
	uint64_t bytes = 0;
	struct stat st;
	int block = 0;

	image->block_size = image->direct ? DIRECT_BLOCK : BLK_SECTOR;
	if (image->block_device) {
		if (ioctl(image->fd, BLKGETSIZE64, &bytes) < 0 ||
		    ioctl(image->fd, BLKSSZGET, &block) < 0)
			return error_set_errno(err, -errno, "disk %s: size", path);
		image->block_size = (unsigned)block;
	} else {
		if (fstat(image->fd, &st) < 0)
			return error_set_errno(err, -errno, "disk %s: size", path);
		bytes = (uint64_t)st.st_size;
	}
	bytes -= bytes % image->block_size;
	if (bytes == 0)
		return error_set(err, -EINVAL, "disk %s: it is smaller than one block of %u bytes",
				 path, image->block_size);
	image->sectors = bytes / BLK_SECTOR;
	return 0;
}

int blk_image_open(struct blk_image *image, const char *path, bool readonly, bool direct,
		   struct error *err)
{
	int flags = O_CLOEXEC | (readonly ? O_RDONLY : O_RDWR) | (direct ? O_DIRECT : 0);
	int status;

	*image = (struct blk_image){.fd = -1, .readonly = readonly, .direct = direct};
	status = image_check_path(image, path, err);
	if (status < 0)
		return status;
	image->fd = open(path, flags);
	if (image->fd < 0 && errno == EINVAL && direct)
		return error_set(err, -EINVAL, "disk %s: its file system has no direct I/O", path);
	if (image->fd < 0)
		return error_set_errno(err, -errno, "disk %s: open%s", path,
				       readonly ? "" : " for writing");
	status = image_lock(image, path, err);
	if (status == 0)
		status = image_size(image, path, err);
	if (status < 0)
		blk_image_close(image);
	return status;
}

void blk_image_close(struct blk_image *image)
{
	/*
	 * Explicitly: io_uring lets go of its reference to the file some time after its ring was
	 * closed, and a VM that starts meanwhile would find the disk in use. Without locks:
	 * nothing.
	 */
	struct flock unlock = {.l_type = F_UNLCK, .l_whence = SEEK_SET};

	if (image->fd >= 0) {
		fcntl(image->fd, F_OFD_SETLK, &unlock);
		close(image->fd);
	}
	image->fd = -1;
}
