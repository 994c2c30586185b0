/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Calls that `call` knows by name, with an answer of their own form: a table in a linker section.
 * Adding one changes no other file than control/meson.build.
 */
#ifndef SYMVM_CONTROL_NAMED_CALL_H
#define SYMVM_CONTROL_NAMED_CALL_H

#include <jansson.h>

#include "libguestview/guestview.h"
#include "util/registry.h"

struct call_arguments {
	unsigned vcpu;
	struct guest_limit limit;
	uint64_t values[SYM_CALL_ARGS]; /* 0 if the client gave none */
};

struct named_call {
	const char *name; /* "meminfo" */
	/* Asks @guest, on a worker thread. 0 and a new reference in *@result, or -errno and words.
	 */
	int (*make)(const struct guest *guest, const struct call_arguments *arguments,
		    json_t **result, struct guest_error *err);
};
#define NAMED_CALL(object) REGISTRY_ENTRY(symvm_named_calls, struct named_call, object)

#endif
