/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Text from outside, made safe to show. A guest names its processes, a VMM that a guest took over
 * answers the client as it likes, and a file may have any name. On a terminal such text could run
 * escape codes, start a new row, or show letters in another order than they have. All text for
 * people passes text_escape(): plain output, error messages and log lines.
 */
#ifndef SYMVM_UTIL_TEXT_H
#define SYMVM_UTIL_TEXT_H

#include <stddef.h>

enum {
	/* A backslash stays as it is: for text that has its own escapes already. */
	TEXT_KEEP_BACKSLASH = 1,
};

/* Bytes of the longest form of one byte or character: "\u{10ffff}". */
#define TEXT_ESCAPE_MAX 10u

/*
 * Writes the @length bytes of @text to @out in a form that is safe on every terminal and fits in
 * one row:
 *  - a control character below U+0020, DEL and each byte that is not UTF-8 become "\xNN";
 *  - the C1 controls (U+0080 to U+009F), and each character that has no width or is not printable
 *    (direction marks, line separators, joiners, combining marks, private ones) become "\u{N}";
 *  - a blank other than U+0020 becomes "\u{N}", too, as it cannot be told from one;
 *  - a backslash becomes two, so that the form can be read back without doubt.
 * Where LC_CTYPE's encoding is not UTF-8, each character above U+007F becomes "\u{N}": its bytes
 * may be controls there.
 *
 * At most @columns columns are filled, and @size bytes (with the final NUL) written; text that does
 * not fit ends in "...". Returns the number of columns. @size must be at least 16, @columns at
 * least 4. Any thread; no allocation, no system call.
 */
size_t text_escape(char *out, size_t size, const char *text, size_t length, size_t columns,
		   unsigned flags);

/*
 * The same for a whole C string, however long. Returns an allocated string that the caller frees;
 * NULL when out of memory. @columns may be NULL.
 */
char *text_escape_new(const char *text, unsigned flags, size_t *columns);

#endif
