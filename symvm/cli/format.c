// SPDX-License-Identifier: BSD-2-Clause
#include "cli/format.h"

#include <stdio.h>

#define DURATION_MAX 1e15

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

void format_count(char *text, size_t size, int64_t count)
{
	/* Its digits in groups of three, from the right. */
	unsigned long long left = count < 0 ? -(unsigned long long)count
					    : (unsigned long long)count;
	char digits[32];
	size_t at = sizeof(digits) - 1, done = 0;

	digits[at] = '\0';
	do {
		if (done && done % 3 == 0)
			digits[--at] = ',';
		digits[--at] = (char)('0' + left % 10);
		left /= 10;
		done++;
	} while (left);
	snprintf(text, size, "%s%s", count < 0 ? "-" : "", digits + at);
}

void format_nanoseconds(char *text, size_t size, int64_t ns)
{
	if (ns > -1000000000 && ns < 1000000000)
		snprintf(text, size, "%.3f ms", (double)ns / 1e6);
	else
		snprintf(text, size, "%.3f s", (double)ns / 1e9);
}

void format_duration(char *text, size_t size, double seconds)
{
	unsigned long long whole;

	/* The VM may send any value. */
	if (!(seconds > 0))
		seconds = 0;
	if (seconds > DURATION_MAX)
		seconds = DURATION_MAX;
	whole = (unsigned long long)seconds;
	if (whole < 60)
		snprintf(text, size, "%.1fs", seconds);
	else if (whole < 3600)
		snprintf(text, size, "%llum %llus", whole / 60, whole % 60);
	else if (whole < 86400)
		snprintf(text, size, "%lluh %llum", whole / 3600, whole / 60 % 60);
	else
		snprintf(text, size, "%llud %lluh", whole / 86400, whole / 3600 % 24);
}
