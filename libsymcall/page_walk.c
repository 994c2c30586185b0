/* SPDX-License-Identifier: BSD-2-Clause */
/* Guest page tables, long mode only (Intel SDM vol. 3, 4.5; AMD APM vol. 2, 5.3). */
#include "internal.h"

#define PTE_PRESENT (1ull << 0)
#define PTE_WRITE   (1ull << 1)
#define PTE_USER    (1ull << 2)
#define PTE_LARGE   (1ull << 7)
#define PTE_NX	    (1ull << 63)
#define PTE_ADDRESS 0x000ffffffffff000ull

bool sym_is_canonical(const struct kvm_sregs *sregs, uint64_t gva)
{
	unsigned int unused = sregs->cr4 & CR4_LA57 ? 64 - 57 : 64 - 48;

	return (uint64_t)((int64_t)(gva << unused) >> unused) == gva;
}

/*
 * Translates `gva` by the page tables of `sregs`, whatever the current privilege is. `*access` is
 * what all levels of the walk allow. -EFAULT: not mapped, or a table outside of RAM. The guest may
 * change the tables meanwhile, but misleads only itself by that.
 */
int sym_page_walk(const struct sym_vm *vm, const struct kvm_sregs *sregs, uint64_t gva,
		  uint64_t *gpa, uint32_t *access)
{
	int level = sregs->cr4 & CR4_LA57 ? 5 : 4;
	uint64_t table = sregs->cr3 & PTE_ADDRESS;
	uint32_t allowed = SYM_PAGE_WALK_WRITE | SYM_PAGE_WALK_EXEC | SYM_PAGE_WALK_USER;

	if (!sym_is_canonical(sregs, gva))
		return -EFAULT;
	for (;; level--) {
		unsigned int shift = 12 + 9 * (level - 1);
		uint64_t index = (gva >> shift) & 511;
		uint64_t *slot = vm->ops->translate(vm->opaque, table + index * 8, 8);
		uint64_t pte, mask;

		if (!slot)
			return -EFAULT;
		pte = __atomic_load_n(slot, __ATOMIC_RELAXED);
		if (!(pte & PTE_PRESENT))
			return -EFAULT;
		if (!(pte & PTE_WRITE))
			allowed &= ~SYM_PAGE_WALK_WRITE;
		if (!(pte & PTE_USER))
			allowed &= ~SYM_PAGE_WALK_USER;
		if (pte & PTE_NX)
			allowed &= ~SYM_PAGE_WALK_EXEC;
		if (level == 1 || (level <= 3 && (pte & PTE_LARGE))) {
			mask = (1ull << shift) - 1;
			*gpa = (pte & PTE_ADDRESS & ~mask) | (gva & mask);
			*access = allowed;
			return 0;
		}
		table = pte & PTE_ADDRESS;
	}
}

int sym_page_walk_read8(const struct sym_vm *vm, const struct kvm_sregs *sregs, uint64_t gva,
			uint8_t *byte)
{
	uint64_t gpa;
	uint32_t access;
	uint8_t *hva;
	int error = sym_page_walk(vm, sregs, gva, &gpa, &access);

	if (error)
		return error;
	hva = vm->ops->translate(vm->opaque, gpa, 1);
	if (!hva)
		return -EFAULT;
	*byte = __atomic_load_n(hva, __ATOMIC_RELAXED);
	return 0;
}
