/* SPDX-License-Identifier: BSD-2-Clause */
/* Where the guest's memory is (SYM_CALL_MEMORY), and which cgroups have it (SYM_CALL_CGROUPS). */
#ifndef GUESTVIEW_MEMORY_USE_H
#define GUESTVIEW_MEMORY_USE_H

#include "guestview.h"

struct guest_memory_use {
	struct sym_memory values; /* members that the guest does not know are 0 */
	bool has_pressure;
};

/*
 * Asks for them, on any vCPU that can be asked. In addition to guest_call_any()'s errors:
 * -EOPNOTSUPP, the guest's module does not know this call; -EPROTO, the answer is malformed; -EIO,
 * another refusal.
 */
GUEST_API int guest_memory_use(const struct guest *guest, const struct guest_limit *limit,
			       struct guest_memory_use *memory, struct guest_error *err);

/* Decodes @length bytes at @message. -EPROTO: it is too short or too long. Any thread. */
GUEST_API int guest_memory_use_decode(const void *message, size_t length,
				      struct guest_memory_use *memory);

#define GUEST_CGROUPS_MAX SYM_CGROUPS_MAX

struct guest_cgroup {
	uint64_t memory;	/* bytes, its children's included */
	uint64_t limit;		/* UINT64_MAX: none */
	uint64_t swap;		/* bytes */
	uint32_t pressure_some; /* of memory, avg10 in hundredths of a percent */
	uint32_t pressure_full;
	char path[97]; /* the end of it */
};

struct guest_cgroups {
	size_t count;
	struct guest_cgroup cgroups[GUEST_CGROUPS_MAX]; /* in the guest's order: largest first */
};

/*
 * Asks for the @max (1 to GUEST_CGROUPS_MAX) cgroups that have most memory. Errors: those of
 * guest_fetch(); -EOPNOTSUPP if the guest's module does not know this call.
 */
GUEST_API int guest_cgroups(const struct guest *guest, const struct guest_limit *limit,
			    unsigned max, struct guest_cgroups *list, struct guest_error *err);

/* Decodes one record of sizeof(struct sym_cgroup) bytes. Any thread. */
GUEST_API void guest_cgroup_decode(const void *record, struct guest_cgroup *cgroup);

#endif
