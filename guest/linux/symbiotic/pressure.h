/* SPDX-License-Identifier: GPL-2.0-only */
/* Averages of PSI, for the calls that give them. */
#ifndef SYMBIOTIC_PRESSURE_H
#define SYMBIOTIC_PRESSURE_H

#include <linux/minmax.h>
#include <linux/psi_types.h>
#include <linux/sched/loadavg.h>

/*
 * avg10 of @state in hundredths of a percent, as PSI's own work last updated it. @group may be
 * NULL: 0. Takes no lock.
 */
static inline u32 sym_pressure(const struct psi_group *group, enum psi_states state)
{
#ifdef CONFIG_PSI
	/* Percent, as a fixed-point number with FSHIFT bits after the point. */
	if (group)
		return min_t(u64, ((u64)READ_ONCE(group->avg[state][0]) * 100) >> FSHIFT,
			     100 * 100);
#endif
	return 0;
}

#endif
