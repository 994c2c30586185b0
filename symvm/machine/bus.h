/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The two address spaces that exits refer to, port I/O and memory-mapped I/O:
 * a range belongs to one device callback.
 */
#ifndef SYMVM_MACHINE_BUS_H
#define SYMVM_MACHINE_BUS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * An access of @length (1, 2, 4 or 8) bytes at @offset from the range's start, wholly inside the
 * range. On reads @data is preset to all ones. Runs on the vCPUs' threads, several at once: the
 * device takes its own locks.
 */
typedef void (*bus_access)(void *opaque, uint64_t offset, void *data, unsigned length,
			   bool is_write);

struct bus_range {
	uint64_t base;
	uint64_t size;
	bus_access access;
	void *opaque;
};

struct bus {
	pthread_rwlock_t lock;
	unsigned count;
	unsigned capacity;
	struct bus_range *ranges; /* sorted by base */
};

/* Makes @bus empty. 0 or -errno. Main thread, before vCPUs run. */
int bus_init(struct bus *bus);
/* Frees the ranges, but not the devices behind them. Main thread, when vCPUs have ended. */
void bus_destroy(struct bus *bus);

/*
 * Adds [@base, @base + @size). Any thread. -EEXIST if it overlaps another range, -EINVAL if it is
 * empty or wraps around, -ENOMEM.
 */
int bus_add(struct bus *bus, uint64_t base, uint64_t size, bus_access access, void *opaque);
/*
 * Removes the range that starts at @base; -ENOENT. Any thread, also within an access: dispatch
 * holds no lock while a callback runs. So a callback may still be running after this returns.
 */
int bus_remove(struct bus *bus, uint64_t base);

/*
 * Dispatches one access. An access outside of any range, or across a range's end, reads as all ones
 * and is dropped on write. Returns whether a device took it. vCPU threads.
 */
bool bus_dispatch(struct bus *bus, uint64_t address, void *data, unsigned length, bool is_write);

#endif
