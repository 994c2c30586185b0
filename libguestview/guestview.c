// SPDX-License-Identifier: BSD-2-Clause
/* Errors, limits and texts, which all features share. */
#include "guestview.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "guest_clock.h"

int guest_error_set(struct guest_error *err, int status, const char *format, ...)
{
	va_list args;

	if (!err)
		return status;
	va_start(args, format);
	vsnprintf(err->text, sizeof(err->text), format, args);
	va_end(args);
	return status;
}

uint64_t guest_limit_left_ms(const struct guest_limit *limit)
{
	uint64_t now = guest_now_ns();

	if (now >= limit->end_ns || (limit->cut && atomic_load(limit->cut)))
		return 0;
	return (limit->end_ns - now + GUEST_NS_PER_MS - 1) / GUEST_NS_PER_MS;
}

void guest_text_copy(char *out, const void *text, size_t size)
{
	size_t length = strnlen(text, size);

	memcpy(out, text, length);
	out[length] = '\0';
}
