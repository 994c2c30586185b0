/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef SYMVM_COMMANDS_KERNEL_CHECK_H
#define SYMVM_COMMANDS_KERNEL_CHECK_H

#include <stdint.h>

#include "util/error.h"

/*
 * Opens a file that the user named as "--@option @path" for reading: it must be
 * a regular file that is not empty. Returns a descriptor, *@size its size.
 */
int file_open_checked(const char *option, const char *path, uint64_t *size, struct error *err);

/*
 * Looks at a kernel's headers, before KVM is opened and memory taken: a complete bzImage with a
 * 64-bit entry point, or a complete x86-64 ELF file. -errno with words that name the file.
 */
int kernel_check(const char *path, struct error *err);

#endif
