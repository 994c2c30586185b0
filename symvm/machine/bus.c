// SPDX-License-Identifier: BSD-2-Clause
#include "machine/bus.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int bus_init(struct bus *bus)
{
	memset(bus, 0, sizeof(*bus));
	return -pthread_rwlock_init(&bus->lock, NULL);
}

void bus_destroy(struct bus *bus)
{
	pthread_rwlock_destroy(&bus->lock);
	free(bus->ranges);
	bus->ranges = NULL;
	bus->count = 0;
}

/* Index of the first range whose end is above @address. */
static unsigned range_after(const struct bus *bus, uint64_t address)
{
	unsigned low = 0, high = bus->count;

	while (low < high) {
		unsigned middle = (low + high) / 2;

		if (bus->ranges[middle].base + (bus->ranges[middle].size - 1) < address)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static int add_locked(struct bus *bus, const struct bus_range *range)
{
	unsigned at = range_after(bus, range->base);

	if (at < bus->count && bus->ranges[at].base <= range->base + (range->size - 1))
		return -EEXIST;
	if (bus->count == bus->capacity) {
		unsigned capacity = bus->capacity ? bus->capacity * 2 : 16;
		struct bus_range *grown = realloc(bus->ranges, capacity * sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		bus->ranges = grown;
		bus->capacity = capacity;
	}
	memmove(&bus->ranges[at + 1], &bus->ranges[at], (bus->count - at) * sizeof(*range));
	bus->ranges[at] = *range;
	bus->count++;
	return 0;
}

int bus_add(struct bus *bus, uint64_t base, uint64_t size, bus_access access, void *opaque)
{
	struct bus_range range = {.base = base, .size = size, .access = access, .opaque = opaque};
	int status;

	if (size == 0 || base + (size - 1) < base)
		return -EINVAL;
	pthread_rwlock_wrlock(&bus->lock);
	status = add_locked(bus, &range);
	pthread_rwlock_unlock(&bus->lock);
	return status;
}

int bus_remove(struct bus *bus, uint64_t base)
{
	int status = -ENOENT;
	unsigned at;

	pthread_rwlock_wrlock(&bus->lock);
	at = range_after(bus, base);
	if (at < bus->count && bus->ranges[at].base == base) {
		bus->count--;
		memmove(&bus->ranges[at], &bus->ranges[at + 1],
			(bus->count - at) * sizeof(bus->ranges[0]));
		status = 0;
	}
	pthread_rwlock_unlock(&bus->lock);
	return status;
}

bool bus_dispatch(struct bus *bus, uint64_t address, void *data, unsigned length, bool is_write)
{
	struct bus_range range;
	unsigned at;
	bool found;

	pthread_rwlock_rdlock(&bus->lock);
	at = range_after(bus, address);
	found = at < bus->count && bus->ranges[at].base <= address;
	if (found)
		range = bus->ranges[at];
	pthread_rwlock_unlock(&bus->lock);
	if (!is_write)
		memset(data, 0xff, length);
	if (!found || length > range.size - (address - range.base))
		return false;
	range.access(range.opaque, address - range.base, data, length, is_write);
	return true;
}
