// SPDX-License-Identifier: BSD-2-Clause
/* Prometheus' text exposition format, version 0.0.4. */
#include "machine/report.h"

#include <stdarg.h>

#include "machine/vm.h"

void metrics_family(FILE *out, const char *name, const char *type, const char *help)
{
	fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void put_label(FILE *out, const char *label, const char *value)
{
	fprintf(out, "%s=\"", label);
	for (; *value; value++) {
		if (*value == '\n') {
			fputs("\\n", out);
			continue;
		}
		if (*value == '\\' || *value == '"')
			fputc('\\', out);
		fputc(*value, out);
	}
	fputc('"', out);
}

void metrics_sample(FILE *out, const struct vm *vm, const char *name, double value, ...)
{
	const char *label;
	va_list args;

	fprintf(out, "%s{", name);
	put_label(out, "vm", vm->config.name);
	va_start(args, value);
	while ((label = va_arg(args, const char *))) {
		fputc(',', out);
		put_label(out, label, va_arg(args, const char *));
	}
	va_end(args);
	/* Counters are whole: print them without an exponent. */
	if (value > -1e15 && value < 1e15 && value == (double)(int64_t)value)
		fprintf(out, "} %lld\n", (long long)value);
	else
		fprintf(out, "} %.9g\n", value);
}
