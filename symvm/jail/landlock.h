/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef SYMVM_JAIL_LANDLOCK_H
#define SYMVM_JAIL_LANDLOCK_H

#include <stdbool.h>

/* Whether the kernel has landlock and it is enabled. Any thread. */
bool landlock_supported(void);

/*
 * Takes all of the file system from the calling thread, for ever, but what is
 * open already: files may be unlinked in the directory @unlink_dir_fd (or -1),
 * and @read_path (or NULL; it may be missing) may be read. Needs no_new_privs. -errno.
 */
int landlock_enter(int unlink_dir_fd, const char *read_path);

#endif
