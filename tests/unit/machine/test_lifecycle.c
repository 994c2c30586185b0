// SPDX-License-Identifier: BSD-2-Clause
/*
 * Pause, reset and end of a VM whose vCPUs run on a KVM that the test plays, with a device that
 * holds up a vCPU, or the reset, as a disk that hangs does.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>
#include <symbiotic/symcall.h>

#include "jail/jail.h"
#include "machine/cpuid.h"
#include "machine/boot.h"
#include "machine/lifecycle.h"
#include "memory/memory_plug.h"
#include "machine/vcpu_state.h"
#include "machine/vm.h"
#include "machine/vm_panic.h"
#include "util/clock.h"

#define VCPUS	   2u
#define RUN_SIZE   (sizeof(struct kvm_run) + 4096)
#define RESET_PORT 0x602 /* ports that the fake guest writes to */
#define DISK_PORT  0x100

static struct {
	struct vm vm;
	struct device device;
	pthread_t main_thread;
	_Atomic unsigned next_vcpu;
	/* At its next entry the guest of vCPU 0 makes an OUT to this port; 0: nothing. */
	_Atomic unsigned port;
	_Atomic bool stopped; /* the process was, and vCPU 1 comes out of the guest */
	_Atomic bool disk_hangs;
	_Atomic bool in_disk;
	_Atomic bool reset_hangs;
	_Atomic bool in_reset;
	_Atomic unsigned boots;
	_Atomic unsigned clock_told;
	_Atomic unsigned worked;
	_Atomic unsigned worked_in_reset;
	_Atomic unsigned entries; /* KVM_RUNs that ran the guest */
} fake;

/* A guest that runs until it is kicked. */
static int fake_run(int fd)
{
	struct vcpu *vcpu = NULL;
	unsigned port;

	for (unsigned i = 0; i < fake.vm.vcpu_count; i++)
		if (fake.vm.vcpus[i]->fd == fd)
			vcpu = fake.vm.vcpus[i];
	for (;;) {
		if (__atomic_load_n(&vcpu->run->immediate_exit, __ATOMIC_SEQ_CST) ||
		    (vcpu->id == 1 && atomic_exchange(&fake.stopped, false))) {
			errno = EINTR;
			return -1;
		}
		atomic_fetch_add(&fake.entries, 1);
		port = vcpu->id == 0 ? atomic_exchange(&fake.port, 0) : 0;
		if (port) {
			vcpu->run->exit_reason = KVM_EXIT_IO;
			vcpu->run->io.direction = KVM_EXIT_IO_OUT;
			vcpu->run->io.port = (uint16_t)port;
			vcpu->run->io.size = 1;
			vcpu->run->io.count = 1;
			vcpu->run->io.data_offset = sizeof(struct kvm_run);
			return 0;
		}
		usleep(500);
	}
}

/* A descriptor that kvm_run can be mapped from. */
static int fake_vcpu(void)
{
	int fd = memfd_create("vcpu", MFD_CLOEXEC);

	return fd >= 0 && ftruncate(fd, RUN_SIZE) == 0 ? fd : -1;
}

int ioctl(int fd, unsigned long request, ...)
{
	switch (request) {
	case KVM_RUN:
		return fake_run(fd);
	case KVM_CREATE_VCPU:
		return fake_vcpu();
	case KVM_GET_VCPU_MMAP_SIZE:
		return RUN_SIZE;
	case KVM_KVMCLOCK_CTRL:
		atomic_fetch_add(&fake.clock_told, 1);
		return 0;
	default:
		return 0;
	}
}

bool bus_dispatch(struct bus *bus, uint64_t address, void *data, unsigned length, bool is_write)
{
	if (address == RESET_PORT)
		vm_request_reset(&fake.vm);
	if (address == DISK_PORT) {
		atomic_store(&fake.in_disk, true);
		while (atomic_load(&fake.disk_hangs))
			usleep(500);
		atomic_store(&fake.in_disk, false);
	}
	return true;
}

static void device_reset(struct device *device)
{
	atomic_store(&fake.in_reset, true);
	while (atomic_load(&fake.reset_hangs))
		usleep(500);
}

int boot_load(struct vm *vm, struct boot_entry *entry, struct error *err)
{
	usleep(1000);
	atomic_store(&fake.in_reset, false);
	atomic_fetch_add(&fake.boots, 1);
	return 0;
}

int boot_set_registers(struct vcpu *vcpu, const struct boot_entry *entry, struct error *err)
{
	return 0;
}

int jail_enter_thread(struct jail *jail, enum jail_thread kind, struct error *err)
{
	return 0;
}

int chip_state_restore(struct vm *vm, const struct chip_power_on *chips)
{
	return 0;
}

int vcpu_state_capture(struct vcpu *vcpu, struct vcpu_power_on **state, struct error *err)
{
	return 0;
}

int vcpu_state_restore(struct vcpu *vcpu, const struct vcpu_power_on *state)
{
	return 0;
}

void vcpu_state_free(struct vcpu_power_on *state)
{
}

int cpuid_build(struct vm *vm, unsigned id, struct kvm_cpuid2 *table, struct error *err)
{
	return 0;
}

enum vm_end vm_panic_reason(struct vm *vm, enum vm_end reason)
{
	return reason;
}

void vm_panic_note(struct vm *vm)
{
}

bool vm_panic_finish(struct vm *vm)
{
	return false;
}

bool boot_reset_announced(struct vm *vm)
{
	return false;
}

struct memory_region *memory_plug_region(struct guest_memory *memory)
{
	return NULL;
}

void *memory_translate(const struct guest_memory *memory, uint64_t gpa, uint64_t length)
{
	return NULL;
}

int memory_discard(const struct guest_memory *memory, uint64_t gpa, uint64_t length)
{
	return 0;
}

static void *main_loop(void *opaque)
{
	event_loop_run(fake.vm.main_loop);
	return NULL;
}

static int setup(void **state)
{
	static const struct device_ops ops = {.reset = device_reset};
	struct vm *vm = &fake.vm;
	struct error err;

	memset(&fake, 0, sizeof(fake));
	atomic_store(&vm->end, VM_END_NONE);
	log_init(&vm->log, STDERR_FILENO, LOG_LEVEL_ERROR);
	fake.device.ops = &ops;
	vm->devices = &fake.device;
	pthread_mutex_init(&vm->state_lock, NULL);
	clock_condition_init(&vm->state_changed);
	pthread_mutex_init(&vm->work_lock, NULL);
	clock_condition_init(&vm->work_done);
	if (event_loop_create(&vm->main_loop) < 0 || vcpu_signal_setup(&err) < 0)
		return -1;
	for (unsigned i = 0; i < VCPUS; i++, vm->vcpu_count++)
		if (vcpu_create(vm, i, &vm->vcpus[i], &err) < 0)
			return -1;
	vm->state = VM_STATE_PAUSED;
	if (lifecycle_start(vm, &err) < 0)
		return -1;
	for (unsigned i = 0; i < VCPUS; i++)
		if (vcpu_start(vm->vcpus[i], &err) < 0)
			return -1;
	if (vm_resume(vm) < 0)
		return -1;
	return pthread_create(&fake.main_thread, NULL, main_loop, NULL);
}

static int teardown(void **state)
{
	struct vm *vm = &fake.vm;

	vm_end(vm, VM_END_STOPPED);
	pthread_join(fake.main_thread, NULL);
	atomic_store(&fake.disk_hangs, false);
	atomic_store(&fake.reset_hangs, false);
	lifecycle_stop(vm);
	for (unsigned i = 0; i < vm->vcpu_count; i++)
		vcpu_destroy(vm->vcpus[i]);
	event_loop_destroy(vm->main_loop);
	pthread_mutex_destroy(&vm->state_lock);
	pthread_cond_destroy(&vm->state_changed);
	pthread_mutex_destroy(&vm->work_lock);
	pthread_cond_destroy(&vm->work_done);
	return 0;
}

static void work(struct vcpu *vcpu, void *opaque)
{
	atomic_fetch_add(&fake.worked, 1);
	if (atomic_load(&fake.in_reset))
		atomic_fetch_add(&fake.worked_in_reset, 1);
	usleep(200);
	if (atomic_load(&fake.in_reset))
		atomic_fetch_add(&fake.worked_in_reset, 1);
}

/* The guest of vCPU 0 writes to @port. */
static void guest_writes(unsigned port)
{
	atomic_store(&fake.port, port);
}

static void await(const _Atomic bool *flag)
{
	for (int i = 0; i < 20000 && !atomic_load(flag); i++)
		usleep(500);
	assert_true(atomic_load(flag));
}

static void await_boots(unsigned count)
{
	for (int i = 0; i < 20000 && atomic_load(&fake.boots) < count; i++)
		usleep(500);
	assert_int_equal(atomic_load(&fake.boots), count);
}

/* Whether the guest runs: entries go up. */
static bool guest_runs(void)
{
	unsigned before = atomic_load(&fake.entries);

	for (int i = 0; i < 2000; i++) {
		usleep(500);
		if (atomic_load(&fake.entries) > before + 2 * VCPUS)
			return true;
	}
	return false;
}

static void nothing(void *opaque)
{
	*(bool *)opaque = true;
}

/* The control socket and signals live on the main loop. */
static void assert_main_loop_answers(void)
{
	bool ran = false;

	assert_int_equal(event_loop_call(fake.vm.main_loop, nothing, &ran), 0);
	assert_true(ran);
}

static void a_paused_vm_runs_nothing_for_anybody(void **state)
{
	struct error err;
	unsigned entries;

	assert_int_equal(vcpu_run_on(fake.vm.vcpus[0], work, NULL, 10000), 0);
	assert_int_equal(atomic_load(&fake.worked), 1);
	assert_int_equal(vm_check_runs(&fake.vm, &err), 0);
	assert_int_equal(vm_pause(&fake.vm), 0);
	entries = atomic_load(&fake.entries);
	assert_int_equal(vm_pause(&fake.vm), -EALREADY);
	for (unsigned i = 0; i < VCPUS; i++)
		assert_int_equal(vcpu_run_on(fake.vm.vcpus[i], work, NULL, 10000), -EBUSY);
	assert_int_equal(atomic_load(&fake.worked), 1);
	assert_int_equal(vm_check_runs(&fake.vm, &err), -EBUSY);
	assert_non_null(strstr(err.text, "is paused"));
	assert_int_equal(atomic_load(&fake.entries), entries);
	assert_int_equal(vm_resume(&fake.vm), 0);
	assert_int_equal(vm_resume(&fake.vm), -EALREADY);
	assert_int_equal(vcpu_run_on(fake.vm.vcpus[1], work, NULL, 10000), 0);
	assert_true(guest_runs());
}

static void each_vcpu_is_told_that_it_stood_still(void **state)
{
	unsigned before;

	assert_true(guest_runs());
	before = atomic_load(&fake.clock_told);
	assert_int_equal(vm_pause(&fake.vm), 0);
	assert_int_equal(vm_resume(&fake.vm), 0);
	assert_true(guest_runs());
	for (unsigned i = 0; i < VCPUS; i++)
		assert_int_equal(vcpu_run_on(fake.vm.vcpus[i], work, NULL, 10000), 0);
	assert_int_equal(atomic_load(&fake.clock_told), before + VCPUS);
}

/* A stopped process: KVM_RUN returns without a request of this process. */
static void a_stop_from_outside_is_told_too(void **state)
{
	unsigned before;

	assert_true(guest_runs());
	before = atomic_load(&fake.clock_told);
	atomic_store(&fake.stopped, true);
	for (int i = 0; i < 20000 && atomic_load(&fake.clock_told) == before; i++)
		usleep(500);
	assert_int_equal(atomic_load(&fake.clock_told), before + 1);
	/* A kick is not a stop: frequent calls must not silence the guest's watchdogs. */
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(vcpu_run_on(fake.vm.vcpus[1], work, NULL, 10000), 0);
	assert_int_equal(atomic_load(&fake.clock_told), before + 1);
}

static void a_pause_gives_up_on_a_vcpu_that_a_disk_holds(void **state)
{
	atomic_store(&fake.disk_hangs, true);
	guest_writes(DISK_PORT);
	await(&fake.in_disk);
	assert_int_equal(vm_pause(&fake.vm), -ETIMEDOUT);
	/* As if nothing had happened: the other vCPU continues, and so does this one later. */
	assert_true(guest_runs());
	assert_int_equal(vcpu_run_on(fake.vm.vcpus[0], work, NULL, 50), -ETIMEDOUT);
	atomic_store(&fake.disk_hangs, false);
	assert_int_equal(vcpu_run_on(fake.vm.vcpus[0], work, NULL, 10000), 0);
	assert_int_equal(vm_pause(&fake.vm), 0);
}

static void the_main_loop_works_while_a_reset_waits_for_a_vcpu(void **state)
{
	struct error err;

	atomic_store(&fake.disk_hangs, true);
	guest_writes(DISK_PORT);
	await(&fake.in_disk);
	vm_request_reset(&fake.vm);
	usleep(20000);
	assert_main_loop_answers();
	assert_int_equal(atomic_load(&fake.boots), 0);
	assert_int_equal(vm_check_runs(&fake.vm, &err), -EBUSY);
	assert_non_null(strstr(err.text, "is being reset"));
	assert_int_equal(vcpu_run_on(fake.vm.vcpus[1], work, NULL, 10000), -EBUSY);
	atomic_store(&fake.disk_hangs, false);
	await_boots(1);
	assert_true(guest_runs());
	assert_int_equal(atomic_load(&fake.worked), 0);
}

static void the_main_loop_works_while_a_reset_waits_for_a_device(void **state)
{
	atomic_store(&fake.reset_hangs, true);
	guest_writes(RESET_PORT);
	await(&fake.in_reset);
	assert_main_loop_answers();
	assert_int_equal(vcpu_run_on(fake.vm.vcpus[1], work, NULL, 10000), -EBUSY);
	assert_int_equal(atomic_load(&fake.worked), 0);
	/* Pausing and resuming meanwhile does not let a vCPU slip through. */
	assert_int_equal(vm_pause(&fake.vm), 0);
	assert_int_equal(vm_resume(&fake.vm), 0);
	usleep(20000);
	assert_int_equal(fake.vm.parked, VCPUS);
	atomic_store(&fake.reset_hangs, false);
	await_boots(1);
	assert_true(guest_runs());
}

static void the_end_comes_while_a_reset_waits(void **state)
{
	atomic_store(&fake.disk_hangs, true);
	guest_writes(DISK_PORT);
	await(&fake.in_disk);
	vm_request_reset(&fake.vm);
	vm_end(&fake.vm, VM_END_STOPPED);
	/* Does not wait for the vCPU in the disk. */
	lifecycle_stop(&fake.vm);
	assert_int_equal(atomic_load(&fake.boots), 0);
	assert_int_equal(vcpu_run_on(fake.vm.vcpus[1], work, NULL, 10000), -ESHUTDOWN);
}

struct slow_work {
	_Atomic bool runs;
};

static void work_slowly(struct vcpu *vcpu, void *opaque)
{
	struct slow_work *slow = opaque;

	atomic_store(&slow->runs, true);
	usleep(300);
	atomic_store(&slow->runs, false);
}

/* Work uses its caller's memory. If the caller's time is over just as it begins, the caller waits.
 */
static void work_that_has_begun_is_waited_for(void **state)
{
	for (unsigned i = 0; i < 3000; i++) {
		struct slow_work slow = {.runs = false};
		int status = vcpu_run_on(fake.vm.vcpus[0], work_slowly, &slow, i % 2);

		assert_false(atomic_load(&slow.runs));
		assert_true(status == 0 || status == -ETIMEDOUT);
	}
}

static void *keep_posting(void *opaque)
{
	_Atomic bool *stop = opaque;

	while (!atomic_load(stop))
		for (unsigned i = 0; i < VCPUS; i++)
			vcpu_run_on(fake.vm.vcpus[i], work, NULL, 10000);
	return NULL;
}

static void posted_work_and_resets_exclude_each_other(void **state)
{
	_Atomic bool stop = false;
	pthread_t threads[2];

	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, keep_posting, &stop), 0);
	for (unsigned i = 0; i < 30; i++) {
		guest_writes(RESET_PORT);
		await_boots(i + 1);
	}
	atomic_store(&stop, true);
	for (unsigned i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	assert_true(atomic_load(&fake.worked) > 0);
	assert_int_equal(atomic_load(&fake.worked_in_reset), 0);
}

static void *keep_pausing(void *opaque)
{
	_Atomic bool *stop = opaque;

	while (!atomic_load(stop)) {
		vm_pause(&fake.vm);
		vm_resume(&fake.vm);
	}
	return NULL;
}

static void pauses_of_several_clients_leave_no_vcpu_behind(void **state)
{
	_Atomic bool stop = false;
	pthread_t threads[3];

	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, keep_pausing, &stop), 0);
	for (unsigned i = 0; i < 3; i++) {
		guest_writes(RESET_PORT);
		await_boots(i + 1);
	}
	atomic_store(&stop, true);
	for (unsigned i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	vm_resume(&fake.vm);
	for (unsigned i = 0; i < 200 && atomic_load(&fake.vm.reset_requested); i++)
		usleep(10000);
	for (unsigned i = 0; i < VCPUS; i++)
		assert_int_equal(vcpu_run_on(fake.vm.vcpus[i], work, NULL, 10000), 0);
}

/*
 * vm_resume() may clear the request PAUSE just as another vCPU requests a reset, after it saw that
 * none was requested. The vCPU must not run its guest on that.
 */
static void a_vcpu_that_lost_its_request_does_not_run_in_a_reset(void **state)
{
	struct vm *vm = &fake.vm;
	unsigned entries;

	assert_int_equal(vm_pause(vm), 0);
	entries = atomic_load(&fake.entries);
	atomic_store(&vm->reset_requested, true);
	pthread_mutex_lock(&vm->state_lock);
	for (unsigned i = 0; i < VCPUS; i++)
		atomic_fetch_and(&vm->vcpus[i]->requests, ~VCPU_REQUEST_PAUSE);
	pthread_cond_broadcast(&vm->state_changed);
	pthread_mutex_unlock(&vm->state_lock);
	for (unsigned i = 0; i < VCPUS; i++)
		assert_int_equal(vcpu_run_on(vm->vcpus[i], work, NULL, 10000), -EBUSY);
	assert_int_equal(vm->parked, VCPUS);
	assert_int_equal(atomic_load(&fake.entries), entries);
	atomic_store(&vm->reset_requested, false);
	assert_int_equal(vm_resume(vm), 0);
	assert_true(guest_runs());
}

/* A user whose processes have all the pending signals that the host allows. */
static void kicks_need_no_queue(void **state)
{
	struct rlimit none = {0};

	/* Their threads have their timers by then: those do need a place in the queue. */
	for (unsigned i = 0; i < VCPUS; i++)
		assert_int_equal(vcpu_run_on(fake.vm.vcpus[i], work, NULL, 10000), 0);
	assert_int_equal(getrlimit(RLIMIT_SIGPENDING, &none), 0);
	none.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_SIGPENDING, &none), 0);
	for (unsigned i = 0; i < 20; i++) {
		assert_int_equal(vm_pause(&fake.vm), 0);
		assert_int_equal(vm_resume(&fake.vm), 0);
		assert_int_equal(vcpu_run_on(fake.vm.vcpus[1], work, NULL, 10000), 0);
	}
	none.rlim_cur = none.rlim_max;
	setrlimit(RLIMIT_SIGPENDING, &none);
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(a_paused_vm_runs_nothing_for_anybody),
		CASE(each_vcpu_is_told_that_it_stood_still),
		CASE(a_stop_from_outside_is_told_too),
		CASE(a_pause_gives_up_on_a_vcpu_that_a_disk_holds),
		CASE(the_main_loop_works_while_a_reset_waits_for_a_vcpu),
		CASE(the_main_loop_works_while_a_reset_waits_for_a_device),
		CASE(the_end_comes_while_a_reset_waits),
		CASE(posted_work_and_resets_exclude_each_other),
		CASE(work_that_has_begun_is_waited_for),
		CASE(pauses_of_several_clients_leave_no_vcpu_behind),
		CASE(a_vcpu_that_lost_its_request_does_not_run_in_a_reset),
		CASE(kicks_need_no_queue),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
