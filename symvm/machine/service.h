/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A service is something that the VMM does with the symbiotic interface for as long as the VM is
 * there: one file with one ops table in a linker section. The machine starts and stops all of them
 * and knows none by name.
 */
#ifndef SYMVM_MACHINE_SERVICE_H
#define SYMVM_MACHINE_SERVICE_H

#include <linux/kvm.h>

#include "util/error.h"
#include "util/registry.h"

struct vm;
struct vcpu;
struct service;

struct service_ops {
	const char *name;
	/* Allocates the service's state, which stop() frees. Main thread, before vCPUs start. */
	int (*start)(struct vm *vm, void **state, struct error *err);
	void (*stop)(void *state);
	/*
	 * Optional: sees each exit that goes to the devices, before they do; on the vCPU's
	 * thread, which may sym_call() there. Must be quick when it has nothing to do.
	 */
	void (*on_exit)(void *state, struct vcpu *vcpu, struct kvm_run *run);
};
#define SERVICE(object) REGISTRY_ENTRY(symvm_services, struct service_ops, object)

/* Starts all services of @vm; none when its symbiotic interface is off. Main thread. */
int services_start(struct vm *vm, struct error *err);
/* Stops them; vCPUs have ended. */
void services_stop(struct vm *vm);
/* Shows an exit to the services that want it. vCPU threads. */
void services_on_exit(struct vcpu *vcpu, struct kvm_run *run);
/* The state of the service with @ops in @vm; NULL: it was not started. Any thread. */
void *service_find(struct vm *vm, const struct service_ops *ops);
/* The same by name. */
void *services_find(struct vm *vm, const char *name);

#endif
