/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The common part of all devices: an ops table with a versioned state. A device class creates
 * devices and names their `symvm run` option.
 */
#ifndef SYMVM_MACHINE_DEVICE_H
#define SYMVM_MACHINE_DEVICE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "util/error.h"
#include "util/registry.h"

struct vm;
struct device;
struct serialize_writer;
struct serialize_reader;

struct device_ops {
	const char *name; /* "virtio-blk" */
	uint32_t version; /* of the saved state */
	/* Optional: starts threads of its own, each of which enters vm->jail. Main thread, before
	 * any vCPU runs and before the main thread's own jail closes. */
	int (*start)(struct device *device, struct error *err);
	/*
	 * Optional: before reset(), lets go of guest memory. True if nothing is under way any more.
	 * Does not wait for the host's disks: if it returns false, the caller calls again some
	 * milliseconds later. A reset() without it waits until then, or until the VM ends. vCPUs
	 * are stopped, loops run. Main thread or lifecycle thread.
	 */
	bool (*quiesce)(struct device *device);
	/* Sets the device back to power-on state. vCPUs are stopped. */
	void (*reset)(struct device *device);
	/* Frees the device. vCPUs and loops are stopped. Main thread. */
	void (*destroy)(struct device *device);
	/*
	 * Writes the whole guest-visible state, after in-flight requests are drained. 0 or -errno.
	 * vCPUs are stopped.
	 */
	int (*save)(struct device *device, struct serialize_writer *writer);
	/*
	 * Optional: the VM continues, perhaps after a save(): restarts what the save stopped. vCPUs
	 * are stopped, loops run.
	 */
	void (*resume)(struct device *device);
	/* Optional: the VM was resumed and the vCPUs run again. Must not wait. Any thread. */
	void (*resumed)(struct device *device);
	/*
	 * Takes over what save() of @version (at most ops->version) wrote; -EINVAL if it is wrong.
	 * vCPUs are stopped.
	 */
	int (*load)(struct device *device, struct serialize_reader *reader, uint32_t version);
	/*
	 * Optional, for a console: copies the newest bytes that the guest wrote to it, at most
	 * @size, to @out, and returns their number. Any thread.
	 */
	size_t (*tail)(struct device *device, char *out, size_t size);
	/* Optional: adds what `symvm info` and metrics show (counters) to @object. Any thread. */
	void (*describe)(struct device *device, json_t *object);
};

/* Embedded as first member in each device's own structure. */
struct device {
	const struct device_ops *ops;
	struct vm *vm;
	char name[32]; /* unique in the VM: "disk0" */
	struct device *next;
};

/*
 * Adds @device to @vm, which owns it from then on (ops->destroy frees it). Its name is @prefix,
 * followed by a number if @numbered. Main thread, before vCPUs run.
 */
void device_add(struct vm *vm, struct device *device, const struct device_ops *ops,
		const char *prefix, bool numbered);

/*
 * The first device of @vm with these @ops, in creation order, or NULL. The file that has the ops
 * knows in which structure the device is embedded (container_of). Devices are only added before
 * vCPUs run, and stay until the end: any thread.
 */
struct device *device_find(struct vm *vm, const struct device_ops *ops);
/* The next device after @device with the same ops, or NULL. Any thread. */
struct device *device_find_next(struct device *device);

/*
 * Starts all devices, in creation order, until one fails: returns its error, with words. Main
 * thread, before any vCPU runs.
 */
int devices_start(struct vm *vm, struct error *err);
/*
 * Destroys all devices, the last one first: devices on a bus are destroyed before the bus. vCPUs
 * and loops are stopped. Main thread.
 */
void devices_destroy(struct vm *vm);

struct device_class {
	const char *option;   /* "disk": the option --disk; NULL: always there */
	const char *argument; /* "path=FILE[,readonly]" */
	const char *help;
	int order; /* creation order: the PCI bus (-1), platform devices (0), those on PCI (100 -)
		    */
	bool optional_argument;
	/* Not NULL: if the option is not given at all, one device is made with this argument. */
	const char *default_argument;
	/*
	 * Creates one device from the option's argument (NULL if there is none) and adds it by
	 * device_add(). Main thread, before any vCPU runs. Unknown or bad arguments: -EINVAL and
	 * words in @err that name the thing.
	 */
	int (*create)(struct vm *vm, const char *argument, struct error *err);
};
#define DEVICE_CLASS(object) REGISTRY_ENTRY(symvm_device_classes, struct device_class, object)

#endif
