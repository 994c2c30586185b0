// SPDX-License-Identifier: BSD-2-Clause
#include "requests.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <symbiotic/symcall.h>

#define CPUID_ENTRIES_MAX 256u /* KVM_MAX_CPUID_ENTRIES of the kernel */
#define CPUID_ROOM	  8u   /* for the interface's leaves */

_Static_assert((SYM_MSR_COUNT + 63) / 64 * 8 <= REQUEST_BITMAP_SIZE, "a bit for each MSR");

int request_extend_cpuid(const struct sym_vm *vm, const struct kvm_cpuid2 *list,
			 struct kvm_cpuid2 **extended)
{
	size_t room = (size_t)list->nent + CPUID_ROOM;
	struct kvm_cpuid2 *copy;
	int status;

	*extended = NULL;
	if (list->nent > CPUID_ENTRIES_MAX)
		return -EINVAL;
	copy = calloc(1, sizeof(*copy) + room * sizeof(copy->entries[0]));
	if (!copy)
		return -ENOMEM;
	memcpy(copy, list, sizeof(*copy) + list->nent * sizeof(copy->entries[0]));
	status = sym_vm_cpuid_extend(vm, copy, room);
	if (status < 0)
		free(copy);
	else
		*extended = copy;
	return status;
}

int request_extend_msr_filter(const struct kvm_msr_filter *filter, unsigned char *denied,
			      struct kvm_msr_filter *extended)
{
	size_t last = KVM_MSR_FILTER_MAX_RANGES - 1;

	if (filter->ranges[last].nmsrs)
		return -ENOSPC;
	*extended = *filter;
	memmove(&extended->ranges[1], &filter->ranges[0], last * sizeof(filter->ranges[0]));
	memset(denied, 0, REQUEST_BITMAP_SIZE);
	extended->ranges[0] = (struct kvm_msr_filter_range){
		.flags = KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE,
		.nmsrs = SYM_MSR_COUNT,
		.base = SYM_MSR_BASE,
		.bitmap = denied,
	};
	return 0;
}

int request_unblock_signal(const struct kvm_signal_mask *mask, int signal, void *copy)
{
	uint64_t set;

	if (mask->len != sizeof(set))
		return -EINVAL;
	memcpy(&set, mask->sigset, sizeof(set));
	set &= ~(1ull << (signal - 1));
	memcpy(copy, mask, sizeof(*mask));
	memcpy((char *)copy + offsetof(struct kvm_signal_mask, sigset), &set, sizeof(set));
	return 0;
}

int request_drop_preload(const char *value, const char *name, char *out, size_t size)
{
	size_t length = 0;

	if (!size)
		return -ENOSPC;
	while (*value) {
		size_t separators = strspn(value, " :"), entry;
		const char *base;

		value += separators;
		entry = strcspn(value, " :");
		base = memrchr(value, '/', entry);
		base = base ? base + 1 : value;
		if (entry && ((size_t)(value + entry - base) != strlen(name) ||
			      memcmp(base, name, strlen(name)) != 0)) {
			if (length + (length > 0) + entry + 1 > size)
				return -ENOSPC;
			if (length)
				out[length++] = ':';
			memcpy(out + length, value, entry);
			length += entry;
		}
		value += entry;
	}
	out[length] = '\0';
	return 0;
}
