/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the VMM publishes to the guest, put together each second from all who have something to
 * say: each puts a constant struct publisher into a linker section.
 */
#ifndef SYMVM_SERVICES_PUBLISH_H
#define SYMVM_SERVICES_PUBLISH_H

#include "util/registry.h"

struct vm;
struct sym_publication;

struct publisher {
	const char *name;
	/* Fills its own fields of @what. Main thread or, by publish_refresh(), any. */
	void (*fill)(struct vm *vm, struct sym_publication *what);
};
#define PUBLISHER(object) REGISTRY_ENTRY(symvm_publishers, struct publisher, object)

/*
 * Publishes now instead of within a second: something that the guest should learn has changed.
 * Nothing when the interface is off. Any thread.
 */
void publish_refresh(struct vm *vm);

#endif
