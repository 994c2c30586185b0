/* SPDX-License-Identifier: BSD-2-Clause */
/* What a spill store may overwrite. */
#ifndef SYMVM_SWAP_SPILL_FILE_H
#define SYMVM_SWAP_SPILL_FILE_H

#include "swap/spill/spill.h"

#define SPILL_FILE_START (1ull << 20) /* the header and zeros; slots follow */
#define SPILL_FILE_END	 (1ull << 20) /* zeros; of devices only */

/*
 * Whether the block device @fd of @size bytes may become a spill store of @blocks blocks: it is
 * large enough, libblkid finds no signature, and its first and last MiB are zero, but for the
 * header of a spill store. Reads only. @path is for the words. Main thread. -ENOSPC (too small),
 * -EEXIST (it holds something else), -ENOENT (no libblkid), -errno.
 */
int spill_device_check(int fd, const char *path, uint64_t size, uint64_t blocks, struct error *err);

/*
 * Puts the name of the file system, RAID, partition table or other format that libblkid finds in
 * @fd into @text, "" for none. Main thread. -ENOENT if libblkid cannot be loaded, -EIO.
 */
int spill_signature_find(int fd, char *text, size_t size, struct error *err);

#endif
