// SPDX-License-Identifier: BSD-2-Clause
#include "window.h"

static uint8_t vm_page[SYM_PAGE_SIZE] __attribute__((aligned(4096)));
static uint8_t vcpu_page[SYM_PAGE_SIZE] __attribute__((aligned(4096)));

static bool spy_register(void)
{
	uint64_t wanted = (uint64_t)SYM_ABI_VERSION << 32 | SYM_FEATURES_ALL;

	return check(msr_write(SYM_MSR_BASE + SYM_MSR_GUEST, wanted), "the interface is there") &&
	       check(msr_write(SYM_MSR_BASE + SYM_MSR_SPY_VM, (uint64_t)vm_page | SYM_SPY_ENABLE),
		     "it takes the VM's page") &&
	       check(msr_write(SYM_MSR_BASE + SYM_MSR_SPY_VCPU,
			       (uint64_t)vcpu_page | SYM_SPY_ENABLE),
		     "and the vCPU's");
}

bool window_find(struct window *window)
{
	const volatile struct sym_spy_vm *spy = (struct sym_spy_vm *)vm_page;
	volatile struct sym_swap_header *header;

	if (!spy_register())
		return false;
	header = (struct sym_swap_header *)spy->host.swap_windows[0];
	if (!check(header, "a window is published"))
		return false;
	window->header = header;
	window->words = (uint32_t *)((uint64_t)header + header->words_offset);
	window->slots = (uint64_t)header + header->slots_offset;
	window->count = (uint32_t)header->slots;
	return check(header->magic == SYM_SWAP_MAGIC && header->version == SYM_ABI_VERSION,
		     "its header is at 0x%lx", (uint64_t)header) &&
	       check(header->slots_offset + header->slots * SYM_PAGE_SIZE <= header->size,
		     "%lu slots lie in it", header->slots);
}

int64_t window_ring(uint32_t reason, uint64_t slot)
{
	volatile struct sym_spy_vcpu *spy = (struct sym_spy_vcpu *)vcpu_page;

	spy->doorbell.reason = reason;
	spy->doorbell.request[0] = 0;
	spy->doorbell.request[1] = slot;
	spy->doorbell.state = SYM_DOORBELL_STATE_RUNG;
	spy->doorbell.cookie = spy->host.cookie;
	out8(SYM_PORT_BASE + SYM_PORT_DOORBELL, 0);
	spy->doorbell.cookie = 0;
	return spy->doorbell.state == SYM_DOORBELL_STATE_VERDICT ? (int64_t)spy->doorbell.verdict
								 : -1000;
}

bool window_change(struct window *window, uint32_t slot, uint32_t from, uint32_t to)
{
	return __atomic_compare_exchange_n(&window->words[slot], &from, to, false, __ATOMIC_SEQ_CST,
					   __ATOMIC_SEQ_CST);
}
