// SPDX-License-Identifier: BSD-2-Clause
/*
 * KVM_RUN of the VMM. libsymcall looks at each exit first; its own exits are run on at once.
 *
 * Kicks. A thread that wants a call puts its work into vcpu->work and sends the kick signal. The
 * handler sets a bit of immediate_exit on the vCPU's thread, so KVM_RUN ends or does not begin. The
 * VMM uses the same byte, and may clear our bit with its own: so the bit is set again before each
 * KVM_RUN if there is work. After a kick the VMM always gets its EINTR, be it ours or its own. It
 * knows spurious ones, and a kick of the VMM is never lost in this way.
 *
 * Calls run in a coroutine. A handler of the guest can access a device. libsymcall then asks for
 * service (preload_service_exit()), the coroutine yields, and KVM_RUN of the VMM returns with that
 * exit as with any other. The VMM serves it and comes again, as KVM demands, and the call
 * continues.
 */
#include "vm.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "nested.h"
#include "raw_ioctl.h"
#include "say.h"
#include "util/clock.h"
#include "who.h"

#define KICK_FIRST	   (SIGRTMIN + 11)
#define TIMER_REPEAT_NS	   10000000 /* a signal just before KVM_RUN could be lost */
#define IMMEDIATE_EXIT_OUR 4u	    /* the VMM uses bit 0, libsymcall bit 1 */

/* The vCPU that this thread runs. The signal handler reads it, so it must need no allocation. */
static __thread struct preload_vcpu *current __attribute__((tls_model("initial-exec")));

bool preload_vcpu_is_current(const struct preload_vcpu *vcpu)
{
	return current == vcpu;
}

/* Single instructions: a signal handler cannot interrupt them halfway. */
static void immediate_exit_set(struct preload_vcpu *vcpu)
{
	__asm__ volatile("orb %1, %0" : "+m"(vcpu->run->immediate_exit) : "i"(IMMEDIATE_EXIT_OUR));
}

static void immediate_exit_clear(struct preload_vcpu *vcpu)
{
	__asm__ volatile("andb %1, %0"
			 : "+m"(vcpu->run->immediate_exit)
			 : "i"((uint8_t)~IMMEDIATE_EXIT_OUR));
}

static void on_kick(int signal)
{
	if (current)
		immediate_exit_set(current);
}

int preload_kick_signal_choose(void)
{
	struct sigaction action = {.sa_handler = on_kick, .sa_flags = SA_RESTART}, old;

	for (int signal = KICK_FIRST; signal <= SIGRTMAX; signal++)
		if (sigaction(signal, NULL, &old) == 0 && !(old.sa_flags & SA_SIGINFO) &&
		    old.sa_handler == SIG_DFL && sigaction(signal, &action, NULL) == 0)
			return signal;
	return -EBUSY;
}

void preload_vcpu_kick(struct preload_vcpu *vcpu)
{
	pid_t thread = atomic_load(&vcpu->thread);

	if (thread)
		syscall(SYS_tgkill, getpid(), thread, vcpu->vm->kick_signal);
}

static void set_timer(struct preload_vcpu *vcpu, uint64_t usec)
{
	struct itimerspec spec = {.it_value = clock_timespec(usec * 1000)};

	if (usec)
		spec.it_interval.tv_nsec = TIMER_REPEAT_NS;
	if (vcpu->has_timer)
		timer_settime(vcpu->timer, 0, &spec, NULL);
}

void preload_arm_deadline(void *opaque, uint64_t usec)
{
	set_timer(opaque, usec);
}

void preload_disarm_deadline(void *opaque)
{
	set_timer(opaque, 0);
}

static void create_timer(struct preload_vcpu *vcpu, pid_t thread)
{
	struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID,
				 .sigev_signo = vcpu->vm->kick_signal};

	if (vcpu->has_timer)
		timer_delete(vcpu->timer);
	event._sigev_un._tid = thread;
	vcpu->has_timer = timer_create(CLOCK_MONOTONIC, &event, &vcpu->timer) == 0;
	if (!vcpu->has_timer)
		preload_step_aside(vcpu->vm, "no timer for the deadlines of calls");
}

/* The first KVM_RUN of this vCPU on this thread. */
static void thread_enter(struct preload_vcpu *vcpu)
{
	pid_t thread = (pid_t)syscall(SYS_gettid);
	sigset_t kick;

	current = vcpu;
	create_timer(vcpu, thread);
	atomic_store(&vcpu->thread, thread);
	sigemptyset(&kick);
	sigaddset(&kick, vcpu->vm->kick_signal);
	pthread_sigmask(SIG_UNBLOCK, &kick, NULL);
}

int preload_service_exit(void *opaque, struct kvm_run *run)
{
	struct preload_vcpu *vcpu = opaque;

	atomic_fetch_add_explicit(&vcpu->nested_exits, 1, memory_order_relaxed);
	if (!vcpu->coroutine.active || vcpu->cancelled)
		return -ECANCELED;
	coroutine_yield(&vcpu->coroutine);
	return vcpu->cancelled ? -ECANCELED : 0;
}

static struct preload_work *work_begin(struct preload_vcpu *vcpu)
{
	struct preload_work *work;

	pthread_mutex_lock(&vcpu->vm->lock);
	work = atomic_load(&vcpu->work);
	if (work)
		work->begun = true;
	pthread_mutex_unlock(&vcpu->vm->lock);
	return work;
}

static void work_end(struct preload_vcpu *vcpu)
{
	pthread_mutex_lock(&vcpu->vm->lock);
	vcpu->running->done = true;
	vcpu->running = NULL;
	atomic_store(&vcpu->work, NULL);
	pthread_cond_broadcast(&vcpu->vm->changed);
	pthread_mutex_unlock(&vcpu->vm->lock);
	atomic_fetch_add_explicit(&vcpu->calls, 1, memory_order_relaxed);
}

/*
 * @ended is the coroutine's result. 0: an exit is for the VMM, that of a handler or the one that
 * was asked about; -EINTR: work is done.
 */
static int coroutine_step(struct preload_vcpu *vcpu, int ended)
{
	if (ended == 0)
		return 0;
	run_head_restore(vcpu->run, &vcpu->head);
	vcpu->unsettled = true;
	if (!vcpu->running)
		return 0;
	work_end(vcpu);
	return -EINTR;
}

/* Begins in the coroutine: work, or without it the question about the exit in kvm_run. */
static int coroutine_begin(struct preload_vcpu *vcpu, struct preload_work *work)
{
	int ended;

	vcpu->running = work;
	vcpu->cancelled = false;
	vcpu->head = run_head_save(vcpu->run);
	if (work)
		ended = coroutine_start(&vcpu->coroutine, work->function, work->argument);
	else
		ended = coroutine_start(&vcpu->coroutine, preload_who_ask, vcpu);
	return coroutine_step(vcpu, ended);
}

/* A kick ended KVM_RUN, ours or the VMM's. */
static int handle_kick(struct preload_vcpu *vcpu)
{
	struct preload_work *work = NULL;

	immediate_exit_clear(vcpu);
	atomic_fetch_add_explicit(&vcpu->kicks, 1, memory_order_relaxed);
	/* Work that cannot begin stays for a later kick. */
	if (atomic_load_explicit(&vcpu->work, memory_order_relaxed) && nested_allows_call(vcpu))
		work = work_begin(vcpu);
	return work ? coroutine_begin(vcpu, work) : -EINTR;
}

/* An MSR that the VMM's filter denies, and of whose exits it never asked: #GP, as KVM would do. */
static bool answer_filter_exit(struct preload_vcpu *vcpu)
{
	const struct kvm_run *run = vcpu->run;

	if (run->exit_reason != KVM_EXIT_X86_RDMSR && run->exit_reason != KVM_EXIT_X86_WRMSR)
		return false;
	if (run->msr.reason != KVM_MSR_EXIT_REASON_FILTER || vcpu->vm->wants_filter_exits)
		return false;
	return sym_vcpu_answer_fault(vcpu->engine) == 0;
}

/* One KVM_RUN. 1: run on; 0: an exit for the VMM; negative errno. */
static int run_once(struct preload_vcpu *vcpu)
{
	int result = sym_vcpu_run_begin(vcpu->engine);

	if (result)
		return result == 1 ? 0 : result;
	if (atomic_load_explicit(&vcpu->work, memory_order_acquire))
		immediate_exit_set(vcpu);
	vcpu->unsettled = false;
	result = (int)preload_raw_ioctl(vcpu->fd, KVM_RUN, NULL);
	result = sym_vcpu_handle_exit(vcpu->engine, result < 0 ? result : 0);
	if (result == -EINTR)
		return handle_kick(vcpu);
	if (result == 0 && answer_filter_exit(vcpu))
		return 1;
	if (result == 0 && preload_who_wants(vcpu) && nested_allows_call(vcpu))
		return coroutine_begin(vcpu, NULL);
	return result;
}

long preload_vcpu_run(struct preload_vcpu *vcpu)
{
	int result;

	if (current != vcpu || !atomic_load_explicit(&vcpu->thread, memory_order_relaxed))
		thread_enter(vcpu);
	if (vcpu->coroutine.active) /* the VMM has served an exit of the call's handler */
		return coroutine_step(vcpu, coroutine_resume(&vcpu->coroutine));
	if (vcpu->run->kvm_valid_regs) /* calls would change what the VMM finds there */
		preload_step_aside(vcpu->vm, "its VMM uses KVM_CAP_SYNC_REGS");
	do
		result = run_once(vcpu);
	while (result == 1);
	if (result == 0)
		atomic_fetch_add_explicit(&vcpu->exits, 1, memory_order_relaxed);
	return result;
}

void preload_vcpu_reset(struct preload_vcpu *vcpu)
{
	if (vcpu->coroutine.active) {
		vcpu->cancelled = true;
		while (!coroutine_resume(&vcpu->coroutine))
			;
		coroutine_step(vcpu, 1);
	}
	vcpu->unsettled = false;
}

void preload_vcpu_settle(struct preload_vcpu *vcpu)
{
	int status;

	if (!vcpu->unsettled || vcpu->coroutine.active)
		return;
	vcpu->unsettled = false;
	status = sym_vcpu_settle(vcpu->engine);
	if (status < 0)
		preload_say("vCPU %u: its registers could not be restored: %s", vcpu->id,
			    strerror(-status));
}
