/* SPDX-License-Identifier: GPL-2.0-only */
#include <linux/linkage.h>
#include <asm/unwind_hints.h>

#ifdef SYM_HAS_END_OF_STACK
#define SYM_UNWIND_END UNWIND_HINT_END_OF_STACK
#else
#define SYM_UNWIND_END UNWIND_HINT_EMPTY
#endif

	.data
	.globl sym_return_port
	.balign 2
sym_return_port:
	.word 0

	.text

/*
 * The VMM makes a vCPU continue here for an atomic call: at any moment, on the CPU's own stack for
 * calls, with kernel segments, GS base and page tables, and with interrupts and NMIs off. So
 * nothing is left to switch: there is no SWAPGS here, and the way back is an OUT, never an IRET.
 * The VMM restores every register afterwards.
 *
 * RAX number, RDI RSI RDX R10 R8 arguments, R9 sequence, RBX SYM_ENTRY_*.
 */
SYM_CODE_START(sym_entry)
	SYM_UNWIND_END
	endbr64
	cld
	xorl	%ebp, %ebp
	/* struct sym_entry_frame, last field first. The stack stays 16-byte aligned. */
	pushq	%r9
	pushq	%rbx
	pushq	%r8
	pushq	%r10
	pushq	%rdx
	pushq	%rsi
	pushq	%rdi
	pushq	%rax
	movq	%rsp, %rdi
	call	sym_dispatch_atomic
	movq	56(%rsp), %r9
	movzwl	sym_return_port(%rip), %edx
	outb	%al, %dx
	/* The vCPU never continues here. If it does, stop instead of running on. */
	ud2
SYM_CODE_END(sym_entry)

	.section .note.GNU-stack, "", @progbits
