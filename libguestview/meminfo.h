/* SPDX-License-Identifier: BSD-2-Clause */
/* The guest's memory and swap space (SYM_CALL_MEMINFO). */
#ifndef GUESTVIEW_MEMINFO_H
#define GUESTVIEW_MEMINFO_H

#include "guestview.h"

struct guest_meminfo {
	uint64_t mem_total; /* these in bytes */
	uint64_t mem_free;
	uint64_t mem_available;
	uint64_t swap_total;
	uint64_t swap_free;
	uint64_t swap_in; /* pages since boot */
	uint64_t swap_out;
	uint64_t major_faults; /* since boot */
};

/* Asks for them, by a call on @vcpu. Errors: those of guest_call_message(). */
GUEST_API int guest_meminfo(const struct guest *guest, unsigned vcpu,
			    const struct guest_limit *limit, struct guest_meminfo *memory,
			    struct guest_error *err);

/* Decodes @length bytes at @message. -EPROTO: they are not one struct sym_meminfo. Any thread. */
GUEST_API int guest_meminfo_decode(const void *message, size_t length,
				   struct guest_meminfo *memory);

#endif
