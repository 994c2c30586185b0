// SPDX-License-Identifier: BSD-2-Clause
/* See storm.h. Prints the guest's console, then one line of JSON with the counters. */
#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "storm.h"

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

static void *translate(void *opaque, uint64_t gpa, uint64_t length)
{
	struct storm *storm = opaque;

	if (gpa >= storm->memory_size || length > storm->memory_size - gpa)
		return NULL;
	return storm->memory + gpa;
}

static int service_exit(void *opaque, struct kvm_run *run)
{
	machine_exit(opaque);
	return 0;
}

static void deadline_set(struct storm_vcpu *vcpu, uint64_t usec)
{
	struct itimerspec when = {
		.it_value = {.tv_sec = usec / 1000000, .tv_nsec = usec % 1000000 * 1000}};

	timer_settime(vcpu->timer, 0, &when, NULL);
}

static void arm_deadline(void *opaque, uint64_t usec)
{
	deadline_set(opaque, usec);
}

static void disarm_deadline(void *opaque)
{
	deadline_set(opaque, 0);
}

static void log_line(void *opaque, enum sym_log_level level, const char *message)
{
	if (level <= SYM_LOG_WARN || getenv("STORM_DEBUG"))
		fprintf(stderr, "libsymcall: %s\n", message);
}

static const struct sym_ops ops = {
	.translate = translate,
	.service_exit = service_exit,
	.arm_deadline = arm_deadline,
	.disarm_deadline = disarm_deadline,
	.log = log_line,
};

static __thread struct kvm_run *own_run;

/* A kick that comes before KVM_RUN is entered must not be lost. */
static void on_kick(int signal)
{
	if (own_run)
		own_run->immediate_exit = 1;
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ull + now.tv_nsec;
}

/*
 * A kick's call. The guest then has the vCPU for as long as the call took, before a kick calls
 * again: on a slow machine, calls without a pause leave the guest no time, and its watchdogs see a
 * lockup.
 */
static void call_at_kick(struct storm_vcpu *vcpu)
{
	uint64_t begin = now_ns(), end;

	if (begin < vcpu->next_call_ns)
		return;
	storm_call(vcpu, false);
	end = now_ns();
	vcpu->next_call_ns = end + (end - begin);
}

static void *vcpu_main(void *opaque)
{
	struct storm_vcpu *vcpu = opaque;
	struct storm *storm = vcpu->storm;
	struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = STORM_KICK};
	int result;

	event.sigev_notify_thread_id = syscall(SYS_gettid);
	if (timer_create(CLOCK_MONOTONIC, &event, &vcpu->timer))
		exit(2);
	own_run = vcpu->run;
	vcpu->started = true;
	while (!storm->ended) {
		result = sym_vcpu_run(vcpu->sym);
		if (result == -EINTR) {
			vcpu->run->immediate_exit = 0;
			if (storm->period_us && !storm->kicks_only)
				call_at_kick(vcpu);
		} else if (result == 0) {
			if (storm->exit_permille &&
			    storm_random(vcpu) % 1000 < storm->exit_permille &&
			    vcpu->run->exit_reason != KVM_EXIT_SHUTDOWN)
				storm_call(vcpu, true);
			machine_exit(vcpu);
		} else if (result < 0 && result != -EAGAIN) {
			fprintf(stderr, "storm: vCPU %u: KVM_RUN: %s\n", vcpu->id,
				strerror(-result));
			storm->status = 1;
			storm->ended = true;
		}
	}
	return NULL;
}

static struct argp_option options[] = {
	{"kernel", 'k', "FILE", 0, "bzImage", 0},
	{"initrd", 'i', "FILE", 0, "initramfs with symbiotic.ko", 0},
	{"append", 'a', "WORDS", 0, "more words for the kernel's command line", 0},
	{"cpus", 'c', "N", 0, "vCPUs (1)", 0},
	{"memory", 'm', "MIB", 0, "guest memory (384)", 0},
	{"period", 'p', "USEC", 0, "time between two kicks with a call, 0: none (2000)", 0},
	{"kicks-only", 'K', NULL, 0, "kick without a call, to tell what the kicks do", 0},
	{"exits", 'e', "PERMILLE", 0, "of the exits: a call in them (50)", 0},
	{"slow", 's', "MSEC", 0, "calls of the probe take so long (0)", 0},
	{"off", 'o', NULL, 0, "do not offer the interface", 0},
	{"calls", 'n', "N", 0, "publish policy 1 to the guest after so many calls: enough", 0},
	{"time", 't', "SEC", 0, "end after that time with status 3 (120)", 0},
	{0},
};

struct arguments {
	const char *kernel, *initrd, *append;
	struct storm *storm;
	uint64_t calls;
	unsigned int seconds;
};

static error_t parse(int key, char *argument, struct argp_state *state)
{
	struct arguments *arguments = state->input;
	struct storm *storm = arguments->storm;

	switch (key) {
	case 'k':
		arguments->kernel = argument;
		break;
	case 'i':
		arguments->initrd = argument;
		break;
	case 'a':
		arguments->append = argument;
		break;
	case 'c':
		storm->vcpus = atoi(argument);
		break;
	case 'm':
		storm->memory_size = strtoull(argument, NULL, 0) << 20;
		break;
	case 'p':
		storm->period_us = atoi(argument);
		break;
	case 'K':
		storm->kicks_only = true;
		storm->exit_permille = 0;
		break;
	case 'e':
		storm->exit_permille = atoi(argument);
		break;
	case 's':
		storm->slow_ms = atoi(argument);
		break;
	case 'o':
		storm->interface = false;
		break;
	case 'n':
		arguments->calls = strtoull(argument, NULL, 0);
		break;
	case 't':
		arguments->seconds = atoi(argument);
		break;
	case ARGP_KEY_END:
		if (!arguments->kernel || !arguments->initrd || storm->vcpus < 1 ||
		    storm->vcpus > STORM_VCPUS_MAX || storm->memory_size < 128 << 20 ||
		    storm->memory_size > 3u << 30)
			argp_error(state,
				   "--kernel and --initrd are needed; --cpus 1 to %d, "
				   "--memory 128 to 3072",
				   STORM_VCPUS_MAX);
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

static int storm_create(struct storm *storm, const struct arguments *arguments)
{
	char words[4096];
	const struct sym_vm_config config = {
		.size = sizeof(config),
		.ops = &ops,
		.opaque = storm,
		.name = "storm",
		.features = storm->interface ? SYM_FEATURES_ALL : 0,
		.deadline_us = 20000000, /* the emulated host may stall for long */
		.vm_fd = storm->vm_fd,
	};
	int error;

	storm->sym = sym_vm_create(&config);
	if (!storm->sym)
		return -errno;
	error = sym_vm_set_doorbell(storm->sym, PROBE_DOORBELL, storm_doorbell, storm);
	if (!error)
		error = machine_create(storm);
	if (error)
		return error;
	snprintf(words, sizeof(words),
		 /* There is no way to power off: any end of the guest has to be a reboot. A panic
		  * before the console's driver is there must not be silent. */
		 "console=ttyS0 earlyprintk=ttyS0 acpi=off pci=off reboot=k panic=-1 quiet "
		 "no_timer_check symvm.end=reboot %s",
		 arguments->append ?: "");
	return machine_load(storm, arguments->kernel, arguments->initrd, words);
}

static void report(const struct storm *storm)
{
	struct storm_counts sum = {0};
	struct sym_spy_vm_guest guest = {0};
	uint64_t listings = 0, tasks = 0, runs = 0, ioctls = 0, calls = 0, bells = 0;
	unsigned int i;

	for (i = 0; i < storm->vcpus; i++) {
		const struct storm_vcpu *vcpu = &storm->vcpu[i];
		struct sym_vcpu_stats stats;

		sum.tried += vcpu->counts.tried, sum.returned += vcpu->counts.returned;
		sum.not_here += vcpu->counts.not_here, sum.not_ready += vcpu->counts.not_ready;
		sum.failed += vcpu->counts.failed, sum.wrong += vcpu->counts.wrong;
		sum.slow += vcpu->counts.slow;
		for (unsigned int p = 0; p < 4; p++)
			sum.points[p] += vcpu->counts.points[p];
		listings += vcpu->listings, tasks += vcpu->tasks_seen, bells += vcpu->doorbells;
		sym_vcpu_get_stats(vcpu->sym, &stats);
		runs += stats.kvm_runs, ioctls += stats.other_ioctls, calls += stats.calls;
	}
	sym_vm_spy_read(storm->sym, &guest);
	printf("\nstorm: {\"tried\":%lu,\"returned\":%lu,\"not_here\":%lu,\"not_ready\":%lu,"
	       "\"failed\":%lu,\"wrong\":%lu,\"slow\":%lu,\"user\":%lu,\"kernel\":%lu,\"idle\":%lu,"
	       "\"in_exit\":%lu,\"listings\":%lu,\"tasks\":%lu,\"calls\":%lu,\"kvm_runs\":%lu,"
	       "\"other_ioctls\":%lu,\"doorbells\":%lu,\"boot_state\":%u,\"status\":%d}\n",
	       sum.tried, sum.returned, sum.not_here, sum.not_ready, sum.failed, sum.wrong,
	       sum.slow, sum.points[0], sum.points[1], sum.points[2], sum.points[3], listings,
	       tasks, calls, runs, ioctls, bells, guest.boot_state, storm->status);
	fflush(stdout);
	if (sum.failed || sum.wrong)
		exit(1);
}

static uint64_t calls_completed(const struct storm *storm)
{
	struct sym_vcpu_stats stats;
	uint64_t sum = 0;

	for (unsigned int i = 0; i < storm->vcpus; i++) {
		sym_vcpu_get_stats(storm->vcpu[i].sym, &stats);
		sum += stats.completed;
	}
	return sum;
}

static void kick_all(struct storm *storm)
{
	for (unsigned int i = 0; i < storm->vcpus && storm->period_us; i++)
		if (storm->vcpu[i].started && sym_vcpu_enabled(storm->vcpu[i].sym))
			pthread_kill(storm->vcpu[i].thread, STORM_KICK);
}

/* Kicks until the guest has ended, or the time is over. */
static void storm_watch(struct storm *storm, const struct arguments *arguments)
{
	const struct sym_publication enough = {.policy = 1};
	uint64_t end = now_ns() + arguments->seconds * 1000000000ull;
	bool told = !arguments->calls;

	while (!storm->ended) {
		usleep(storm->period_us ?: 100000);
		if (now_ns() >= end) {
			fprintf(stderr, "storm: the time is over\n");
			storm->status = 3;
			storm->ended = true;
		}
		if (!told && calls_completed(storm) >= arguments->calls) {
			sym_vm_publish(storm->sym, &enough);
			told = true;
		}
		kick_all(storm);
	}
}

int main(int argc, char **argv)
{
	static struct storm storm = {.vcpus = 1,
				     .memory_size = 384 << 20,
				     .period_us = 2000,
				     .exit_permille = 50,
				     .interface = true,
				     .lock = PTHREAD_MUTEX_INITIALIZER};
	struct arguments arguments = {.storm = &storm, .seconds = 120};
	const struct argp argp = {options, parse, NULL, "Boot Linux and storm it with calls.",
				  NULL,	   NULL,  NULL};
	struct sigaction action = {.sa_handler = on_kick};
	unsigned int i;

	argp_parse(&argp, argc, argv, 0, NULL, &arguments);
	sigaction(STORM_KICK, &action, NULL);
	storm.kvm_fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	storm.vm_fd = storm.kvm_fd < 0 ? -1 : ioctl(storm.kvm_fd, KVM_CREATE_VM, 0);
	if (storm.vm_fd < 0 || storm_create(&storm, &arguments)) {
		perror("storm");
		return 2;
	}
	for (i = 0; i < storm.vcpus; i++)
		pthread_create(&storm.vcpu[i].thread, NULL, vcpu_main, &storm.vcpu[i]);
	storm_watch(&storm, &arguments);
	for (i = 0; i < storm.vcpus; i++) {
		pthread_kill(storm.vcpu[i].thread, STORM_KICK);
		pthread_join(storm.vcpu[i].thread, NULL);
	}
	report(&storm);
	return storm.status;
}
