// SPDX-License-Identifier: BSD-2-Clause
/* Any accesses of the guest to the serial port, between input of the host, saves and loads. */
#include "../unit/devices/stand_ins.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void save_and_load(void)
{
	const struct device_ops *ops = machine.device->ops;
	struct serialize_writer writer = {0};
	struct serialize_reader reader;

	if (ops->save(machine.device, &writer) < 0)
		abort();
	reader = (struct serialize_reader){.data = writer.data, .length = writer.length};
	if (ops->load(machine.device, &reader, ops->version) < 0)
		abort();
	serialize_writer_free(&writer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct serialize_reader script = {.data = data, .length = size};
	struct error err;

	if (machine_try("console", "none", &err) < 0)
		abort();
	while (script.status == 0 && script.offset < size) {
		uint8_t step = serialize_get_u8(&script), value[8];
		unsigned offset = step & 7, length = 1u << (step >> 3 & 3);

		if (step >= 0xf8) {
			save_and_load();
			continue;
		}
		if (step >= 0xf0) {
			/* A saved state that was tampered with. */
			machine.device->ops->load(machine.device, &script, 1);
			script.status = 0;
			continue;
		}
		serialize_get_bytes(&script, value, sizeof(value));
		if (offset + length <= 8)
			machine.range.access(machine.range.opaque, offset, value, length,
					     step & 0x20);
	}
	machine_destroy();
	return 0;
}
