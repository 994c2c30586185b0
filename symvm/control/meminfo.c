// SPDX-License-Identifier: BSD-2-Clause
/* The call `meminfo`: the guest's memory and swap space. */
#include "libguestview/meminfo.h"

#include "control/named_call.h"

static int make_meminfo(const struct guest *guest, const struct call_arguments *arguments,
			json_t **result, struct guest_error *err)
{
	struct guest_meminfo memory;
	int status = guest_meminfo(guest, arguments->vcpu, &arguments->limit, &memory, err);

	if (status == 0)
		*result = json_pack(
			"{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "mem_total",
			(json_int_t)memory.mem_total, "mem_free", (json_int_t)memory.mem_free,
			"mem_available", (json_int_t)memory.mem_available, "swap_total",
			(json_int_t)memory.swap_total, "swap_free", (json_int_t)memory.swap_free,
			"swap_in", (json_int_t)memory.swap_in, "swap_out",
			(json_int_t)memory.swap_out, "major_faults",
			(json_int_t)memory.major_faults);
	return status;
}

static const struct named_call meminfo_call = {.name = "meminfo", .make = make_meminfo};
NAMED_CALL(meminfo_call);
