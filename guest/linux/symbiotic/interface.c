// SPDX-License-Identifier: GPL-2.0-only
/* What discovery found, and whether the VMM accepted this guest. */
#include <linux/export.h>
#include "internal.h"

struct sym_interface sym_interface;

bool symbiotic_active(void)
{
	return READ_ONCE(sym_interface.active);
}
EXPORT_SYMBOL_GPL(symbiotic_active);
