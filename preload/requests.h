/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Requests of the VMM that go to KVM in a changed copy, since the interface needs its part in them.
 * The VMM's own structures are never written. Pure functions: any thread.
 */
#ifndef PRELOAD_REQUESTS_H
#define PRELOAD_REQUESTS_H

#include <linux/kvm.h>
#include <signal.h>
#include <stddef.h>

struct sym_vm;

/*
 * The VMM's list for KVM_SET_CPUID2 with the interface's leaves, which the caller frees. On failure
 * *@extended is NULL: -EINVAL, the list is longer than KVM takes; -ENOMEM; those of
 * sym_vm_cpuid_extend().
 */
int request_extend_cpuid(const struct sym_vm *vm, const struct kvm_cpuid2 *list,
			 struct kvm_cpuid2 **extended);

/*
 * The VMM's filter for KVM_X86_SET_MSR_FILTER in *@extended, with the interface's MSRs denied in
 * front of its own ranges (the first range that has an MSR decides). @denied is the bitmap that
 * *@extended refers to, of REQUEST_BITMAP_SIZE zero bytes. -ENOSPC: the VMM uses all ranges.
 */
#define REQUEST_BITMAP_SIZE 64u
int request_extend_msr_filter(const struct kvm_msr_filter *filter, unsigned char *denied,
			      struct kvm_msr_filter *extended);

/*
 * Copies @mask of KVM_SET_SIGNAL_MASK to @copy (of REQUEST_MASK_SIZE bytes) without @signal, so
 * that it can end KVM_RUN. -EINVAL if the length of @mask is not the kernel's.
 */
#define REQUEST_MASK_SIZE (sizeof(struct kvm_signal_mask) + 8)
int request_unblock_signal(const struct kvm_signal_mask *mask, int signal, void *copy);

/*
 * The value of LD_PRELOAD without the entries whose file name is @name, in @out of @size bytes.
 * @out is never longer than @value. -ENOSPC: @size is too small.
 */
int request_drop_preload(const char *value, const char *name, char *out, size_t size);

#endif
