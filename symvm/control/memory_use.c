// SPDX-License-Identifier: BSD-2-Clause
/*
 * The control command `memory_use`: what the guest's kernel says about its memory. A command of its
 * own, because `memory` must work while a guest does not answer.
 */
#include <string.h>

#include "control/control.h"
#include "libguestview/memory_use.h"
#include "services/guest.h"

static json_t *pressure_json(const uint32_t pressure[])
{
	static const char *const names[] = {
		[SYM_PRESSURE_CPU_SOME] = "cpu_some",
		[SYM_PRESSURE_CPU_FULL] = "cpu_full",
		[SYM_PRESSURE_MEMORY_SOME] = "memory_some",
		[SYM_PRESSURE_MEMORY_FULL] = "memory_full",
		[SYM_PRESSURE_IO_SOME] = "io_some",
		[SYM_PRESSURE_IO_FULL] = "io_full",
	};
	json_t *object = json_object();

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		json_object_set_new(object, names[i], json_integer((json_int_t)pressure[i]));
	return object;
}

static json_t *guest_memory_json(const struct guest_memory_use *memory)
{
	static const struct {
		const char *key;
		size_t offset;
	} members[] = {
#define MEMBER(name) {#name, offsetof(struct sym_memory, name)}
		MEMBER(mem_total),
		MEMBER(mem_free),
		MEMBER(mem_available),
		MEMBER(file),
		MEMBER(anon),
		MEMBER(shmem),
		MEMBER(slab_reclaimable),
		MEMBER(slab_unreclaimable),
		MEMBER(page_tables),
		MEMBER(kernel_stacks),
		MEMBER(dirty),
		MEMBER(writeback),
		MEMBER(swap_total),
		MEMBER(swap_free),
		MEMBER(swap_cached),
		MEMBER(swap_in),
		MEMBER(swap_out),
		MEMBER(major_faults),
		MEMBER(refault_anon),
		MEMBER(refault_file),
#undef MEMBER
	};
	json_t *object = json_object();

	for (unsigned i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
		uint64_t value;

		memcpy(&value, (const char *)&memory->values + members[i].offset, sizeof(value));
		json_object_set_new(object, members[i].key,
				    json_integer((json_int_t)(value & INT64_MAX)));
	}
	json_object_set_new(object, "pressure",
			    memory->has_pressure ? pressure_json(memory->values.pressure)
						 : json_null());
	return object;
}

static json_t *cgroups_json(const struct guest_cgroups *list)
{
	json_t *array = json_array();

	for (size_t i = 0; i < list->count; i++) {
		const struct guest_cgroup *group = &list->cgroups[i];

		json_array_append_new(
			array,
			json_pack("{s:o, s:I, s:o, s:I, s:I, s:I}", "path",
				  control_text(group->path), "memory",
				  (json_int_t)(group->memory & INT64_MAX), "limit",
				  group->limit == UINT64_MAX
					  ? json_null()
					  : json_integer((json_int_t)(group->limit & INT64_MAX)),
				  "swap", (json_int_t)(group->swap & INT64_MAX), "pressure_some",
				  (json_int_t)group->pressure_some, "pressure_full",
				  (json_int_t)group->pressure_full));
	}
	return array;
}

static int handle_memory_use(struct vm *vm, json_t *arguments, struct wait_limit *limit,
			     json_t **result, struct error *err)
{
	static const char *const known[] = {"cgroups", NULL};
	const struct guest_limit until = guest_limit_of(limit);
	const struct guest guest = guest_of_vm(vm);
	struct guest_memory_use memory;
	struct guest_cgroups list;
	struct guest_error words;
	json_int_t cgroups = 0;
	int status = control_arguments_known(arguments, known, err);

	if (status == 0)
		status = control_argument_integer(arguments, "cgroups", 1, GUEST_CGROUPS_MAX,
						  &cgroups, err);
	if (status < 0)
		return status;
	status = guest_memory_use(&guest, &until, &memory, &words);
	if (status == 0 && cgroups)
		status = guest_cgroups(&guest, &until, (unsigned)cgroups, &list, &words);
	if (status < 0)
		return guest_error_pass(err, status, &words);
	*result = guest_memory_json(&memory);
	if (cgroups)
		json_object_set_new(*result, "cgroups", cgroups_json(&list));
	return 0;
}

static const struct control_command memory_use_command = {
	.name = "memory_use",
	.help = "what the guest's kernel says about its memory; cgroups (integer): with so many "
		"cgroups",
	.is_query = true,
	.handle_until = handle_memory_use,
};
CONTROL_COMMAND(memory_use_command);
