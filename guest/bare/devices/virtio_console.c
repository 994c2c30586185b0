// SPDX-License-Identifier: BSD-2-Clause
#include "virtio.h"

static void console(void)
{
	static const char text[] = "hello from the other console\n";
	const struct part part = {text, sizeof(text) - 1, false};
	struct virtio device;

	if (!check(virtio_find(&device, VIRTIO_CONSOLE, 0), "virtio-console is there") ||
	    !check(virtio_start(&device, 0), "its driver starts"))
		return;
	check(virtio_request(&device, 1, &part, 1) >= 0, "a line left");
}
TEST("virtio-console", console);
