// SPDX-License-Identifier: BSD-2-Clause
#include "fake_vm.h"

#include <errno.h>
#include <string.h>

struct fake_vm fake_vm;

int sym_call(struct sym_vcpu *engine, const struct sym_call_request *request,
	     struct sym_call_result *result)
{
	atomic_fetch_add(&fake_vm.calls, 1);
	return fake_vm.answer((struct vcpu *)engine, request, result);
}

int vcpu_run_on(struct vcpu *vcpu, vcpu_function function, void *opaque, unsigned timeout_ms)
{
	function(vcpu, opaque);
	return 0;
}

int vm_check_runs(struct vm *vm, struct error *err)
{
	if (atomic_load(&vm->end) != VM_END_NONE)
		return error_set(err, -ESHUTDOWN, "the VM has ended");
	if (atomic_load(&fake_vm.paused))
		return error_set(err, -EBUSY, "the VM is paused");
	return 0;
}

void fake_vm_init(struct vm *vm, fake_answer_fn answer)
{
	memset(&fake_vm, 0, sizeof(fake_vm));
	fake_vm.vm = vm;
	fake_vm.answer = answer;
	atomic_store(&vm->end, VM_END_NONE);
	vm->symbiotic = (struct sym_vm *)&fake_vm;
	vm->vcpu_count = FAKE_VCPUS;
	for (unsigned i = 0; i < FAKE_VCPUS; i++) {
		struct vcpu *vcpu = &fake_vm.vcpus[i];

		*vcpu = (struct vcpu){.vm = vm, .id = i, .symbiotic = (struct sym_vcpu *)vcpu};
		vm->vcpus[i] = vcpu;
	}
}

int fake_message(const struct sym_call_request *request, struct sym_call_result *result,
		 const void *message, size_t size)
{
	if (size > request->message_size)
		return -EMSGSIZE;
	memcpy(request->message, message, size);
	*result = (struct sym_call_result){.value = (int64_t)size, .message_length = size};
	return 0;
}
