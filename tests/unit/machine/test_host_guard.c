// SPDX-License-Identifier: BSD-2-Clause
/* The VMM's requests to KVM on hosts with notify exits, bus lock exits and AVIC. */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "machine/host_guard.h"
#include "machine/irq.h"
#include "machine/vm.h"

static struct {
	int notify, bus_lock; /* result of KVM_CHECK_EXTENSION */
	int refuse;	      /* errno of KVM_ENABLE_CAP */
	uint64_t notify_argument, bus_lock_argument;
	unsigned enabled;
	bool irqchip, pit;
	bool pit_inhibits_avic;
	unsigned pit_calls;
	const char *avic; /* what the host's file says; NULL: there is no such file */
} kvm;

/* The host's files: only the one of AVIC is there. */
int open(const char *path, int flags, ...)
{
	int fd;

	if (strcmp(path, "/sys/module/kvm_amd/parameters/avic") != 0 || !kvm.avic) {
		errno = ENOENT;
		return -1;
	}
	fd = memfd_create("avic", MFD_CLOEXEC);
	assert_int_equal(write(fd, kvm.avic, strlen(kvm.avic)), strlen(kvm.avic));
	return fd;
}

static int enable(const struct kvm_enable_cap *cap)
{
	if (kvm.refuse) {
		errno = kvm.refuse;
		return -1;
	}
	kvm.enabled++;
	if (cap->cap == KVM_CAP_X86_NOTIFY_VMEXIT)
		kvm.notify_argument = cap->args[0];
	else if (cap->cap == KVM_CAP_X86_BUS_LOCK_EXIT)
		kvm.bus_lock_argument = cap->args[0];
	else
		fail();
	return 0;
}

int ioctl(int fd, unsigned long request, ...)
{
	va_list arguments;
	void *pointer;

	va_start(arguments, request);
	pointer = va_arg(arguments, void *);
	va_end(arguments);
	switch (request) {
	case KVM_CHECK_EXTENSION:
		return (unsigned long)pointer == KVM_CAP_X86_NOTIFY_VMEXIT   ? kvm.notify
		       : (unsigned long)pointer == KVM_CAP_X86_BUS_LOCK_EXIT ? kvm.bus_lock
									     : 0;
	case KVM_ENABLE_CAP:
		return enable(pointer);
	case KVM_CREATE_IRQCHIP:
		kvm.irqchip = true;
		return 0;
	case KVM_CREATE_PIT2:
		assert_true(kvm.irqchip);
		kvm.pit = kvm.pit_inhibits_avic = true;
		return 0;
	case KVM_REINJECT_CONTROL:
		assert_true(kvm.pit);
		kvm.pit_inhibits_avic = ((struct kvm_reinject_control *)pointer)->pit_reinject;
		kvm.pit_calls++;
		return 0;
	}
	return 0;
}

static void hosts_that_can_are_asked(void **state)
{
	struct vm vm = {0};
	struct error err = {0};

	memset(&kvm, 0, sizeof(kvm));
	assert_int_equal(host_guard_enable(&vm, &err), 0);
	assert_int_equal(kvm.enabled, 0);
	kvm.notify = 3;
	kvm.bus_lock = KVM_BUS_LOCK_DETECTION_OFF; /* cannot exit */
	assert_int_equal(host_guard_enable(&vm, &err), 0);
	assert_int_equal(kvm.enabled, 1);
	assert_int_equal(kvm.notify_argument, 3); /* enabled, exits to us; the default window */
	kvm.bus_lock |= KVM_BUS_LOCK_DETECTION_EXIT;
	assert_int_equal(host_guard_enable(&vm, &err), 0);
	assert_int_equal(kvm.enabled, 3);
	assert_int_equal(kvm.bus_lock_argument, KVM_BUS_LOCK_DETECTION_EXIT);
	kvm.refuse = EINVAL;
	assert_int_equal(host_guard_enable(&vm, &err), -EINVAL);
	assert_non_null(strstr(err.text, "NOTIFY"));
}

static void bus_locks_are_counted(void **state)
{
	struct vcpu vcpu = {0};
	struct kvm_run run = {.exit_reason = KVM_EXIT_IO};

	host_guard_on_exit(&vcpu, &run);
	assert_int_equal(vcpu.counters.bus_locks, 0);
	run.flags = KVM_RUN_X86_BUS_LOCK; /* on the way to another exit */
	host_guard_on_exit(&vcpu, &run);
	run.flags = 0;
	run.exit_reason = KVM_EXIT_X86_BUS_LOCK;
	host_guard_on_exit(&vcpu, &run);
	assert_int_equal(vcpu.counters.bus_locks, 2);
}

static void only_a_whole_state_continues(void **state)
{
	struct kvm_run run = {.exit_reason = KVM_EXIT_NOTIFY};

	assert_true(host_guard_can_continue(&run));
	run.notify.flags = KVM_NOTIFY_CONTEXT_INVALID;
	assert_false(host_guard_can_continue(&run));
}

static void the_pit_leaves_avic_on(void **state)
{
	static const struct {
		const char *avic;
		bool is_on;
	} hosts[] = {{"Y\n", true}, {"1\n", true}, {"N\n", false}, {"0\n", false}, {NULL, false}};
	struct irq_router irq;
	struct error err;

	for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
		memset(&kvm, 0, sizeof(kvm));
		kvm.avic = hosts[i].avic;
		assert_int_equal(irq_init(&irq, -1, &err), 0);
		assert_true(kvm.irqchip && kvm.pit);
		/* Other hosts are spared the call, which makes each start longer. */
		assert_int_equal(kvm.pit_calls, hosts[i].is_on ? 1 : 0);
		assert_int_equal(kvm.pit_inhibits_avic, !hosts[i].is_on);
		irq_destroy(&irq);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hosts_that_can_are_asked),
		cmocka_unit_test(bus_locks_are_counted),
		cmocka_unit_test(only_a_whole_state_continues),
		cmocka_unit_test(the_pit_leaves_avic_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
