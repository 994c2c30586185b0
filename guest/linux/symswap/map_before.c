// SPDX-License-Identifier: GPL-2.0-only
/*
 * Code that runs a function of this module before a function of the kernel, and then enters the
 * latter.
 *
 *	caller ──▶ kernel's function: ENDBR, call of ftrace ──▶ symswap_redirect() (map_hook.c)
 *	                                                              │ returns here:
 *	           the rest of the function  ◀── jump ──  symswap_thunk_NAME: symswap_before_NAME()
 *
 * The jump leaves nothing of this module on the stack. So while a task sleeps in the kernel's
 * function, this module can be unloaded. A static call makes the jump a direct one: the place that
 * it enters has no ENDBR.
 */
#include <linux/linkage.h>
#include <linux/static_call.h>
#include <linux/types.h>
#include <linux/uaccess.h>
#include <asm/ibt.h>
#include "map.h"

/* Only the address matters: no C code calls these. */
void symswap_type_rest(void);

/* The kernel's six registers for arguments are saved, and none of its stack arguments is touched.
 */
#define SYMSWAP_THUNK(name)                                                                        \
	void symswap_thunk_##name(void);                                                           \
	DEFINE_STATIC_CALL_NULL(symswap_rest_##name, symswap_type_rest);                           \
	asm(".pushsection .text, \"ax\"\n"                                                         \
	    ".p2align 4\n"                                                                         \
	    ".globl symswap_thunk_" #name "\n"                                                     \
	    ".type symswap_thunk_" #name ", @function\n"                                           \
	    "symswap_thunk_" #name ":\n" ASM_ENDBR                                                 \
	    "	push %rdi\n	push %rsi\n	push %rdx\n	push %rcx\n	push %r8\n	push %r9\n"               \
	    "	call symswap_before_" #name "\n"                                                   \
	    "	pop %r9\n	pop %r8\n	pop %rcx\n	pop %rdx\n	pop %rsi\n	pop %rdi\n"                     \
	    "	test %al, %al\n"                                                                     \
	    "	jnz 1f\n"                                                                            \
	    "	xor %eax, %eax\n"                                                                    \
	    "	" ASM_RET                                                                          \
	    "1:	jmp " STATIC_CALL_TRAMP_STR(symswap_rest_##name) "\n"                              \
								 ".size symswap_thunk_" #name      \
								 ", . - symswap_thunk_" #name "\n" \
								 ".popsection\n")

SYMSWAP_THUNK(fault);
SYMSWAP_THUNK(writepage);
SYMSWAP_THUNK(populate);
SYMSWAP_THUNK(walk);
SYMSWAP_THUNK(hmm);

#define SYMSWAP_FTRACE_SIZE 5u

/* Behind the place of ftrace's call, which is at the start, or behind an ENDBR. 0 if there is none.
 */
static unsigned long symswap_rest(unsigned long address)
{
	static const u8 nop[SYMSWAP_FTRACE_SIZE] = { 0x0f, 0x1f, 0x44, 0x00, 0x00 };
	u8 code[4 + SYMSWAP_FTRACE_SIZE];
	unsigned int i;

	if (copy_from_kernel_nofault(code, (void *)address, sizeof(code)))
		return 0;
	for (i = 0; i <= 4; i += 4)
		if (code[i] == 0xe8 || !memcmp(code + i, nop, sizeof(nop)))
			return address + i + SYMSWAP_FTRACE_SIZE;
	return 0;
}

/*
 * symswap_before_hook - the code that calls of the kernel's function at @address have to go to, or
 * NULL
 *
 * Nothing goes there yet. May sleep.
 */
void *symswap_before_hook(enum symswap_before before, unsigned long address)
{
	void *rest = (void *)symswap_rest(address);

	if (!rest)
		return NULL;
	switch (before) {
	case SYMSWAP_BEFORE_FAULT:
		static_call_update(symswap_rest_fault, rest);
		return symswap_thunk_fault;
	case SYMSWAP_BEFORE_WRITEPAGE:
		static_call_update(symswap_rest_writepage, rest);
		return symswap_thunk_writepage;
	case SYMSWAP_BEFORE_POPULATE:
		static_call_update(symswap_rest_populate, rest);
		return symswap_thunk_populate;
	case SYMSWAP_BEFORE_WALK:
		static_call_update(symswap_rest_walk, rest);
		return symswap_thunk_walk;
	case SYMSWAP_BEFORE_HMM:
		static_call_update(symswap_rest_hmm, rest);
		return symswap_thunk_hmm;
	default:
		return NULL;
	}
}
