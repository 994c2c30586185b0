/* SPDX-License-Identifier: GPL-2.0-only */
#include <linux/linkage.h>
#include <asm/nospec-branch.h>
#include <asm/unwind_hints.h>

	.text

/*
 * unsigned long sym_ksyms_call(unsigned long function, unsigned long argument):
 * call a kernel function that was found by name, and return its result. The kernel may have sealed
 * the function's ENDBR, since nothing in the kernel calls it indirectly. So this goes there by RET,
 * which indirect branch tracking does not check (a retpoline does the same).
 */
SYM_CODE_START(sym_ksyms_call)
	UNWIND_HINT_FUNC
	pushq	%rdi
	movq	%rsi, %rdi
	ANNOTATE_UNRET_SAFE
	ret
	int3
SYM_CODE_END(sym_ksyms_call)

	.section .note.GNU-stack, "", @progbits
