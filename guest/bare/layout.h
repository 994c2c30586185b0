/* SPDX-License-Identifier: BSD-2-Clause */
/* Memory map and devices of the bare guest of the libsymcall tests; also for the assembler. */
#ifndef GUEST_BARE_LAYOUT_H
#define GUEST_BARE_LAYOUT_H

#define GUEST_RAM_SIZE 0x200000

/* Virtual: RAM at 0 and at GUEST_HIGH for the kernel, at USER_BASE for user mode. */
#define GUEST_HIGH 0xffffffff80000000
#define USER_BASE  0x40000000

#define GDT	     0x1000
#define TSS	     0x1800
#define PML4	     0x2000 /* the kernel's */
#define PML4_USER    0x3000 /* without the upper half; bit 12 is the difference */
#define PDPT_LOW     0x4000
#define PD_LOW	     0x5000
#define PD_USER	     0x6000
#define PD_DEVICES   0x7000
#define PDPT_HIGH    0x8000
#define IDT	     0x9000
#define COUNTERS     0xa000 /* of interrupts, by vector */
#define FRAMES	     0xa800 /* RIP that the last interrupt hit */
#define BUFFER	     0xb000
#define KERNEL_STACK 0x20000
#define INTR_STACK   0x24000
#define USER_STACK   0x40028000
#define CODE	     0x100000

/* Above this a call may change memory (its stack, SymSpy pages), so tests do not compare it. */
#define EXCLUDED   0x180000
#define CALL_STACK 0x190000
#define SPY_VM	   0x1a0000
#define SPY_VCPU   0x1b0000
#define SPY_VCPU_2 0x1c0000
#define ECHO	   0x1d0000
#define GS_DATA	   0x1e0000

#define SEL_KCODE 0x08
#define SEL_KDATA 0x10
#define SEL_UDATA 0x1b
#define SEL_UCODE 0x23
#define SEL_TSS	  0x28

#define VECTOR_IRQ  0x40
#define VECTOR_GATE 0x41

/* Devices of the test VMM: TEST is compared between runs, OTHER is for handlers. */
#define PORT_TEST  0x600
#define PORT_OTHER 0x608
#define PORT_NEST  0x610
#define PORT_END   0x620
#define MMIO_TEST  0xd0000000
#define MMIO_OTHER 0xd0001000
#define MSR_TEST   0x53590000
#define MSR_OTHER  0x53590001

/* The interface as abi.h has it; machine.c asserts that they agree. */
#define PORT_RETURN   0x530
#define PORT_DOORBELL 0x531
#define MSR_CONTROL   0x53594d01
#define MSR_SPY_VCPU  0x53594d0a
#define SPY_COOKIE    16
#define SPY_DOORBELL  320
#define SPY_MESSAGE   2048

#endif
