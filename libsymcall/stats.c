/* SPDX-License-Identifier: BSD-2-Clause */
#include "internal.h"

void sym_vcpu_get_stats(const struct sym_vcpu *vcpu, struct sym_vcpu_stats *out)
{
#define SYM_STATS_FIELD(name, text) \
	out->name = atomic_load_explicit(&vcpu->stats.name, memory_order_relaxed);
	SYM_STATS(SYM_STATS_FIELD)
#undef SYM_STATS_FIELD
}
