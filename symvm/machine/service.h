/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A service is a task that the VMM does with the symbiotic interface for as long as the VM exists:
 * one file with one ops table in a linker section. The machine starts and stops all of them and
 * knows none by name.
 */
#ifndef SYMVM_MACHINE_SERVICE_H
#define SYMVM_MACHINE_SERVICE_H

#include "util/error.h"
#include "util/registry.h"

struct vm;
struct service;

/* To see exits, a service adds an exit observer (machine/exit_observer.h). */
struct service_ops {
	const char *name;
	/* Allocates the service's state, which stop() frees. Main thread, before vCPUs start. */
	int (*start)(struct vm *vm, void **state, struct error *err);
	void (*stop)(void *state);
};
#define SERVICE(object) REGISTRY_ENTRY(symvm_services, struct service_ops, object)

/*
 * Starts all services of @vm, or none if its symbiotic interface is off. Main thread. -errno with
 * words.
 */
int services_start(struct vm *vm, struct error *err);
/* Stops them; vCPUs have ended. Main thread. */
void services_stop(struct vm *vm);
/* The state of the service with @ops in @vm, or NULL if it was not started. Any thread. */
void *service_find(struct vm *vm, const struct service_ops *ops);

#endif
