// SPDX-License-Identifier: BSD-2-Clause
#include "meminfo.h"

#include <errno.h>
#include <string.h>

int guest_meminfo_decode(const void *message, size_t length, struct guest_meminfo *memory)
{
	struct sym_meminfo raw;

	if (length != sizeof(raw))
		return -EPROTO;
	memcpy(&raw, message, sizeof(raw));
	*memory = (struct guest_meminfo){
		.mem_total = raw.mem_total,
		.mem_free = raw.mem_free,
		.mem_available = raw.mem_available,
		.swap_total = raw.swap_total,
		.swap_free = raw.swap_free,
		.swap_in = raw.swap_in,
		.swap_out = raw.swap_out,
		.major_faults = raw.major_faults,
	};
	return 0;
}

int guest_meminfo(const struct guest *guest, unsigned vcpu, const struct guest_limit *limit,
		  struct guest_meminfo *memory, struct guest_error *err)
{
	struct sym_meminfo message;
	int status = guest_call_message(guest, vcpu, limit, SYM_CALL_MEMINFO, &message,
					sizeof(message), err);

	return status < 0 ? status : guest_meminfo_decode(&message, sizeof(message), memory);
}
