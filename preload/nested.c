// SPDX-License-Identifier: BSD-2-Clause
#include "nested.h"

#include <stdlib.h>
#include <string.h>

#include "raw_ioctl.h"
#include "vm.h"

/* Linux 6.11: Documentation/virt/kvm/api.rst, KVM_CAP_X86_GUEST_MODE. */
#define CAP_X86_GUEST_MODE 238ul

#define CPUID_VMX (1u << 5) /* leaf 1, ECX: Intel SDM vol. 2A, CPUID */
#define CPUID_SVM (1u << 2) /* leaf 0x80000001, ECX: AMD APM vol. 3, E.4.2 */

bool nested_is_offered(const struct kvm_cpuid2 *list)
{
	for (uint32_t i = 0; i < list->nent; i++) {
		const struct kvm_cpuid_entry2 *entry = &list->entries[i];

		if ((entry->function == 1 && entry->ecx & CPUID_VMX) ||
		    (entry->function == 0x80000001 && entry->ecx & CPUID_SVM))
			return true;
	}
	return false;
}

void nested_check_host(struct preload_vm *vm, int kvm_fd)
{
	long size = preload_raw_ioctl(kvm_fd, KVM_CHECK_EXTENSION, (void *)KVM_CAP_NESTED_STATE);

	vm->nested_in_run = preload_raw_ioctl(kvm_fd, KVM_CHECK_EXTENSION,
					      (void *)CAP_X86_GUEST_MODE) > 0;
	vm->nested_size = size > (long)sizeof(struct kvm_nested_state) ? (size_t)size : 0;
}

bool nested_allows_call(struct preload_vcpu *vcpu)
{
	size_t size = vcpu->vm->nested_size;

	if (vcpu->vm->nested_in_run || !vcpu->nests)
		return true;
	if (!vcpu->nested && size)
		vcpu->nested = malloc(size);
	if (!vcpu->nested)
		return false;
	memset(vcpu->nested, 0, sizeof(*vcpu->nested));
	vcpu->nested->size = (uint32_t)size;
	return preload_raw_ioctl(vcpu->fd, KVM_GET_NESTED_STATE, vcpu->nested) == 0 &&
	       !(vcpu->nested->flags & KVM_STATE_NESTED_GUEST_MODE);
}
