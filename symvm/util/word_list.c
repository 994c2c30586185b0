// SPDX-License-Identifier: BSD-2-Clause
#include "util/word_list.h"

#include <stdio.h>
#include <string.h>

void word_list_add(char *text, size_t size, const char *between, const char *word)
{
	size_t used = strlen(text);

	snprintf(text + used, size - used, "%s%s", used ? between : "", word);
}
