// SPDX-License-Identifier: BSD-2-Clause
#include "machine/device.h"

#include <stdio.h>

#include "machine/vm.h"

void device_add(struct vm *vm, struct device *device, const struct device_ops *ops,
		const char *prefix, bool numbered)
{
	struct device **link = &vm->devices;
	unsigned same = 0;

	for (; *link; link = &(*link)->next)
		same += (*link)->ops == ops;
	device->ops = ops;
	device->vm = vm;
	device->next = NULL;
	if (numbered)
		snprintf(device->name, sizeof(device->name), "%s%u", prefix, same);
	else
		snprintf(device->name, sizeof(device->name), "%s", prefix);
	*link = device;
}

static struct device *find_from(struct device *device, const struct device_ops *ops)
{
	while (device && device->ops != ops)
		device = device->next;
	return device;
}

struct device *device_find(struct vm *vm, const struct device_ops *ops)
{
	return find_from(vm->devices, ops);
}

struct device *device_find_next(struct device *device)
{
	return find_from(device->next, device->ops);
}

int devices_start(struct vm *vm, struct error *err)
{
	int status = 0;

	for (struct device *device = vm->devices; device && status == 0; device = device->next)
		if (device->ops->start)
			status = device->ops->start(device, err);
	return status;
}

void devices_destroy(struct vm *vm)
{
	while (vm->devices) {
		struct device **link = &vm->devices;
		struct device *last;

		while ((*link)->next)
			link = &(*link)->next;
		last = *link;
		*link = NULL;
		last->ops->destroy(last);
	}
}
