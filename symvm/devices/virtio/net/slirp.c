// SPDX-License-Identifier: BSD-2-Clause
#include "devices/virtio/net/slirp.h"

#include "util/dlopen.h"

/* Major version 4 of libslirp; another ABI has another name. */
#define SLIRP_LIBRARY "libslirp.so.0"

int slirp_load(struct slirp_calls *calls, struct error *err)
{
	static const struct dlopen_function functions[] = {
#define SLIRP_ENTRY(name) {"slirp_" #name, offsetof(struct slirp_calls, name)},
		SLIRP_FUNCTIONS(SLIRP_ENTRY)
#undef SLIRP_ENTRY
	};

	return dlopen_load(SLIRP_LIBRARY, functions, sizeof(functions) / sizeof(functions[0]),
			   calls, "--net user", err);
}
