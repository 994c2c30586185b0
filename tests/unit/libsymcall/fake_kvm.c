/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "fake_kvm.h"

struct fake_kvm *fake_kvm;

static int kvm_run(struct fake_kvm *fake)
{
	struct kvm_run *run = fake->run;
	struct kvm_sync_regs *sync = &run->s.regs;
	int result;

	fake->runs++;
	if (run->kvm_dirty_regs & KVM_SYNC_X86_REGS)
		fake->regs = sync->regs;
	if (run->kvm_dirty_regs & KVM_SYNC_X86_SREGS)
		fake->sregs = sync->sregs;
	if (run->kvm_dirty_regs & KVM_SYNC_X86_EVENTS)
		fake->events = sync->events;
	run->kvm_dirty_regs = 0;
	result = fake->next(fake, run->immediate_exit);
	if (run->kvm_valid_regs & KVM_SYNC_X86_REGS)
		sync->regs = fake->regs;
	if (run->kvm_valid_regs & KVM_SYNC_X86_SREGS)
		sync->sregs = fake->sregs;
	if (run->kvm_valid_regs & KVM_SYNC_X86_EVENTS)
		sync->events = fake->events;
	return result;
}

static int request_of(struct fake_kvm *fake, unsigned long request, void *argument)
{
	switch (request) {
	case KVM_RUN:
		return kvm_run(fake);
	case KVM_GET_REGS:
		fake->get_regs++;
		memcpy(argument, &fake->regs, sizeof(fake->regs));
		return 0;
	case KVM_GET_SREGS:
		fake->get_sregs++;
		memcpy(argument, &fake->sregs, sizeof(fake->sregs));
		return 0;
	case KVM_GET_MP_STATE:
		fake->get_mp_state++;
		memcpy(argument, &fake->mp_state, sizeof(fake->mp_state));
		return 0;
	case KVM_SET_MP_STATE:
		fake->set_mp_state++;
		memcpy(&fake->mp_state, argument, sizeof(fake->mp_state));
		return 0;
	case KVM_CHECK_EXTENSION:
		return !fake->guest_mode_hidden;
	case KVM_GET_NESTED_STATE:
		fake->get_nested_state++;
		((struct kvm_nested_state *)argument)->flags = fake->in_nested_guest
								       ? KVM_STATE_NESTED_GUEST_MODE
								       : 0;
		return 0;
	default:
		fake->others++;
		return 0;
	}
}

int ioctl(int fd, unsigned long request, ...)
{
	va_list arguments;
	void *argument;
	int result;

	va_start(arguments, request);
	argument = va_arg(arguments, void *);
	va_end(arguments);
	result = fake_kvm->fail_request == request ? -EIO : request_of(fake_kvm, request, argument);
	if (result >= 0)
		return result;
	errno = -result;
	return -1;
}

void *fake_translate(void *opaque, uint64_t gpa, uint64_t len)
{
	return gpa < FAKE_RAM_SIZE && len <= FAKE_RAM_SIZE - gpa ? fake_kvm->ram + gpa : NULL;
}

static void put64(struct fake_kvm *fake, uint64_t gpa, uint64_t value)
{
	memcpy(fake->ram + gpa, &value, sizeof(value));
}

static void make_page_tables(struct fake_kvm *fake)
{
	put64(fake, FAKE_PML4, 0x2000 | 3);
	put64(fake, FAKE_PML4 + 511 * 8, 0x3000 | 3);
	put64(fake, 0x2000, 0x4000 | 3);
	put64(fake, 0x3000 + 510 * 8, 0x4000 | 3);
	put64(fake, 0x4000, 0x5000 | 3);
	for (uint64_t i = 0; i < FAKE_RAM_SIZE / 4096; i++)
		put64(fake, 0x5000 + i * 8, i << 12 | 3);
}

struct fake_kvm *fake_kvm_create(void)
{
	struct fake_kvm *fake = calloc(1, sizeof(*fake));

	if (!fake)
		abort();
	fake->run = calloc(3, 4096);
	fake->ram = calloc(1, FAKE_RAM_SIZE);
	if (!fake->run || !fake->ram)
		abort();
	make_page_tables(fake);
	fake->sregs.cr0 = 0x80000011;
	fake->sregs.cr3 = FAKE_PML4;
	fake->sregs.efer = 0x500;
	fake->sregs.cr4 = 0x20;
	fake->sregs.cs.selector = 8;
	fake->sregs.cs.l = 1;
	fake->sregs.ss.selector = 16;
	fake->regs.rip = FAKE_HIGH + FAKE_CODE + 0x100;
	fake->regs.rsp = FAKE_HIGH + 0x7000;
	fake->regs.rflags = 2;
	fake_kvm = fake;
	return fake;
}

void fake_kvm_destroy(struct fake_kvm *fake)
{
	free(fake->run);
	free(fake->ram);
	free(fake);
	fake_kvm = NULL;
}

int fake_exit_io(struct fake_kvm *fake, bool in, uint16_t port, uint8_t size, uint32_t count)
{
	fake->run->exit_reason = KVM_EXIT_IO;
	fake->run->io.direction = in ? KVM_EXIT_IO_IN : KVM_EXIT_IO_OUT;
	fake->run->io.port = port;
	fake->run->io.size = size;
	fake->run->io.count = count;
	fake->run->io.data_offset = FAKE_IO_DATA;
	return 0;
}

int fake_exit_msr(struct fake_kvm *fake, bool write, uint32_t index, uint64_t data)
{
	fake->run->exit_reason = write ? KVM_EXIT_X86_WRMSR : KVM_EXIT_X86_RDMSR;
	fake->run->msr.index = index;
	fake->run->msr.data = data;
	fake->run->msr.error = 0;
	return 0;
}

int fake_wrmsr(struct fake_kvm *fake, struct sym_vcpu *vcpu, uint32_t index, uint64_t data)
{
	int64_t status;

	fake_exit_msr(fake, true, SYM_MSR_BASE + index, data);
	if (sym_vcpu_handle_exit(vcpu, 0) != 1)
		return -ENODEV;
	if (!fake->run->msr.error)
		return 0;
	fake_exit_msr(fake, false, SYM_MSR_BASE + SYM_MSR_STATUS, 0);
	if (sym_vcpu_handle_exit(vcpu, 0) != 1)
		return -ENODEV;
	memcpy(&status, &fake->run->msr.data, sizeof(status));
	return (int)status;
}

int fake_register(struct fake_kvm *fake, struct sym_vcpu *vcpu)
{
	const struct {
		uint32_t index;
		uint64_t data;
	} writes[] = {
		{SYM_MSR_CONTROL, 0},
		{SYM_MSR_GUEST, (uint64_t)SYM_ABI_VERSION << 32 | SYM_FEATURES_ALL},
		{SYM_MSR_ENTRY_RIP, FAKE_HIGH + FAKE_CODE},
		{SYM_MSR_ENTRY_RSP, FAKE_HIGH + FAKE_STACK},
		{SYM_MSR_ENTRY_SEGS, 0x00100008},
		{SYM_MSR_SPY_VM, FAKE_SPY_VM | 1},
		{SYM_MSR_SPY_VCPU, FAKE_SPY_VCPU | 1},
		{SYM_MSR_CONTROL, 1},
	};

	for (size_t i = 0; i < sizeof(writes) / sizeof(writes[0]); i++) {
		int error = fake_wrmsr(fake, vcpu, writes[i].index, writes[i].data);

		if (error)
			return error;
	}
	return 0;
}
