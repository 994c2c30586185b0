// SPDX-License-Identifier: BSD-2-Clause
/* The section `process` of info: what the VM's process costs the host. */
#include <time.h>

#include "control/control.h"
#include "machine/report.h"
#include "util/clock.h"

/* User and system time of all threads since the start; a vCPU's time in the guest counts. */
static json_int_t cpu_ns(void)
{
	struct timespec time = {0};

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
	return (json_int_t)time.tv_sec * (json_int_t)NS_PER_SECOND + time.tv_nsec;
}

static void process_info(struct vm *vm, json_t *object)
{
	json_object_set_new(object, "cpu_ns", json_integer(cpu_ns()));
}

static void process_metrics(struct vm *vm, FILE *out)
{
	metrics_family(out, "symvm_process_cpu_seconds_total", "counter",
		       "CPU time of the VM's process on the host.");
	metrics_sample(out, vm, "symvm_process_cpu_seconds_total",
		       (double)cpu_ns() / (double)NS_PER_SECOND, NULL);
}

static const struct report process_report = {
	.name = "process",
	.info = process_info,
	.metrics = process_metrics,
};
REPORT(process_report);
