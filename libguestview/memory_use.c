// SPDX-License-Identifier: BSD-2-Clause
#include "memory_use.h"

#include <errno.h>
#include <string.h>

#include "fetch.h"

/* The first version's size: later ones may be longer. */
#define MEMORY_SIZE_MIN sizeof(struct sym_memory)

int guest_memory_use_decode(const void *message, size_t length, struct guest_memory_use *memory)
{
	if (length < MEMORY_SIZE_MIN || length > SYM_MESSAGE_SIZE)
		return -EPROTO;
	memcpy(&memory->values, message, sizeof(memory->values));
	memory->has_pressure = memory->values.flags & SYM_MEMORY_PRESSURE;
	return 0;
}

int guest_memory_use(const struct guest *guest, const struct guest_limit *limit,
		     struct guest_memory_use *memory, struct guest_error *err)
{
	uint8_t message[SYM_MESSAGE_SIZE];
	const struct sym_call_request request = {
		.number = SYM_CALL_MEMORY,
		.message = message,
		.message_size = sizeof(message),
	};
	struct sym_call_result result;
	unsigned vcpu = 0;
	int status = guest_call_any(guest, &vcpu, limit, &request, &result, err);

	if (status < 0)
		return status;
	if (result.value == -ENOSYS)
		return guest_error_set(err, -EOPNOTSUPP,
				       "the guest's module is too old to describe its memory");
	if (result.value < 0)
		return guest_error_set(err, -EIO, "the guest could not describe its memory (%lld)",
				       (long long)result.value);
	status = guest_memory_use_decode(message, result.message_length, memory);
	if (status < 0)
		return guest_error_set(err, status, "the guest's memory has a wrong length");
	return 0;
}

void guest_cgroup_decode(const void *record, struct guest_cgroup *cgroup)
{
	struct sym_cgroup raw;

	memcpy(&raw, record, sizeof(raw));
	*cgroup = (struct guest_cgroup){
		.memory = raw.memory,
		.limit = raw.limit,
		.swap = raw.swap,
		.pressure_some = raw.pressure_some,
		.pressure_full = raw.pressure_full,
	};
	_Static_assert(sizeof(cgroup->path) == sizeof(raw.path) + 1, "path and its NUL");
	guest_text_copy(cgroup->path, raw.path, sizeof(raw.path));
}

static int cgroups_add(const void *record, void *opaque, struct guest_error *err)
{
	struct guest_cgroups *list = opaque;

	guest_cgroup_decode(record, &list->cgroups[list->count++]);
	return 0;
}

int guest_cgroups(const struct guest *guest, const struct guest_limit *limit, unsigned max,
		  struct guest_cgroups *list, struct guest_error *err)
{
	const struct guest_listing listing = {
		.name = "list of cgroups",
		.number = SYM_CALL_CGROUPS,
		.flags = max,
		.record = sizeof(struct sym_cgroup),
		.max = max < GUEST_CGROUPS_MAX ? max : GUEST_CGROUPS_MAX,
	};
	bool complete;

	list->count = 0;
	return guest_fetch(guest, limit, &listing, cgroups_add, list, &complete, err);
}
