// SPDX-License-Identifier: BSD-2-Clause
#include "say.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "util/text.h"

void preload_say(const char *format, ...)
{
	static _Atomic unsigned lines;
	char text[PRELOAD_LINE_MAX], line[PRELOAD_LINE_MAX];
	unsigned number = atomic_fetch_add(&lines, 1);
	int saved = errno, length;
	va_list arguments;

	if (number >= PRELOAD_LINES_MAX) {
		atomic_store(&lines, PRELOAD_LINES_MAX); /* it must not wrap around */
		return;
	}
	va_start(arguments, format);
	vsnprintf(text, sizeof(text) - 32, format, arguments);
	va_end(arguments);
	length = snprintf(line, sizeof(line), "symvm-preload: ");
	text_escape(line + length, sizeof(line) - (size_t)length - 1, text, strlen(text),
		    sizeof(line), 0);
	if (number == PRELOAD_LINES_MAX - 1)
		snprintf(line + length, sizeof(line) - (size_t)length,
			 "further messages are left out");
	strcat(line, "\n");
	/* One system call, so that lines of several threads do not mix. Nobody can act on a
	 * failure. */
	if (write(STDERR_FILENO, line, strlen(line)) < 0)
		errno = 0;
	errno = saved;
}
