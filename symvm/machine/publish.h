/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the VMM publishes to the guest in the VM's SymSpy page. Each publisher is a constant struct
 * in a linker section. services/publish.c publishes once a second.
 */
#ifndef SYMVM_MACHINE_PUBLISH_H
#define SYMVM_MACHINE_PUBLISH_H

#include "util/registry.h"

struct vm;
struct sym_publication;

struct publisher {
	const char *name;
	/* Fills its own fields of @publication. Main thread or, by publish_refresh(), any thread.
	 */
	void (*fill)(struct vm *vm, struct sym_publication *publication);
};
#define PUBLISHER(object) REGISTRY_ENTRY(symvm_publishers, struct publisher, object)

/*
 * Asks all publishers and publishes now: the guest should learn of a change at once, without an
 * exit. Does nothing if the interface is off. Any thread.
 */
void publish_refresh(struct vm *vm);

#endif
