// SPDX-License-Identifier: BSD-2-Clause
#include "util/dlopen.h"

#include <dlfcn.h>
#include <errno.h>

int dlopen_load(const char *file, const struct dlopen_function *functions, size_t count,
		void *calls, const char *what, struct error *err)
{
	void *library = dlopen(file, RTLD_NOW | RTLD_LOCAL);

	if (!library)
		return error_set(err, -ENOENT, "%s: %s", what, dlerror());
	for (size_t i = 0; i < count; i++) {
		void *address = dlsym(library, functions[i].name);

		if (!address)
			return error_set(err, -ENOENT, "%s: %s has no %s", what, file,
					 functions[i].name);
		*(void **)((char *)calls + functions[i].offset) = address;
	}
	return 0;
}
