// SPDX-License-Identifier: BSD-2-Clause
#include "runtime.h"

static void panic(void)
{
	check(in8(PORT_PANIC) & 1, "pvpanic takes panics");
	out8(PORT_PANIC, 1);
	check(false, "the VM ends at a panic");
}
TEST("panic", panic);
