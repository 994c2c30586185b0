// SPDX-License-Identifier: BSD-2-Clause
/*
 * The control command `memory`: what the guest has, what it is asked to have, and what it costs the
 * host.
 */
#include <errno.h>
#include <sys/stat.h>

#include "control/control.h"
#include "devices/virtio/mem.h"
#include "machine/vm.h"

/*
 * Host memory behind guest memory: what its files have allocated. Regions of one file count once.
 */
static uint64_t host_bytes(const struct vm *vm)
{
	uint64_t bytes = 0;
	struct stat file;

	for (unsigned i = 0; i < vm->memory.count; i++) {
		const struct memory_region *region = &vm->memory.regions[i];

		if (region->ram && region->fd_offset == 0 && fstat(region->fd, &file) == 0)
			bytes += (uint64_t)file.st_blocks * 512;
	}
	return bytes;
}

static json_t *memory_describe(struct vm *vm)
{
	uint64_t boot = vm->memory.ram_size;
	struct virtio_mem_state state = {0};

	virtio_mem_get(vm, &state);
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:b}", "boot", (json_int_t)boot, "max",
			 (json_int_t)(boot + state.limit), "requested",
			 (json_int_t)(boot + state.requested), "size",
			 (json_int_t)(boot + state.plugged), "minimum",
			 (json_int_t)(boot + state.floor), "host", (json_int_t)host_bytes(vm),
			 "driver", state.driver);
}

static int memory_resize(struct vm *vm, uint64_t size, struct error *err)
{
	uint64_t boot = vm->memory.ram_size;
	struct virtio_mem_state state;
	int status = virtio_mem_get(vm, &state);

	if (status < 0)
		return error_set(err, status, "this VM's memory is fixed (no --memory SIZE,max=)");
	if (size < boot || size - boot > state.limit)
		return error_set(err, -ERANGE, "size: %llu MiB are not from %llu to %llu MiB",
				 (unsigned long long)(size >> 20), (unsigned long long)(boot >> 20),
				 (unsigned long long)((boot + state.limit) >> 20));
	status = virtio_mem_set_floor(vm, size - boot);
	return status == -EBUSY ? error_set(err, status, "size: the broker decides (--broker)")
				: status;
}

static int handle_memory(struct vm *vm, json_t *arguments, json_t **result, struct error *err)
{
	static const char *const known[] = {"size", NULL};
	json_int_t size = -1;
	int status = control_arguments_known(arguments, known, err);

	if (status == 0)
		status = control_argument_integer(arguments, "size", 0, INT64_MAX, &size, err);
	if (status == 0 && size >= 0)
		status = memory_resize(vm, (uint64_t)size, err);
	if (status == 0)
		*result = memory_describe(vm);
	return status;
}

static const struct control_command memory_command = {
	.name = "memory",
	.help = "the guest's memory; size (bytes): ask the guest to have so much",
	.handle = handle_memory,
};
CONTROL_COMMAND(memory_command);
