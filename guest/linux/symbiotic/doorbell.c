// SPDX-License-Identifier: GPL-2.0-only
/*
 * Doorbells: exits that this guest makes on purpose to ask the VMM something. While the VMM
 * decides, it may call back, as often as it needs. Such a call comes at a place that the kernel
 * chose, so its handler may do more than that of an atomic call, and it costs no switch of context.
 */
#include <linux/export.h>
#include <linux/io.h>
#include <linux/preempt.h>
#include "internal.h"

/* The most calls during one doorbell. A VMM that calls without end would hog the CPU. */
#define SYM_DOORBELL_CALLS_MAX 4096u

/* The cookie proves that the kernel rings, and not a process that may use the port. */
static int sym_doorbell_ring(struct sym_spy_vcpu *page, s64 *verdict)
{
	struct sym_doorbell *bell = &page->doorbell;
	unsigned int calls;

	for (calls = 0; calls <= SYM_DOORBELL_CALLS_MAX; calls++) {
		u64 args[SYM_CALL_ARGS];
		unsigned int i;
		u32 state;

		WRITE_ONCE(bell->state, SYM_DOORBELL_STATE_RUNG);
		WRITE_ONCE(bell->cookie, READ_ONCE(page->host.cookie));
		barrier();
		outb(0, sym_interface.port_base + SYM_PORT_DOORBELL);
		barrier();
		state = READ_ONCE(bell->state);
		if (state == SYM_DOORBELL_STATE_VERDICT) {
			*verdict = READ_ONCE(bell->verdict);
			return 0;
		}
		if (state != SYM_DOORBELL_STATE_CALL)
			return -EIO;
		for (i = 0; i < SYM_CALL_ARGS; i++)
			args[i] = READ_ONCE(bell->args[i]);
		WRITE_ONCE(bell->result,
			   sym_dispatch_safepoint(READ_ONCE(bell->number), args, page->message));
	}
	return -ELOOP;
}

int symbiotic_doorbell(u32 reason, const u64 *request, unsigned int count, s64 *verdict)
{
	struct sym_cpu *cpu;
	struct sym_doorbell *bell;
	unsigned int i;
	s64 answer = 0;
	int error;

	if (count > ARRAY_SIZE(bell->request) || !in_task() || irqs_disabled())
		return -EINVAL;
	if (!symbiotic_active() || !(sym_interface.granted & SYM_FEATURE_SAFEPOINT))
		return -ENODEV;
	preempt_disable();
	cpu = this_cpu_ptr(&sym_cpus);
	error = !cpu->page_shared ? -ENODEV : cpu->in_doorbell ? -EBUSY : 0;
	if (error)
		goto out;
	cpu->in_doorbell = true;
	bell = &cpu->page->doorbell;
	WRITE_ONCE(bell->reason, reason);
	for (i = 0; i < ARRAY_SIZE(bell->request); i++)
		WRITE_ONCE(bell->request[i], i < count ? request[i] : 0);
	error = sym_doorbell_ring(cpu->page, &answer);
	WRITE_ONCE(bell->cookie, 0);
	cpu->in_doorbell = false;
out:
	preempt_enable();
	if (!error && verdict)
		*verdict = answer;
	return error;
}
EXPORT_SYMBOL_GPL(symbiotic_doorbell);
