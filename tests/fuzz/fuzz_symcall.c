/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Registration, returns, doorbells and completions from a hostile guest: the input gives
 * the results of KVM_RUN and the guest's writes. In addition to memory errors it finds
 * calls accepted without a proper return, and contexts that are not restored.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../unit/libsymcall/fake_kvm.h"

#define STEPS_MAX 400

struct input {
	const uint8_t *data;
	size_t size;
	bool in_handler;
	bool good_return; /* the last exit of a handler was a return as abi.h defines it */
	uint64_t sequence;
	unsigned int steps;
	struct sym_vcpu *vcpu;
	/* The context when the last completion ended. */
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_vcpu_events events;
};

static uint64_t take(struct input *in, size_t bytes)
{
	uint64_t value = 0;

	for (size_t i = 0; i < bytes; i++)
		if (in->size) {
			value = value << 8 | *in->data++;
			in->size--;
		}
	return value;
}

static uint64_t take_address(struct input *in)
{
	const uint64_t places[] = {0,
				   FAKE_HIGH,
				   FAKE_RAM_SIZE,
				   0xfffffffffffff000,
				   0x8000000000000000,
				   FAKE_SPY_VCPU,
				   FAKE_CODE,
				   FAKE_HIGH + FAKE_CODE};
	uint64_t place = places[take(in, 1) & 7];

	return place + (take(in, 1) & 1 ? take(in, 2) : 0);
}

static void scribble(struct input *in, struct fake_kvm *fake)
{
	uint32_t where = (uint32_t)take(in, 2) % (FAKE_RAM_SIZE - 8);
	uint64_t value = take(in, 4);

	/* Writes mostly to the places that matter: the vCPU's SymSpy page, the page tables. */
	if (take(in, 1) & 1)
		where = FAKE_SPY_VCPU + where % 4088;
	memcpy(fake->ram + where, &value, sizeof(value));
	if (take(in, 1) & 1)
		memcpy(fake->ram + FAKE_SPY_VCPU + offsetof(struct sym_spy_vcpu, doorbell.cookie),
		       fake->ram + FAKE_SPY_VCPU + offsetof(struct sym_spy_vcpu, host.cookie), 8);
}

static int any_exit(struct input *in, struct fake_kvm *fake)
{
	static const uint32_t reasons[] = {KVM_EXIT_HLT,	  KVM_EXIT_SHUTDOWN,
					   KVM_EXIT_DEBUG,	  KVM_EXIT_INTERNAL_ERROR,
					   KVM_EXIT_FAIL_ENTRY,	  KVM_EXIT_UNKNOWN,
					   KVM_EXIT_SYSTEM_EVENT, 99};
	struct kvm_run *run = fake->run;

	switch (take(in, 1) & 7) {
	case 0:
		return fake_exit_msr(fake, true, SYM_MSR_BASE + (take(in, 1) & 15),
				     take_address(in) | (take(in, 1) & 1));
	case 1:
		return fake_exit_msr(fake, take(in, 1) & 1, SYM_MSR_BASE + (take(in, 1) & 15),
				     take(in, 8));
	case 2:
		return fake_exit_io(fake, take(in, 1) & 1, SYM_PORT_BASE + (take(in, 1) & 3),
				    (uint8_t)(1u << (take(in, 1) % 3)), 1 + (take(in, 1) & 3));
	case 3:
		run->exit_reason = KVM_EXIT_MMIO;
		run->mmio.phys_addr = take(in, 4);
		run->mmio.len = 1u << (take(in, 1) & 3);
		run->mmio.is_write = take(in, 1) & 1;
		return 0;
	case 4:
		run->exit_reason = reasons[take(in, 1) & 7];
		return 0;
	case 5:
		return fake_exit_io(fake, take(in, 1) & 1, (uint16_t)take(in, 2), 4,
				    1 + (uint32_t)take(in, 2) % 1024);
	case 6:
		return take(in, 1) & 1 ? -EINTR : -EFAULT;
	default:
		return fake_exit_io(fake, false, SYM_PORT_BASE + SYM_PORT_DOORBELL, 1, 1);
	}
}

static void change_registers(struct input *in, struct fake_kvm *fake)
{
	fake->regs.rip = take_address(in);
	fake->regs.rsp = take_address(in);
	fake->regs.rax = take(in, 8);
	fake->sregs.ss.dpl = take(in, 1) & 3;
	fake->sregs.cs.selector = (uint16_t)(take(in, 1) & 0x1b);
	fake->sregs.cr3 = take(in, 1) & 1 ? FAKE_PML4 : take_address(in);
	if (take(in, 1) > 250)
		fake->sregs.cr4 ^= 1ull << (take(in, 1) & 63);
	if (take(in, 1) > 250)
		fake->sregs.efer ^= 0x400;
	fake->events.nmi.masked = take(in, 1) > 250;
	fake->events.interrupt.injected = take(in, 1) & 1;
	fake->mp_state.mp_state = take(in, 1) > 250 ? 3 : 0;
}

/*
 * abi.h's requirements on a return. The library looks CPL up once for an instruction of the
 * upper half.
 */
static bool is_return(const struct input *in, const struct fake_kvm *fake)
{
	const struct kvm_run *run = fake->run;

	return run->exit_reason == KVM_EXIT_IO && run->io.direction == KVM_EXIT_IO_OUT &&
	       run->io.port == SYM_PORT_BASE && run->io.size == 1 && run->io.count == 1 &&
	       fake->regs.r9 == in->sequence && (!fake->sregs.ss.dpl || fake->regs.rip >> 63);
}

static int handler_exit(struct input *in, struct fake_kvm *fake)
{
	if (in->steps++ > STEPS_MAX || !in->size)
		return -EFAULT;
	if (take(in, 1) & 1)
		scribble(in, fake);
	fake->regs.rax = take(in, 2);
	if (!(take(in, 1) & 1))
		return any_exit(in, fake);
	fake->regs.r9 += take(in, 1) & 1;
	fake->regs.rip = take_address(in);
	fake->sregs.ss.dpl = take(in, 1) & 1 ? 3 : 0;
	return fake_exit_io(fake, false, SYM_PORT_BASE, (uint8_t)(1u << (take(in, 1) & 1)),
			    1 + (take(in, 1) & 1));
}

static int next(struct fake_kvm *fake, bool immediate)
{
	struct input *in = fake->opaque;
	int result;

	/* The deadline, not the fuzzer, tests a handler that never returns. */
	if (immediate) {
		result = in->steps++ > STEPS_MAX || (take(in, 1) & 3) ? -EINTR : any_exit(in, fake);
		if (result && !in->in_handler) {
			in->regs = fake->regs;
			in->sregs = fake->sregs;
			in->events = fake->events;
		}
		return result ? -EINTR : 0;
	}
	if (!in->in_handler)
		in->sequence = fake->regs.r9;
	in->in_handler = true;
	result = handler_exit(in, fake);
	in->good_return = !result && is_return(in, fake);
	return result;
}

static int service_exit(void *opaque, struct kvm_run *run)
{
	struct input *in = opaque;
	const struct sym_call_request request = {.number = take(in, 2)};
	struct sym_call_result result;
	uint8_t data[4096] = {1};
	uint64_t choice = take(in, 1);

	if (choice & 1)
		sym_vcpu_answer(in->vcpu, data,
				take(in, 1) & 1 ? run->mmio.len : take(in, 2) % 4097);
	if (choice & 2 && sym_call(in->vcpu, &request, &result) != -EBUSY &&
	    request.number < 0x1000)
		abort();
	if (choice & 4)
		sym_vcpu_answer_fault(in->vcpu);
	return choice > 240 ? -ECANCELED : 0;
}

static uint64_t on_doorbell(void *opaque, struct sym_vcpu *vcpu, void *vcpu_opaque,
			    const uint64_t request[6])
{
	struct input *in = vcpu_opaque;
	const struct sym_call_request call = {.number = SYM_CALL_SAFEPOINT_PING};
	struct sym_call_result result;
	uint64_t calls = take(in, 1) & 3;

	for (uint64_t i = 0; i < calls; i++)
		sym_call_safepoint(vcpu, &call, &result);
	return 1;
}

static const struct sym_ops ops = {.translate = fake_translate, .service_exit = service_exit};

static void call(struct input *in, struct fake_kvm *fake)
{
	uint8_t message[SYM_MESSAGE_SIZE];
	const struct sym_call_request request = {
		.number = take(in, 1),
		.flags = take(in, 1) & 1,
		.message = take(in, 1) & 1 ? message : NULL,
		.message_size = take(in, 2) % (sizeof(message) + 1),
	};
	const struct kvm_sync_regs *sync = &fake->run->s.regs;
	struct sym_call_result result;
	struct sym_vcpu_stats before, after;
	int error;

	sym_vcpu_get_stats(in->vcpu, &before);
	in->good_return = in->in_handler = false;
	error = sym_call(in->vcpu, &request, &result);
	sym_vcpu_get_stats(in->vcpu, &after);
	if (after.completed != before.completed && !in->good_return)
		abort();
	if (!error && after.completed == before.completed)
		abort();
	if (result.message_length > request.message_size)
		abort();
	/* Whatever happened inside, the next entry loads the interrupted context. */
	if (after.calls != before.calls) {
		uint32_t dirty = fake->run->kvm_dirty_regs;

		in->events.flags = sync->events.flags;
		if (!(dirty & KVM_SYNC_X86_REGS) || !(dirty & KVM_SYNC_X86_EVENTS) ||
		    memcmp(&sync->regs, &in->regs, sizeof(in->regs)) ||
		    memcmp(&sync->events, &in->events, sizeof(in->events)))
			abort();
		if (dirty & KVM_SYNC_X86_SREGS &&
		    memcmp(&sync->sregs, &in->sregs, sizeof(in->sregs)))
			abort();
	}
	if (take(in, 1) & 1)
		sym_vcpu_answer(in->vcpu, message, take(in, 1) & 1 ? 4 : 8);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct sym_vm_config config = {.size = sizeof(config),
					     .ops = &ops,
					     .features = SYM_FEATURES_ALL,
					     .deadline_us = 1000000};
	struct input in = {.data = data, .size = size};
	struct fake_kvm *fake = fake_kvm_create();
	struct sym_vm *vm = sym_vm_create(&config);
	struct sym_spy_vm_guest vm_guest;
	struct sym_spy_vcpu_guest vcpu_guest;

	fake->next = next;
	fake->opaque = &in;
	in.vcpu = sym_vcpu_create(vm, 3, fake->run, 0, &in);
	if (!vm || !in.vcpu)
		abort();
	sym_vm_set_doorbell(vm, 0, on_doorbell, NULL);
	if (take(&in, 1) & 1)
		fake_register(fake, in.vcpu);
	while (in.size) {
		switch (take(&in, 1) & 7) {
		case 0:
			change_registers(&in, fake);
			break;
		case 1:
			scribble(&in, fake);
			break;
		case 2:
			sym_vm_spy_read(vm, &vm_guest);
			sym_vcpu_spy_read(in.vcpu, &vcpu_guest);
			break;
		case 3:
		case 4:
			call(&in, fake);
			break;
		default:
			in.steps = 0;
			sym_vcpu_run(in.vcpu);
			break;
		}
	}
	sym_vcpu_destroy(in.vcpu);
	sym_vm_destroy(vm);
	fake_kvm_destroy(fake);
	return 0;
}
