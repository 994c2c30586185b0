/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A part's contribution to `symvm info` and `symvm metrics`: one constant struct in a linker
 * section, like commands. control/info.c and control/metrics.c walk the section.
 */
#ifndef SYMVM_MACHINE_REPORT_H
#define SYMVM_MACHINE_REPORT_H

#include <jansson.h>
#include <stdint.h>
#include <stdio.h>

#include "util/registry.h"

struct vm;

struct report {
	/* The key of its section in info's answer: "symbiotic". */
	const char *name;
	/*
	 * Optional: adds to @object, which is that section. A worker thread; vCPUs run meanwhile.
	 */
	void (*info)(struct vm *vm, json_t *object);
	/*
	 * Optional: writes whole metric families by metrics_family() and metrics_sample(). As
	 * above.
	 */
	void (*metrics)(struct vm *vm, FILE *out);
};
#define REPORT(object) REGISTRY_ENTRY(symvm_reports, struct report, object)

/*
 * Starts a family: HELP and TYPE lines. @type: "counter" (whose name ends in
 * "_total"), "gauge". Names are those of Prometheus' text format and begin with "symvm_".
 */
void metrics_family(FILE *out, const char *name, const char *type, const char *help);
/*
 * Writes a sample with the label vm=NAME and further labels, given as pairs of
 * texts (label, value) ended by NULL. Values are escaped.
 */
void metrics_sample(FILE *out, const struct vm *vm, const char *name, double value, ...)
	__attribute__((sentinel));

#endif
