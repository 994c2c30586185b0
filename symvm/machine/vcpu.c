// SPDX-License-Identifier: BSD-2-Clause
/*
 * A vCPU's thread.
 *
 * The loop (run_loop) does three things in turn: it serves requests of other threads, runs the
 * guest until its next exit, and has the exit handled (vcpu_exit.c). Only this thread touches the
 * vCPU's kvm_run and registers.
 *
 * Requests. Another thread that wants something of a vCPU sets a bit in vcpu->requests and then
 * sends the kick signal (vcpu_request). There are three bits:
 *
 *	PAUSE	Stay out of the guest while the bit is set. The thread is then "parked": it counts
 *		itself in vm->parked and waits on vm->state_changed. lifecycle.c clears the bit, and
 *		has the rules.
 *	STOP	Leave the thread. The thread parks first and then leaves.
 *	WORK	Run the function that vcpu_run_on() left in vcpu->work, once.
 *
 * Kicks. The signal takes the thread out of KVM_RUN with -EINTR. It may also come just before
 * KVM_RUN, where it would be lost. So its handler sets kvm_run's immediate_exit as well, and that
 * KVM_RUN returns at once. The loop clears the flag *before* it looks at the requests:
 *
 *	loop:   immediate_exit = 0;  if (requests) serve;  KVM_RUN
 *	other:  requests |= bit;     signal -> handler: immediate_exit = 1
 *
 * A bit that is set before the look is served. A bit that is set after the look comes with a
 * signal that arrives after the flag was cleared, so the next KVM_RUN returns. No request is lost,
 * and a signal that comes twice, or too late, costs one empty round.
 *
 * The state is whole. When KVM_RUN returns for a read of a port or of memory, the instruction is
 * only half done: KVM finishes it in the next KVM_RUN. Before a thread parks or runs another
 * thread's function it therefore completes the exit (complete_exit) by a KVM_RUN with
 * immediate_exit set. That may cause further exits of the same instruction, and one of them may
 * end or reset the VM, so the loop looks at vcpu_must_stop() after that.
 *
 * Work. One function at a time has the vCPU's slot (vcpu->work_busy). Its caller waits: with a time
 * limit until the function begins, and without one until it ends, since the function uses the
 * caller's memory. Work that reaches a parked vCPU is refused (-EBUSY), because a thread that
 * paused or resets the VM relies on it that no code of the guest runs. There are two exceptions:
 * work that only looks at registers (vcpu_inspect), and work of any kind after a panic, when guest
 * code runs for nothing else (panic.answers).
 *
 * The end. vm_end() sets PAUSE on every vCPU. The threads park, and vcpu_destroy() sets STOP and
 * waits for them.
 */
#include "machine/vcpu.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <symbiotic/symcall.h>

#include "jail/jail.h"
#include "machine/cpuid.h"
#include "memory/memory_lost.h"
#include "memory/memory_plug.h"
#include "machine/vcpu_state.h"
#include "machine/vm.h"
#include "util/clock.h"

#define VCPU_STACK_SIZE (256u << 10)
#ifndef KVM_EXIT_MEMORY_FAULT
#define KVM_EXIT_MEMORY_FAULT 39 /* Linux 6.8; newer than Debian 12's headers */
#endif

/* The part of kvm_run that is valid at that exit. */
struct memory_fault {
	uint64_t flags;
	uint64_t gpa;
	uint64_t size;
};

static void set_immediate_exit(struct kvm_run *run, uint8_t value)
{
	__atomic_store_n(&run->immediate_exit, value, __ATOMIC_SEQ_CST);
}

/*
 * The kvm_run that a kick is for; NULL if the thread is not a vCPU's. Signals carry no pointer, so
 * a process that sends one can cause an exit and nothing else.
 */
static _Thread_local struct kvm_run *kick_target;
static _Thread_local volatile sig_atomic_t kicked; /* since run_loop() looked for requests */

/*
 * The flag is only written on the vCPU's own thread, also here, because libsymcall changes it by
 * plain instructions.
 */
static void kick_handler(int signal)
{
	(void)signal;
	kicked = 1;
	if (kick_target)
		set_immediate_exit(kick_target, 1);
}

int vcpu_signal_setup(struct error *err)
{
	struct sigaction action = {.sa_handler = kick_handler};

	sigemptyset(&action.sa_mask);
	if (sigaction(VCPU_KICK_SIGNAL, &action, NULL) < 0)
		return error_set_errno(err, -errno, "sigaction");
	return 0;
}

static int set_cpuid(struct vcpu *vcpu, struct error *err)
{
	size_t size = sizeof(struct kvm_cpuid2) +
		      CPUID_ENTRIES_MAX * sizeof(struct kvm_cpuid_entry2);
	struct kvm_cpuid2 *table = calloc(1, size);
	int status;

	if (!table)
		return error_set(err, -ENOMEM, "vCPU %u: out of memory", vcpu->id);
	status = cpuid_build(vcpu->vm, vcpu->id, table, err);
	if (status == 0 && ioctl(vcpu->fd, KVM_SET_CPUID2, table) < 0)
		status = error_set_errno(err, -errno, "vCPU %u: KVM_SET_CPUID2", vcpu->id);
	free(table);
	return status;
}

static int map_run(struct vcpu *vcpu, struct error *err)
{
	int size = ioctl(vcpu->vm->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);

	if (size < (int)sizeof(struct kvm_run))
		return error_set_errno(err, -EINVAL, "KVM_GET_VCPU_MMAP_SIZE");
	vcpu->run_size = (size_t)size;
	vcpu->run = mmap(NULL, vcpu->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
	if (vcpu->run == MAP_FAILED) {
		vcpu->run = NULL;
		return error_set_errno(err, -errno, "vCPU %u: mmap of kvm_run", vcpu->id);
	}
	return 0;
}

static int vcpu_init(struct vcpu *vcpu, struct error *err)
{
	struct vm *vm = vcpu->vm;
	int status;

	vcpu->fd = ioctl(vm->fd, KVM_CREATE_VCPU, (unsigned long)vcpu->id);
	if (vcpu->fd < 0)
		return error_set_errno(err, -errno, "vCPU %u: KVM_CREATE_VCPU", vcpu->id);
	status = map_run(vcpu, err);
	if (status == 0)
		status = set_cpuid(vcpu, err);
	if (status == 0)
		status = vcpu_state_capture(vcpu, &vcpu->power_on, err);
	if (status < 0 || !vm->symbiotic)
		return status;
	vcpu->symbiotic = sym_vcpu_create(vm->symbiotic, vcpu->fd, vcpu->run, vcpu->id, vcpu);
	if (!vcpu->symbiotic)
		return error_set_errno(err, -errno, "vCPU %u: symbiotic state", vcpu->id);
	return 0;
}

int vcpu_create(struct vm *vm, unsigned id, struct vcpu **out, struct error *err)
{
	struct vcpu *vcpu = calloc(1, sizeof(*vcpu));
	int status;

	if (!vcpu)
		return error_set(err, -ENOMEM, "vCPU %u: out of memory", id);
	vcpu->vm = vm;
	vcpu->id = id;
	vcpu->fd = -1;
	status = vcpu_init(vcpu, err);
	if (status < 0) {
		vcpu_destroy(vcpu);
		return status;
	}
	*out = vcpu;
	return 0;
}

void vcpu_destroy(struct vcpu *vcpu)
{
	if (!vcpu)
		return;
	if (vcpu->started) {
		vcpu_request(vcpu, VCPU_REQUEST_STOP);
		pthread_join(vcpu->thread, NULL);
	}
	if (vcpu->symbiotic)
		sym_vcpu_destroy(vcpu->symbiotic);
	if (vcpu->run)
		munmap(vcpu->run, vcpu->run_size);
	if (vcpu->fd >= 0)
		close(vcpu->fd);
	vcpu_state_free(vcpu->power_on);
	free(vcpu);
}

void vcpu_deadline_arm(struct vcpu *vcpu, uint64_t usec)
{
	struct itimerspec when = {
		.it_value = {.tv_sec = (time_t)(usec / 1000000),
			     .tv_nsec = (long)(usec % 1000000) * 1000 + 1},
	};

	timer_settime(vcpu->deadline_timer, 0, &when, NULL);
}

void vcpu_deadline_disarm(struct vcpu *vcpu)
{
	struct itimerspec never = {0};

	timer_settime(vcpu->deadline_timer, 0, &never, NULL);
}

/* One KVM_RUN; 0: an exit to be served, 1: nothing left to do, or -errno. */
static int run_once(struct vcpu *vcpu)
{
	if (vcpu->symbiotic)
		return sym_vcpu_run(vcpu->symbiotic);
	return ioctl(vcpu->fd, KVM_RUN, 0) < 0 ? -errno : 0;
}

/*
 * Finishes the instruction whose exit was served last, so that the vCPU's state is whole. That may
 * cause further exits of the same instruction.
 */
static void complete_exit(struct vcpu *vcpu)
{
	int status;

	if (vcpu->symbiotic) {
		status = sym_vcpu_settle(vcpu->symbiotic);
		if (status < 0 && status != -ESHUTDOWN)
			log_limited(&vcpu->vm->log, LOG_LEVEL_WARN,
				    "vCPU %u: its last exit could not be completed: %s", vcpu->id,
				    strerror(-status));
		return;
	}
	do {
		set_immediate_exit(vcpu->run, 1);
	} while (ioctl(vcpu->fd, KVM_RUN, 0) == 0 && vcpu_service_exit(vcpu, vcpu->run) == 0);
}

/*
 * Runs the posted function, or refuses it if @refusal is not 0. -EBUSY: the vCPU counts as parked,
 * and a reset, or the client that paused the VM, relies on no guest code running then.
 */
static void do_work(struct vcpu *vcpu, int refusal)
{
	struct vm *vm = vcpu->vm;
	vcpu_function work;

	pthread_mutex_lock(&vm->work_lock);
	work = vcpu->work;
	vcpu->work = NULL;
	if (refusal == -EBUSY && vcpu->work_parked)
		refusal = 0;
	pthread_mutex_unlock(&vm->work_lock);
	if (!work)
		return;
	if (refusal == 0)
		work(vcpu, vcpu->work_opaque);
	pthread_mutex_lock(&vm->work_lock);
	vcpu->work_status = refusal;
	vcpu->work_done = true;
	pthread_cond_broadcast(&vm->work_done);
	pthread_mutex_unlock(&vm->work_lock);
}

/* Handles a request for work that came to a parked vCPU. */
static void do_parked_work(struct vcpu *vcpu)
{
	struct vm *vm = vcpu->vm;
	int refusal = atomic_load(&vm->panic.answers) ? 0 : -EBUSY;

	atomic_fetch_and(&vcpu->requests, ~VCPU_REQUEST_WORK);
	do_work(vcpu, vm_has_ended(vm) ? -ESHUTDOWN : refusal);
}

/*
 * Informs the guest's watchdogs (soft lockups, RCU stalls) that this vCPU stood still, for however
 * long: kernel Documentation/virt/kvm/api.rst, KVM_KVMCLOCK_CTRL. The call fails if the guest does
 * not use kvmclock.
 */
static void tell_stopped(struct vcpu *vcpu)
{
	if (ioctl(vcpu->fd, KVM_KVMCLOCK_CTRL, 0) < 0)
		return;
}

/* Waits while PAUSE is set; false if the thread must end. Most work is refused meanwhile. */
static bool stay_parked(struct vcpu *vcpu)
{
	struct vm *vm = vcpu->vm;
	unsigned requests;

	pthread_mutex_lock(&vm->state_lock);
	vm->parked++;
	pthread_cond_broadcast(&vm->state_changed);
	for (;;) {
		requests = atomic_load(&vcpu->requests);
		/* A reset counts all vCPUs as parked, and relies on that until it is done. */
		if ((requests & VCPU_REQUEST_STOP) ||
		    (!(requests & VCPU_REQUEST_PAUSE) && !vcpu_must_stop(vcpu)))
			break;
		if (!(requests & VCPU_REQUEST_WORK)) {
			pthread_cond_wait(&vm->state_changed, &vm->state_lock);
			continue;
		}
		pthread_mutex_unlock(&vm->state_lock);
		do_parked_work(vcpu);
		pthread_mutex_lock(&vm->state_lock);
	}
	vm->parked--;
	pthread_mutex_unlock(&vm->state_lock);
	if (requests & VCPU_REQUEST_STOP)
		return false;
	tell_stopped(vcpu);
	return true;
}

/* Serves requests, parked while PAUSE is set; false if the thread must end. */
static bool serve_requests(struct vcpu *vcpu)
{
	unsigned requests;

	if (atomic_load(&vcpu->requests) & (VCPU_REQUEST_PAUSE | VCPU_REQUEST_WORK))
		complete_exit(vcpu);
	while ((requests = atomic_load(&vcpu->requests))) {
		/* Completing the exit may have ended or reset the VM. */
		if (vcpu_must_stop(vcpu))
			requests = atomic_fetch_or(&vcpu->requests, VCPU_REQUEST_PAUSE) |
				   VCPU_REQUEST_PAUSE;
		if (requests & (VCPU_REQUEST_PAUSE | VCPU_REQUEST_STOP)) {
			if (!stay_parked(vcpu))
				return false;
			continue;
		}
		atomic_fetch_and(&vcpu->requests, ~VCPU_REQUEST_WORK);
		do_work(vcpu, 0);
	}
	return true;
}

/*
 * Whether KVM_RUN failed with @status because the host cannot provide a page of RAM. KVM gives the
 * address from Linux 6.8 on; before, there is doubt only about memory that is partly plugged.
 */
static bool host_memory_missing(struct vcpu *vcpu, int status)
{
	struct guest_memory *memory = &vcpu->vm->memory;
	struct memory_fault fault;

	if (status == -EHWPOISON)
		return true;
	if (status != -EFAULT)
		return false;
	memcpy(&fault, vcpu->run->padding, sizeof(fault));
	if (vcpu->run->exit_reason == KVM_EXIT_MEMORY_FAULT)
		return memory_translate(memory, fault.gpa, 1);
	return !memory_plug_region(memory);
}

/* KVM_RUN failed for good: the guest cannot continue. */
static void run_failed(struct vcpu *vcpu, int status)
{
	struct log *log = &vcpu->vm->log;
	struct error err;

	if (host_memory_missing(vcpu, status)) {
		memory_lost_explain(&err);
		log_error(log, "%s", err.text);
		vm_end(vcpu->vm, VM_END_FAILURE);
		return;
	}
	if (status == -EFAULT && memory_plug_region(&vcpu->vm->memory))
		log_error(log, "vCPU %u: the guest touched memory that it has not plugged",
			  vcpu->id);
	else
		log_error(log, "vCPU %u: KVM_RUN: %s", vcpu->id, strerror(-status));
	vm_end(vcpu->vm, VM_END_CRASH);
}

static void run_loop(struct vcpu *vcpu)
{
	int status;

	for (;;) {
		/* Before the look at the requests: the head of this file says why. */
		kicked = 0;
		set_immediate_exit(vcpu->run, 0);
		/*
		 * The bit alone does not suffice: a client that resumes the VM just as a reset is
		 * requested may have cleared it.
		 */
		if (vcpu_must_stop(vcpu))
			atomic_fetch_or(&vcpu->requests, VCPU_REQUEST_PAUSE);
		if (atomic_load(&vcpu->requests)) {
			if (!serve_requests(vcpu))
				return;
			continue; /* completing the last exit has set the flag */
		}
		status = run_once(vcpu);
		if (status == 0)
			vcpu_service_exit(vcpu, vcpu->run);
		else if (status < 0 && status != -EINTR && status != -EAGAIN)
			run_failed(vcpu, status);
		/* No thread of ours kicked: the process was stopped (SIGSTOP, a frozen cgroup, a
		 * host that slept) and continues. */
		else if (status == -EINTR && !kicked)
			tell_stopped(vcpu);
	}
}

static void *vcpu_thread(void *opaque)
{
	struct vcpu *vcpu = opaque;
	struct sigevent event = {
		.sigev_notify = SIGEV_THREAD_ID,
		.sigev_signo = VCPU_KICK_SIGNAL,
	};
	struct error err;
	char name[16];

	snprintf(name, sizeof(name), "vcpu%u", vcpu->id);
	pthread_setname_np(pthread_self(), name);
	kick_target = vcpu->run;
	event._sigev_un._tid = gettid();
	if (timer_create(CLOCK_MONOTONIC, &event, &vcpu->deadline_timer) == 0)
		vcpu->deadline_timer_valid = true;
	if (!vcpu->deadline_timer_valid ||
	    jail_enter_thread(vcpu->vm->jail, JAIL_THREAD_VCPU, &err) < 0) {
		log_error(&vcpu->vm->log, "vCPU %u: %s", vcpu->id,
			  vcpu->deadline_timer_valid ? err.text : "timer_create failed");
		vm_end(vcpu->vm, VM_END_FAILURE);
	} else {
		run_loop(vcpu);
	}
	if (vcpu->deadline_timer_valid)
		timer_delete(vcpu->deadline_timer);
	return NULL;
}

int vcpu_start(struct vcpu *vcpu, struct error *err)
{
	pthread_attr_t attributes;
	int status;

	atomic_store(&vcpu->requests, VCPU_REQUEST_PAUSE);
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, VCPU_STACK_SIZE);
	status = pthread_create(&vcpu->thread, &attributes, vcpu_thread, vcpu);
	pthread_attr_destroy(&attributes);
	if (status)
		return error_set_errno(err, -status, "vCPU %u: pthread_create", vcpu->id);
	vcpu->started = true;
	return 0;
}

/* @parked: also while the vCPU is parked. */
static int run_work(struct vcpu *vcpu, vcpu_function function, void *opaque, unsigned timeout_ms,
		    bool parked)
{
	struct timespec when = clock_deadline(CLOCK_MONOTONIC, timeout_ms);
	struct vm *vm = vcpu->vm;
	int status = 0;

	pthread_mutex_lock(&vm->work_lock);
	while (vcpu->work_busy && status == 0)
		status = -pthread_cond_timedwait(&vm->work_done, &vm->work_lock, &when);
	if (status < 0) {
		pthread_mutex_unlock(&vm->work_lock);
		return -ETIMEDOUT;
	}
	vcpu->work_busy = true;
	vcpu->work = function;
	vcpu->work_opaque = opaque;
	vcpu->work_parked = parked;
	vcpu->work_done = false;
	vcpu->work_status = 0;
	pthread_mutex_unlock(&vm->work_lock);
	vcpu_request(vcpu, VCPU_REQUEST_WORK);
	pthread_mutex_lock(&vm->work_lock);
	while (!vcpu->work_done && status == 0) {
		if (!vcpu->work) /* taken up: it uses the caller's memory, so wait for its end */
			pthread_cond_wait(&vm->work_done, &vm->work_lock);
		else if (pthread_cond_timedwait(&vm->work_done, &vm->work_lock, &when) != 0 &&
			 vcpu->work) /* it may have been taken up just at the time limit */
			status = -ETIMEDOUT;
	}
	if (vcpu->work_done)
		status = vcpu->work_status;
	vcpu->work = NULL;
	vcpu->work_busy = false;
	pthread_cond_broadcast(&vm->work_done);
	pthread_mutex_unlock(&vm->work_lock);
	return status;
}

int vcpu_run_on(struct vcpu *vcpu, vcpu_function function, void *opaque, unsigned timeout_ms)
{
	return run_work(vcpu, function, opaque, timeout_ms, false);
}

int vcpu_inspect(struct vcpu *vcpu, vcpu_function function, void *opaque, unsigned timeout_ms)
{
	return run_work(vcpu, function, opaque, timeout_ms, true);
}
