/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Measures the cost of a symbiotic call, in units of one bare OUT exit of the same guest.
 * Plain exits and exits with a call take turns, so that the host's other work affects
 * both. The figures are percentiles of the paired ratios. "Whole" is all the time that
 * the call added to the exit.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "machine.h"

#define SAMPLES_DEFAULT 3000
#define WARM_UP		200

static int samples = SAMPLES_DEFAULT;

struct series {
	const char *name, *result;
	double *ratios;
	double runs_per_call, ioctls_per_call;
};

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void __attribute__((noreturn)) fail(const char *what, int error)
{
	fprintf(stderr, "symcall-bare-bench: %s: %d\n", what, error);
	exit(1);
}

static void run_plain(struct machine *m)
{
	int result = machine_run_to_exit(m);

	if (result != KVM_EXIT_IO)
		fail("exit", result);
}

static void ping(struct machine *m)
{
	uint64_t sum;
	int error = machine_ping(m, 20, 22, &sum);

	if (error)
		fail("call", error);
}

/* A loop of OUT: a plain exit and an exit with a call take turns. */
static void measure_atomic(struct machine *m, struct series *series)
{
	struct sym_vcpu_stats before, after;

	run_plain(m);
	for (int i = 0; i < WARM_UP; i++) {
		ping(m);
		run_plain(m);
	}
	before = machine_stats(m);
	for (int i = 0; i < samples; i++) {
		uint64_t a = now_ns(), b, c;

		run_plain(m);
		b = now_ns();
		ping(m);
		run_plain(m);
		c = now_ns();
		series->ratios[i] = ((double)(c - b) - (double)(b - a)) / (double)(b - a);
	}
	after = machine_stats(m);
	series->runs_per_call = (double)(after.kvm_runs - before.kvm_runs) / samples;
	series->ioctls_per_call = (double)(after.other_ioctls - before.other_ioctls) / samples;
}

static void start(struct machine *m, uint64_t label, bool user)
{
	machine_start(m, label);
	if (user)
		machine_enter_user(m);
}

static void measure_kernel(struct machine *m, struct series *series)
{
	machine_register(m, GUEST_HIGH_LABEL(h_ping), 0, 0);
	start(m, GUEST_LABEL(g_outs_forever), false);
	measure_atomic(m, series);
}

static void measure_kernel_user_gs(struct machine *m, struct series *series)
{
	machine_register(m, GUEST_HIGH_LABEL(h_ping), GS_DATA, 0);
	start(m, GUEST_LABEL(g_outs_forever), false);
	measure_atomic(m, series);
}

static void measure_user(struct machine *m, struct series *series)
{
	machine_register(m, GUEST_HIGH_LABEL(h_ping), GS_DATA, 0);
	/* One page table for both modes, as without KPTI. */
	start(m, GUEST_LABEL(g_user_outs_forever), true);
	struct kvm_sregs sregs;

	if (ioctl(m->vcpu_fd, KVM_GET_SREGS, &sregs) < 0)
		fail("KVM_GET_SREGS", errno);
	sregs.cr3 = PML4;
	if (ioctl(m->vcpu_fd, KVM_SET_SREGS, &sregs) < 0)
		fail("KVM_SET_SREGS", errno);
	measure_atomic(m, series);
}

static void measure_user_kpti(struct machine *m, struct series *series)
{
	machine_register(m, GUEST_HIGH_LABEL(h_ping), GS_DATA, 0x1000);
	start(m, GUEST_LABEL(g_user_outs_forever), true);
	measure_atomic(m, series);
}

struct bell {
	int calls;
	uint64_t ns;
};

static uint64_t on_bell(void *opaque, struct sym_vcpu *vcpu, void *vcpu_opaque,
			const uint64_t request[6])
{
	struct bell *bell = opaque;
	const struct sym_call_request call = {.number = SYM_CALL_SAFEPOINT_PING, .args = {20, 22}};
	struct sym_call_result result;
	uint64_t start_ns = now_ns();

	for (int i = 0; i < bell->calls; i++) {
		int error = sym_call_safepoint(vcpu, &call, &result);

		if (error || result.value != 42)
			fail("safepoint call", error);
	}
	bell->ns = now_ns() - start_ns;
	return 0;
}

/* A loop of doorbell and OUT: compares the OUT's time with that of a call in the doorbell. */
static void measure_safepoint(struct machine *m, struct series *series)
{
	static struct bell bell;
	struct sym_vcpu_stats before, after;
	struct kvm_regs regs = {.rip = GUEST_LABEL(g_doorbells_forever),
				.rsp = KERNEL_STACK,
				.rflags = 2,
				.rsi = SPY_VCPU,
				.rdi = 9};

	bell.calls = 1;
	if (sym_vm_set_doorbell(m->sym_vm, 9, on_bell, &bell))
		fail("sym_vm_set_doorbell", 0);
	machine_register(m, GUEST_HIGH_LABEL(h_ping), GS_DATA, 0);
	machine_spy_pages(m);
	machine_start(m, regs.rip);
	machine_set_regs(m, regs);
	for (int i = 0; i < WARM_UP; i++)
		run_plain(m);
	before = machine_stats(m);
	for (int i = 0; i < samples; i++) {
		uint64_t call_ns;
		uint64_t a, b;

		/* From OUT over the doorbell, in which the call is timed, to the next OUT. */
		run_plain(m);
		call_ns = bell.ns;
		/* A doorbell without a call, so that its exit alone is known. */
		bell.calls = 0;
		a = now_ns();
		run_plain(m);
		b = now_ns();
		bell.calls = 1;
		/* Two exits lay between: the doorbell's and OUT's. */
		series->ratios[i] = (double)call_ns / ((double)(b - a) / 2);
	}
	after = machine_stats(m);
	series->runs_per_call = (double)(after.kvm_runs - before.kvm_runs) / samples;
	series->ioctls_per_call = (double)(after.other_ioctls - before.other_ioctls) / samples;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double percentile(const struct series *series, int percent)
{
	return series->ratios[(size_t)(samples - 1) * (size_t)percent / 100];
}

/* Ends calls that outlive their deadline, at no cost to those that don't. */
struct watchdog {
	struct sym_vcpu *vcpu;
	pthread_t vcpu_thread;
};

static void *watch(void *opaque)
{
	const struct watchdog *watchdog = opaque;
	const struct timespec pause = {0, 10000000};

	for (;;) {
		nanosleep(&pause, NULL);
		if (sym_vcpu_overdue(watchdog->vcpu))
			pthread_kill(watchdog->vcpu_thread, SIGUSR1);
	}
	return NULL;
}

static void run_series(struct series *series, void (*measure)(struct machine *, struct series *))
{
	struct machine *m = machine_create(SYM_FEATURES_ALL, true);
	struct watchdog watchdog = {m->vcpu, pthread_self()};
	pthread_t thread;

	series->ratios = calloc((size_t)samples, sizeof(double));
	if (!series->ratios || pthread_create(&thread, NULL, watch, &watchdog))
		fail("set-up", errno);
	measure(m, series);
	pthread_cancel(thread);
	pthread_join(thread, NULL);
	machine_destroy(m);
	qsort(series->ratios, (size_t)samples, sizeof(double), compare);
}

int main(int argc, char **argv)
{
	struct series series[] = {
		{.name = "safepoint", .result = "safepoint"},
		{.name = "kernel mode", .result = "kernel"},
		{.name = "kernel, user GS", .result = "kernel_user_gs"},
		{.name = "user mode", .result = "user"},
		{.name = "user, KPTI", .result = "user_kpti"},
	};
	void (*const measures[])(struct machine *, struct series *) = {
		measure_safepoint, measure_kernel,    measure_kernel_user_gs,
		measure_user,	   measure_user_kpti,
	};
	const size_t count = sizeof(series) / sizeof(series[0]);
	double runs = 0, ioctls = 0;

	if (argc > 1 && atoi(argv[1]) > 0)
		samples = atoi(argv[1]);
	printf("# one call, in bare OUT exits, %d pairs: p10 median p90 p99, KVM_RUN and other "
	       "ioctls per call\n",
	       samples);
	for (size_t i = 0; i < count; i++) {
		run_series(&series[i], measures[i]);
		printf("row \"%s\" %.3f %.3f %.3f %.3f %.3f %.3f\n", series[i].name,
		       percentile(&series[i], 10), percentile(&series[i], 50),
		       percentile(&series[i], 90), percentile(&series[i], 99),
		       series[i].runs_per_call, series[i].ioctls_per_call);
		fflush(stdout);
	}
	for (size_t i = 0; i < count; i++) {
		printf("result symcall.%s_whole_vs_out %.3f ratio\n", series[i].result,
		       percentile(&series[i], 50));
		if (i && series[i].runs_per_call > runs)
			runs = series[i].runs_per_call;
		if (series[i].ioctls_per_call > ioctls)
			ioctls = series[i].ioctls_per_call;
	}
	printf("result symcall.kvm_runs_per_call %.3f count\n", runs);
	printf("result symcall.safepoint_kvm_runs_per_call %.3f count\n", series[0].runs_per_call);
	printf("result symcall.other_ioctls_per_call %.3f count\n", ioctls);
	return 0;
}
