/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Errors travel as negative errno values; the words travel in a struct error that the caller owns.
 * The innermost function that knows the cause fills it, and the function that can act on the
 * failure reports it, once.
 */
#ifndef SYMVM_UTIL_ERROR_H
#define SYMVM_UTIL_ERROR_H

struct error {
	char text[512];
};

/*
 * Sets @err's text (printf style) and returns @code, a negative errno value, so
 * that callers write `return error_set(err, -EINVAL, ...)`. @err may be NULL.
 * Any thread; @err is not locked.
 */
int error_set(struct error *err, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* The same, and appends ": " and the description of the errno value -@code. */
int error_set_errno(struct error *err, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif
