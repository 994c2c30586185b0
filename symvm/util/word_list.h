/* SPDX-License-Identifier: BSD-2-Clause */
/* Lists of words for messages: "copy, grant, map". */
#ifndef SYMVM_UTIL_WORD_LIST_H
#define SYMVM_UTIL_WORD_LIST_H

#include <stddef.h>

/*
 * Adds @word to the list in @text, a string in a buffer of @size bytes that is "" at first. Puts
 * @between in front of each word but the first. What does not fit is cut. Any thread.
 */
void word_list_add(char *text, size_t size, const char *between, const char *word);

#endif
