// SPDX-License-Identifier: BSD-2-Clause
#include "machine/service.h"

#include <errno.h>
#include <stdlib.h>

#include "machine/vm.h"

REGISTRY_DECLARE(symvm_services, struct service_ops);

struct service {
	const struct service_ops *ops;
	void *state;
	struct service *next;
};

int services_start(struct vm *vm, struct error *err)
{
	const struct service_ops *const *it;
	struct service *service;
	int status;

	if (!vm->symbiotic)
		return 0;
	REGISTRY_FOR_EACH(symvm_services, it) {
		service = calloc(1, sizeof(*service));
		if (!service)
			return error_set(err, -ENOMEM, "service %s: out of memory", (*it)->name);
		service->ops = *it;
		status = service->ops->start(vm, &service->state, err);
		if (status < 0) {
			free(service);
			return status;
		}
		service->next = vm->services;
		vm->services = service;
	}
	return 0;
}

void services_stop(struct vm *vm)
{
	while (vm->services) {
		struct service *service = vm->services;

		vm->services = service->next;
		service->ops->stop(service->state);
		free(service);
	}
}

void *service_find(struct vm *vm, const struct service_ops *ops)
{
	for (struct service *service = vm->services; service; service = service->next)
		if (service->ops == ops)
			return service->state;
	return NULL;
}
