// SPDX-License-Identifier: BSD-2-Clause
/* The symbiotic interface: its MSRs, its ports, and its shared pages. */
#include "hostile.h"
#include <symbiotic/abi.h>

static uint64_t spy_page;

static void registration(struct hostile *hostile)
{
	uint32_t index = SYM_MSR_BASE + (uint32_t)random_below(hostile, SYM_MSR_COUNT + 4) - 2;
	uint64_t value = hostile_value(hostile);
	uint64_t page = arena_address(hostile, 8192, 4096);

	switch (index - SYM_MSR_BASE) {
	case SYM_MSR_GUEST:
		if (!random_one_in(hostile, 4))
			value = (uint64_t)SYM_ABI_VERSION << 32 | random_below(hostile, 8);
		break;
	case SYM_MSR_CONTROL:
		value = random_below(hostile, 4);
		break;
	case SYM_MSR_ENTRY_RIP:
	case SYM_MSR_ENTRY_RSP:
	case SYM_MSR_ENTRY_GS_BASE:
		if (!random_one_in(hostile, 4))
			value |= 0xffff800000000000ull;
		break;
	case SYM_MSR_ENTRY_SEGS:
		if (!random_one_in(hostile, 4))
			value = 0x100008;
		break;
	case SYM_MSR_SPY_VM:
	case SYM_MSR_SPY_VCPU:
		if (!random_one_in(hostile, 4))
			value = page | SYM_SPY_ENABLE;
		break;
	}
	if (random_one_in(hostile, 4)) {
		(void)msr_read(index, &value);
	} else if (msr_write(index, value) && index == SYM_MSR_BASE + SYM_MSR_SPY_VCPU) {
		spy_page = value & SYM_SPY_ENABLE ? value & ~0xfffull : 0;
	}
}

/* Doorbells with the right cookie, and anything else in the page. */
static void doorbell(struct hostile *hostile)
{
	struct sym_spy_vcpu *spy = (struct sym_spy_vcpu *)spy_page;

	if (spy_page) {
		spy->doorbell.cookie = spy->host.cookie;
		spy->doorbell.reason = (uint32_t)random_below(hostile, 16);
		for (unsigned i = 0; i < 6; i++)
			spy->doorbell.request[i] = hostile_value(hostile);
		if (random_one_in(hostile, 4))
			write64(spy_page + random_below(hostile, 4088), hostile_value(hostile));
	}
	out8(SYM_PORT_BASE + SYM_PORT_DOORBELL, (uint8_t)random_next(hostile));
}

void attack_symbiotic(struct hostile *hostile)
{
	uint32_t leaf = SYM_CPUID_BASE + (uint32_t)random_below(hostile, 8);

	if (!hostile->first) /* only the boot CPU may fault */
		return;
	switch (random_below(hostile, 4)) {
	case 0:
		doorbell(hostile);
		break;
	case 1:
		out8(SYM_PORT_BASE + SYM_PORT_RETURN, (uint8_t)random_next(hostile));
		(void)cpuid(leaf, (uint32_t)random_next(hostile));
		break;
	default:
		registration(hostile);
	}
}
