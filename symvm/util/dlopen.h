/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Shared libraries that only some VMs need, loaded when one asks for them: linked, each would cost
 * every VM a part of its start and of its private memory.
 *
 * A list macro names the functions once. Both the struct of pointers, which takes its types from
 * the library's own header, and the table of names are made from it.
 */
#ifndef SYMVM_UTIL_DLOPEN_H
#define SYMVM_UTIL_DLOPEN_H

#include <stddef.h>

#include "util/error.h"

struct dlopen_function {
	const char *name;
	size_t offset; /* of its pointer, in the struct that is filled in */
};

/*
 * Loads the library @file and stores the addresses of its @count @functions in the struct @calls.
 * It stays loaded until the process ends. Before the jail closes. @what (an option) begins the
 * message. -ENOENT if the library or one of its functions is missing.
 */
int dlopen_load(const char *file, const struct dlopen_function *functions, size_t count,
		void *calls, const char *what, struct error *err);

#endif
