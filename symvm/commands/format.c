// SPDX-License-Identifier: BSD-2-Clause
#include "commands/format.h"

#include <stdio.h>

void format_size(char *text, size_t size, uint64_t bytes)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
	unsigned unit = 0;
	double value = (double)bytes;

	while (value >= 1024 && unit < 4) {
		value /= 1024;
		unit++;
	}
	if (value == (double)(uint64_t)value)
		snprintf(text, size, "%.0f %s", value, units[unit]);
	else
		snprintf(text, size, "%.1f %s", value, units[unit]);
}

void format_duration(char *text, size_t size, double seconds)
{
	unsigned long long whole = seconds > 0 ? (unsigned long long)seconds : 0;

	if (whole < 60)
		snprintf(text, size, "%.1fs", seconds > 0 ? seconds : 0);
	else if (whole < 3600)
		snprintf(text, size, "%llum %llus", whole / 60, whole % 60);
	else if (whole < 86400)
		snprintf(text, size, "%lluh %llum", whole / 3600, whole / 60 % 60);
	else
		snprintf(text, size, "%llud %lluh", whole / 86400, whole / 3600 % 24);
}
