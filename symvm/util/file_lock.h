/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Locks by which one process claims a file. After `kill -9` of a process the kernel may keep the
 * process's open files, and so their locks, for some moments: io_uring gives its reference back
 * from a worker of its own. The same VM that is started again at once would find its own disk in
 * use. So each function here tries again for a bounded time before it gives up.
 *
 * All functions: main thread before the jail closes, or a guard. They sleep between two tries.
 */
#ifndef SYMVM_UTIL_FILE_LOCK_H
#define SYMVM_UTIL_FILE_LOCK_H

#include <stdbool.h>
#include <sys/types.h>

/* Milliseconds of CLOCK_MONOTONIC for which the locks of a VM's files are tried. */
#define FILE_LOCK_WAIT_MS 2000u

/*
 * Takes an open file description lock on all of @fd (fcntl(2), F_OFD_SETLK): @shared, which several
 * readers can have, or exclusive. The lock ends with the last descriptor of the open file. 0;
 * -EBUSY if others still have a lock after @wait_ms milliseconds; another -errno at once: -ENOLCK,
 * -EOPNOTSUPP, -ENOSYS or -EINVAL if the file system has no such locks.
 */
int file_lock_records(int fd, bool shared, unsigned wait_ms);

/* The same with flock(2), which does not see the locks above. Always exclusive. */
int file_lock_whole(int fd, unsigned wait_ms);

/*
 * open(2) with @flags and @mode. For block devices with O_EXCL: a device that is in use is tried
 * again until @wait_ms milliseconds are over. The descriptor, which the caller owns; -EBUSY if the
 * device still is in use then; another -errno at once.
 */
int file_lock_open(const char *path, int flags, mode_t mode, unsigned wait_ms);

#endif
