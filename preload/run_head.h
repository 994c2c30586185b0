/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The head of kvm_run, which KVM writes at each exit and which QEMU reads after each KVM_RUN. A
 * call leaves there what was true in its handler, for instance that interrupts are off.
 */
#ifndef PRELOAD_RUN_HEAD_H
#define PRELOAD_RUN_HEAD_H

#include <linux/kvm.h>
#include <stdint.h>

struct run_head {
	uint8_t ready_for_interrupt_injection;
	uint8_t if_flag;
	uint16_t flags;
	uint64_t cr8;
	uint64_t apic_base;
};

static inline struct run_head run_head_save(const struct kvm_run *run)
{
	return (struct run_head){run->ready_for_interrupt_injection, run->if_flag, run->flags,
				 run->cr8, run->apic_base};
}

static inline void run_head_restore(struct kvm_run *run, const struct run_head *head)
{
	run->ready_for_interrupt_injection = head->ready_for_interrupt_injection;
	run->if_flag = head->if_flag;
	run->flags = head->flags;
	run->cr8 = head->cr8;
	run->apic_base = head->apic_base;
}

#endif
