// SPDX-License-Identifier: BSD-2-Clause
/*
 * Pause, resume, reset and end of a VM.
 *
 *	CREATED -- vm_start() --> PAUSED -- vm_resume() --> RUNNING
 *	                            | ^---- vm_pause() ------ |
 *	                            |                         |
 *	                            +------- vm_end() --------+--> ENDED
 *
 * vm->state (VM_STATE_...) is what clients asked for. vm->reset_requested and vm->holds are
 *further, independent reasons to keep the vCPUs out of the guest. One rule holds everything
 *together: a vCPU may run exactly if the state is RUNNING, no reset is requested and nobody holds
 *the VM. Every function that lets vCPUs run (release_if_due) checks all three, with state_lock
 *held.
 *
 * Pause. vm_pause() sets the state first and then the request PAUSE on each vCPU, without the lock,
 * because a kick is a system call for each vCPU. If another client resumed the VM in between, the
 * requests may come after the release, so vm_pause_begin() looks again and releases once more.
 * vm_pause() then waits until all vCPUs are parked. A vCPU that a device holds up for more than
 * five seconds makes the pause fail, and the VM runs on.
 *
 * Resume. The devices prepare first, without the lock, because they wait for the I/O loop.
 * vm_resume() then looks at the state again: the VM may have ended meanwhile.
 *
 * Reset. Any thread may request one, mostly a vCPU's in the middle of an exit. So the request only
 * sets reset_requested, asks all vCPUs to park, and leaves a task to the lifecycle thread. A client
 * that resumes the VM at the same moment may clear the request PAUSE of a vCPU again. So a vCPU
 * looks at reset_requested, too, before it enters the guest (vcpu_must_stop). The lifecycle thread
 * may wait: until every vCPU is parked, as long as that takes, and until the devices have let go of
 * guest memory. It then puts all parts back to power-on, in this order:
 *
 *	1. the irqchip;
 *	2. the devices, in creation order;
 *	3. the symbiotic interface's registrations and each vCPU's registers;
 *	4. RAM, which is given back to the host;
 *	5. the kernel, loaded again from files that stayed open.
 *
 * A VM that was paused stays paused after its reset.
 *
 * Hold. vm_hold() keeps the vCPUs parked for a caller that reads the whole guest (a dump), whatever
 * clients ask for meanwhile. A reset waits until nobody holds the VM, because it changes what the
 * holder reads. So a hold is refused while a reset is under way.
 *
 * Panic. The thread that notices a panic holds the VM for good, so that the guest stays as it is,
 * and leaves a task to the lifecycle thread. That thread calls the handler, which may ask the
 * guest: from then on (panic.answers) parked vCPUs run posted functions. Then the VM ends, or stays
 * for questions (panic.kept). A panic comes before a reset that is requested at the same time.
 *
 * End. vm_end() may be called on any thread that does not hold state_lock, any number of times. The
 * first reason stays. It arms the watchdog before all else, sets ENDED, asks the vCPUs to park and
 * ends the main loop. vm_destroy() then takes the VM apart on the main thread. The waits of this
 * file end when the VM has ended. For a device that never answers there is the watchdog.
 */
#include "machine/lifecycle.h"

#include <errno.h>
#include <time.h>
#include <symbiotic/symcall.h>

#include "jail/jail.h"
#include "memory/memory_lost.h"
#include "machine/vcpu_state.h"
#include "machine/vm_panic.h"
#include "machine/vm.h"
#include "util/clock.h"

#define PAUSE_LIMIT_MS	  5000u	 /* until every vCPU must be out of the guest */
#define RESET_COMPLAIN_MS 10000u /* a reset that waits longer is reported */
#define RESET_INTERVAL_MS 100u	 /* between two resets: a guest may do nothing but reset */
#define WIPE_CHUNK	  (1ull << 30)

/*
 * Waits until every vCPU is parked while the VM stays in @state (VM_STATE_ENDED: in any). 0,
 * -ESHUTDOWN, -ECANCELED (another state), -ETIMEDOUT. The lock is held.
 */
static int wait_parked(struct vm *vm, enum vm_state state, unsigned ms)
{
	struct timespec until = clock_deadline(CLOCK_MONOTONIC, ms);
	int status = 0;

	for (;;) {
		if (vm_has_ended(vm))
			return -ESHUTDOWN;
		if (state != VM_STATE_ENDED && vm->state != state)
			return -ECANCELED;
		if (vm->parked == vm->vcpu_count)
			return 0;
		if (status < 0)
			return -ETIMEDOUT;
		status = -pthread_cond_timedwait(&vm->state_changed, &vm->state_lock, &until);
	}
}

static void release_all(struct vm *vm)
{
	for (unsigned i = 0; i < vm->vcpu_count; i++)
		atomic_fetch_and(&vm->vcpus[i]->requests, ~VCPU_REQUEST_PAUSE);
	pthread_cond_broadcast(&vm->state_changed);
}

/* Lets the vCPUs run if nothing keeps them any more. The lock is held. */
static void release_if_due(struct vm *vm)
{
	if (vm->state == VM_STATE_RUNNING && !atomic_load(&vm->reset_requested) && !vm->holds)
		release_all(vm);
}

int vm_pause_begin(struct vm *vm)
{
	int status = 0;

	pthread_mutex_lock(&vm->state_lock);
	if (vm->state == VM_STATE_PAUSED)
		status = -EALREADY;
	else if (vm->state != VM_STATE_RUNNING)
		status = -ESHUTDOWN;
	else
		vm->state = VM_STATE_PAUSED;
	pthread_mutex_unlock(&vm->state_lock);
	if (status < 0)
		return status;
	vcpu_request_all(vm, VCPU_REQUEST_PAUSE);
	/* If the VM was resumed in between, our requests may have come after that. */
	pthread_mutex_lock(&vm->state_lock);
	release_if_due(vm);
	pthread_mutex_unlock(&vm->state_lock);
	return 0;
}

int vm_pause(struct vm *vm)
{
	int status = vm_pause_begin(vm);

	if (status < 0)
		return status;
	pthread_mutex_lock(&vm->state_lock);
	status = wait_parked(vm, VM_STATE_PAUSED, PAUSE_LIMIT_MS);
	if (status == -ETIMEDOUT) {
		vm->state = VM_STATE_RUNNING;
		release_if_due(vm);
	}
	pthread_mutex_unlock(&vm->state_lock);
	return status;
}

int vm_hold(struct vm *vm, unsigned ms)
{
	int status = 0;

	pthread_mutex_lock(&vm->state_lock);
	if (vm_has_ended(vm))
		status = -ESHUTDOWN;
	else if (atomic_load(&vm->reset_requested))
		status = -EAGAIN;
	else
		vm->holds++;
	pthread_mutex_unlock(&vm->state_lock);
	if (status < 0)
		return status;
	vcpu_request_all(vm, VCPU_REQUEST_PAUSE);
	pthread_mutex_lock(&vm->state_lock);
	status = wait_parked(vm, VM_STATE_ENDED, ms);
	pthread_mutex_unlock(&vm->state_lock);
	if (status < 0)
		vm_unhold(vm);
	return status;
}

void vm_unhold(struct vm *vm)
{
	pthread_mutex_lock(&vm->state_lock);
	vm->holds--;
	release_if_due(vm);
	pthread_cond_broadcast(&vm->state_changed);
	pthread_mutex_unlock(&vm->state_lock);
}

static int check_paused(const struct vm *vm)
{
	if (vm->state == VM_STATE_RUNNING)
		return -EALREADY;
	return vm->state == VM_STATE_PAUSED ? 0 : -ESHUTDOWN;
}

int vm_resume(struct vm *vm)
{
	int status;

	pthread_mutex_lock(&vm->state_lock);
	status = check_paused(vm);
	pthread_mutex_unlock(&vm->state_lock);
	if (status < 0)
		return status;
	/* Without the lock: they wait for the I/O loop, whose callbacks may end the VM. */
	for (struct device *device = vm->devices; device; device = device->next)
		if (device->ops->resume)
			device->ops->resume(device);
	pthread_mutex_lock(&vm->state_lock);
	status = check_paused(vm);
	if (status == 0) {
		vm->state = VM_STATE_RUNNING;
		release_if_due(vm);
	}
	pthread_mutex_unlock(&vm->state_lock);
	for (struct device *device = vm->devices; device && status == 0; device = device->next)
		if (device->ops->resumed)
			device->ops->resumed(device);
	return status;
}

void vm_resume_later(struct vm *vm)
{
	lifecycle_add_task(vm, LIFECYCLE_RESUME);
}

int vm_check_runs(struct vm *vm, struct error *err)
{
	enum vm_state state;

	if (vm_has_ended(vm))
		return error_set(err, -ESHUTDOWN, "the VM has ended");
	if (atomic_load(&vm->panic.handled))
		return error_set(err, -EBUSY, "the guest's kernel panicked, so it does not run");
	pthread_mutex_lock(&vm->state_lock);
	state = vm->state;
	pthread_mutex_unlock(&vm->state_lock);
	if (state == VM_STATE_PAUSED)
		return error_set(err, -EBUSY,
				 "the VM is paused, so its guest cannot answer (symvm resume); "
				 "'symvm info' shows what the guest published before");
	if (atomic_load(&vm->reset_requested))
		return error_set(err, -EBUSY, "the VM is being reset");
	if (state != VM_STATE_RUNNING)
		return error_set(err, -EBUSY, "the VM does not run yet");
	return 0;
}

int lifecycle_boot(struct vm *vm, struct error *err)
{
	struct boot_entry entry;
	int status = boot_load(vm, &entry, err);

	if (memory_lost(&vm->memory))
		return memory_lost_explain(err);
	return status < 0 ? status : boot_set_registers(vm->vcpus[0], &entry, err);
}

/*
 * The next kernel must not see what the last one left in RAM, and the host gets the pages back. The
 * device's reset unplugs plugged memory.
 */
static void wipe_memory(struct vm *vm)
{
	for (unsigned i = 0; i < vm->memory.count; i++) {
		const struct memory_region *region = &vm->memory.regions[i];

		if (!region->ram || region->blocks)
			continue;
		for (uint64_t at = 0; at < region->size && !vm_has_ended(vm); at += WIPE_CHUNK) {
			uint64_t left = region->size - at;

			memory_discard(&vm->memory, region->gpa + at,
				       left < WIPE_CHUNK ? left : WIPE_CHUNK);
		}
	}
}

/* Sets everything back to power-on, and loads the kernel again. vCPUs parked. */
static int reset_all(struct vm *vm, struct error *err)
{
	int status = chip_state_restore(vm, vm->chips);

	if (status < 0)
		return error_set_errno(err, status, "irqchip");
	for (struct device *device = vm->devices; device; device = device->next)
		device->ops->reset(device);
	if (vm->symbiotic)
		sym_vm_reset(vm->symbiotic);
	for (unsigned i = 0; i < vm->vcpu_count; i++) {
		if (vm->vcpus[i]->symbiotic)
			sym_vcpu_reset(vm->vcpus[i]->symbiotic);
		status = vcpu_state_restore(vm->vcpus[i], vm->vcpus[i]->power_on);
		if (status < 0)
			return error_set_errno(err, status, "vCPU %u", i);
	}
	wipe_memory(vm);
	return lifecycle_boot(vm, err);
}

/* A guest may reset as often as it likes, but with a break in between. The lock is held. */
static void keep_interval(struct vm *vm)
{
	struct timespec until = clock_timespec(vm->reset_ns + RESET_INTERVAL_MS * NS_PER_MS);

	while (vm->reset_ns && !vm_has_ended(vm) &&
	       pthread_cond_timedwait(&vm->state_changed, &vm->state_lock, &until) != ETIMEDOUT)
		;
}

static void do_reset(struct vm *vm)
{
	struct error err;
	int status;

	pthread_mutex_lock(&vm->state_lock);
	keep_interval(vm);
	status = wait_parked(vm, VM_STATE_ENDED, RESET_COMPLAIN_MS);
	if (status == -ETIMEDOUT)
		log_warn(&vm->log, "reset: %u of %u vCPUs are still busy with a device; waiting",
			 vm->vcpu_count - vm->parked, vm->vcpu_count);
	while (status == -ETIMEDOUT)
		status = wait_parked(vm, VM_STATE_ENDED, RESET_COMPLAIN_MS);
	while (vm->holds && !vm_has_ended(vm) && !atomic_load(&vm->panic.handled))
		pthread_cond_wait(&vm->state_changed, &vm->state_lock);
	pthread_mutex_unlock(&vm->state_lock);
	if (status < 0 || vm_has_ended(vm) || atomic_load(&vm->panic.handled))
		return;
	vm_panic_note(vm);
	if (reset_all(vm, &err) < 0) {
		log_error(&vm->log, "reset: %s", err.text);
		vm_end(vm, VM_END_FAILURE);
		return;
	}
	log_limited(&vm->log, LOG_LEVEL_INFO, "the guest reboots");
	pthread_mutex_lock(&vm->state_lock);
	vm->reset_ns = clock_now_ns();
	atomic_store(&vm->reset_requested, false);
	release_if_due(vm);
	pthread_mutex_unlock(&vm->state_lock);
}

/* The VM is held. */
static void do_panic(struct vm *vm)
{
	unsigned busy;

	pthread_mutex_lock(&vm->state_lock);
	wait_parked(vm, VM_STATE_ENDED, PAUSE_LIMIT_MS);
	busy = vm->vcpu_count - vm->parked;
	pthread_mutex_unlock(&vm->state_lock);
	if (vm_has_ended(vm))
		return;
	if (busy)
		log_warn(&vm->log, "panic: %u of %u vCPUs are still busy with a device", busy,
			 vm->vcpu_count);
	atomic_store(&vm->panic.answers, true);
	vm->panic.handler(vm, vm->panic.opaque);
	if (vm->config.on_panic != VM_ON_PANIC_PAUSE) {
		vm_end(vm, VM_END_PANIC); /* which logs it */
		return;
	}
	atomic_store(&vm->panic.kept, true);
	vm_panic_log(vm);
}

void vm_request_reset(struct vm *vm)
{
	if (vm_panic_finish(vm))
		return;
	if (vm->config.exit_on_reboot) {
		vm_end(vm, VM_END_REBOOT);
		return;
	}
	if (atomic_exchange(&vm->reset_requested, true))
		return;
	vcpu_request_all(vm, VCPU_REQUEST_PAUSE);
	lifecycle_add_task(vm, LIFECYCLE_RESET);
}

static unsigned take_tasks(struct vm *vm)
{
	unsigned tasks;

	pthread_mutex_lock(&vm->state_lock);
	while (!vm->lifecycle_tasks && !vm_has_ended(vm))
		pthread_cond_wait(&vm->state_changed, &vm->state_lock);
	tasks = vm_has_ended(vm) ? LIFECYCLE_QUIT : vm->lifecycle_tasks;
	vm->lifecycle_tasks = 0;
	pthread_mutex_unlock(&vm->state_lock);
	return tasks;
}

static void *lifecycle_thread(void *opaque)
{
	struct vm *vm = opaque;
	struct error err;
	unsigned tasks;

	pthread_setname_np(pthread_self(), "lifecycle");
	/*
	 * The main thread's jail: this thread does work that would otherwise be the main thread's,
	 * with the same system calls.
	 */
	if (jail_enter_thread(vm->jail, JAIL_THREAD_MAIN, &err) < 0) {
		log_error(&vm->log, "lifecycle thread: %s", err.text);
		vm_end(vm, VM_END_FAILURE);
		return NULL;
	}
	while (!((tasks = take_tasks(vm)) & LIFECYCLE_QUIT)) {
		if (tasks & LIFECYCLE_PANIC)
			do_panic(vm);
		if (tasks & LIFECYCLE_RESUME)
			vm_resume(vm);
		if (tasks & LIFECYCLE_RESET)
			do_reset(vm);
	}
	return NULL;
}

int lifecycle_start(struct vm *vm, struct error *err)
{
	int status = -pthread_create(&vm->lifecycle_thread, NULL, lifecycle_thread, vm);

	if (status < 0)
		return error_set_errno(err, status, "lifecycle thread: pthread_create");
	vm->lifecycle_started = true;
	return 0;
}

void lifecycle_stop(struct vm *vm)
{
	if (!vm->lifecycle_started)
		return;
	lifecycle_add_task(vm, LIFECYCLE_QUIT);
	pthread_join(vm->lifecycle_thread, NULL);
	vm->lifecycle_started = false;
}
