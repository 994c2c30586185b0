/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the headers of Linux 7 use and sparse 0.6.4 does not know. scripts/build-modules --check
 * lets sparse read this first; the compiler never does.
 */
#define __typeof_unqual__      __typeof__
#define __builtin_strlen(text) (sizeof(text) - 1) /* in constants, where the text is a literal */
