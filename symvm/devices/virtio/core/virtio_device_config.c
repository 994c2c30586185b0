// SPDX-License-Identifier: BSD-2-Clause
/*
 * What a virtio device reports to its driver by a config interrupt: its config space, and a
 * failure.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "devices/virtio/core/transport.h"
#include "devices/virtio/core/virtio_device.h"
#include "machine/vm.h"

void virtio_device_fail(struct virtio_device *device, const char *format, ...)
{
	char reason[256];
	va_list args;

	if (atomic_exchange(&device->failed, true))
		return;
	va_start(args, format);
	vsnprintf(reason, sizeof(reason), format, args);
	va_end(args);
	log_limited(&device->vm->log, LOG_LEVEL_WARN, "%s: stopped until its driver resets it: %s",
		    device->device.name, reason);
	device->transport->ops->config_interrupt(device->transport);
}

void virtio_device_config_store(struct virtio_device *device, unsigned offset, const void *data,
				unsigned length)
{
	pthread_mutex_lock(&device->config_lock);
	if (offset <= device->config_size && length <= device->config_size - offset) {
		memcpy(device->config + offset, data, length);
		device->config_generation++;
	}
	pthread_mutex_unlock(&device->config_lock);
}

void virtio_device_config_update(struct virtio_device *device, unsigned offset, const void *data,
				 unsigned length)
{
	virtio_device_config_store(device, offset, data, length);
	device->transport->ops->config_interrupt(device->transport);
}
