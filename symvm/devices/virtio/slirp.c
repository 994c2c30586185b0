// SPDX-License-Identifier: BSD-2-Clause
#include "devices/virtio/slirp.h"

#include <dlfcn.h>
#include <errno.h>
#include <stddef.h>

/* Major version 4 of libslirp; another ABI has another name. */
#define SLIRP_LIBRARY "libslirp.so.0"

int slirp_load(struct slirp_calls *calls, struct error *err)
{
	static const struct {
		const char *symbol;
		size_t offset;
	} functions[] = {
#define SLIRP_ENTRY(name) {"slirp_" #name, offsetof(struct slirp_calls, name)},
		SLIRP_FUNCTIONS(SLIRP_ENTRY)
#undef SLIRP_ENTRY
	};
	void *library = dlopen(SLIRP_LIBRARY, RTLD_NOW | RTLD_LOCAL);

	if (!library)
		return error_set(err, -ENOENT, "--net user: %s", dlerror());
	for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
		void *address = dlsym(library, functions[i].symbol);

		if (!address)
			return error_set(err, -ENOENT, "--net user: %s has no %s", SLIRP_LIBRARY,
					 functions[i].symbol);
		*(void **)((char *)calls + functions[i].offset) = address;
	}
	return 0;
}
