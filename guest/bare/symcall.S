/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guest code for the tests of libsymcall: flat, 64-bit, position independent. The test VMM
 * (tests/calls/machine.c) links it, copies it into guest RAM and starts the vCPU at a label.
 * layout.h is the memory map of both.
 */
#include "layout.h"

#define LABEL(name) .globl name; name:

	.text
	.balign 4096
LABEL(guest_code_start)

	.macro end
	mov	$PORT_END, %edx
	out	%al, (%dx)
1:	hlt
	jmp	1b
	.endm

/* ---- one MSR access, for the registration ---- */
LABEL(g_wrmsr)
	wrmsr
	xor	%ebx, %ebx
	end
LABEL(g_rdmsr)
	rdmsr
	mov	%edx, %esi
	xor	%ebx, %ebx
	end
LABEL(g_cpuid)
	cpuid
	mov	%edx, %esi
	end

/* ---- every exit ---- */
LABEL(g_out)
	mov	$PORT_TEST, %edx
	out	%al, (%dx)
	out	%ax, (%dx)
	out	%eax, (%dx)
	lea	1(%rax,%rbx), %r15
	end
LABEL(g_in)
	mov	$PORT_TEST, %edx
	in	(%dx), %al
	mov	%rax, %r11
	in	(%dx), %ax
	mov	%rax, %r12
	mov	$-1, %rax
	in	(%dx), %eax
	mov	%rax, %r13
	in	$0x6c, %al
	end
LABEL(g_outs)
	mov	$PORT_TEST, %edx
	mov	$BUFFER, %esi
	mov	$37, %ecx
	rep outsb
	mov	$3, %ecx
	rep outsl
	outsw
	end
LABEL(g_ins)
	mov	$PORT_TEST, %edx
	mov	$BUFFER, %edi
	mov	$37, %ecx
	rep insb
	insb
	insl
	std
	mov	$(BUFFER + 0x800), %edi
	mov	$5, %ecx
	rep insw
	cld
	end
LABEL(g_mmio_write)
	mov	$MMIO_TEST, %edi
	mov	%al, (%rdi)
	mov	%ax, 2(%rdi)
	mov	%eax, 4(%rdi)
	mov	%rax, 8(%rdi)
	movl	$0x1234567, 16(%rdi)
	end
LABEL(g_mmio_read)
	mov	$MMIO_TEST, %edi
	mov	(%rdi), %al
	mov	2(%rdi), %bx
	mov	4(%rdi), %ecx
	mov	8(%rdi), %r11
	movzbl	16(%rdi), %r12d
	movsbq	17(%rdi), %r13
	push	8(%rdi)
	pop	%r14
	add	8(%rdi), %r15
	cmp	4(%rdi), %ebx
	pushf
	pop	%rbp
	end
LABEL(g_mmio_rmw)
	mov	$MMIO_TEST, %edi
	addl	$1, (%rdi)
	orw	$0x8000, 8(%rdi)
	incb	16(%rdi)
	mov	$0x5555, %ecx
	xchg	%ecx, 4(%rdi)
	pushf
	pop	%rbp
	end
LABEL(g_movs_to_mmio)
	mov	$BUFFER, %esi
	mov	$MMIO_TEST, %edi
	mov	$9, %ecx
	rep movsb
	end
LABEL(g_movs_from_mmio)
	mov	$MMIO_TEST, %esi
	mov	$(BUFFER + 0x100), %edi
	mov	$9, %ecx
	rep movsb
	end
/* The upper halves of the AVX registers are state that FXSAVE does not have. */
LABEL(g_avx)
	mov	%cr4, %rax
	or	$0x40000, %eax	/* OSXSAVE */
	mov	%rax, %cr4
	xor	%ecx, %ecx
	xor	%edx, %edx
	mov	$7, %eax	/* x87, SSE, AVX */
	xsetbv
	mov	$BUFFER, %esi
	vmovdqu	(%rsi), %ymm0
	vmovdqu	32(%rsi), %ymm15
	mov	$PORT_TEST, %edx
	out	%al, (%dx)
	in	(%dx), %eax
	vmovdqu	%ymm0, 0x800(%rsi)
	vmovdqu	%ymm15, 0x820(%rsi)
	xor	%ecx, %ecx
	xgetbv
	end
LABEL(g_rdmsr_test)
	mov	$MSR_TEST, %ecx
	mov	$-1, %rax
	mov	$-1, %rdx
	rdmsr
	mov	%rdx, %r11
	end
LABEL(g_wrmsr_test)
	mov	$MSR_TEST, %ecx
	mov	$0xabcdef, %eax
	mov	$0x123456, %edx
	wrmsr
	end
LABEL(g_sti_out)
	mov	$PORT_TEST, %edx
	cli
	sti
	out	%al, (%dx)
	nop
	nop
	end
LABEL(g_movss_out)
	mov	$PORT_TEST, %edx
	mov	%ss, %eax
	mov	%eax, %ss
	out	%al, (%dx)
	end

/* ---- compute for a while; RCX = rounds ---- */
	.macro work buffer=BUFFER
	mov	$0x9e3779b97f4a7c15, %r8
	mov	$(\buffer), %r10d
1:	imul	%r8, %rax
	add	%rcx, %rax
	rol	$13, %rax
	adc	%rax, %rbx
	xor	%rbx, %r11
	mov	%ecx, %edx
	and	$0xff8, %edx
	add	%rax, (%r10,%rdx)
	sub	$1, %rcx
	jnz	1b
	.endm
LABEL(g_work_kernel)
	work
	end
LABEL(g_work_user)
	work	BUFFER+USER_BASE
	end
/* STI and MOV SS all the time, so that kicks hit their shadows. Interrupts come, too. */
LABEL(g_work_shadow)
	mov	$BUFFER, %r10d
1:	cli
	add	%rcx, %rax
	sti
	rol	$7, %rax
	mov	%ss, %edx
	mov	%edx, %ss
	add	%rax, (%r10)
	sub	$1, %rcx
	jnz	1b
	cli
	end
LABEL(g_hlt)
	sti
	hlt
	cli
	inc	%r15
	end
/* An exit, then compute. Events that the VMM raises at the exit come after it. */
LABEL(g_out_work)
	mov	$PORT_TEST, %edx
	out	%al, (%dx)
LABEL(g_after_out)
	work
	end
LABEL(g_spin)
	sti	/* no interrupt comes; with IF=0 an emulated Intel host would hang (docs/develop/lab.md) */
1:	inc	%rax
	jmp	1b

/* A process with I/O rights in user mode: return and doorbell without a call. */
LABEL(g_user_return)
	mov	$PORT_RETURN, %edx
	out	%al, (%dx)
	mov	$PORT_DOORBELL, %edx
	out	%al, (%dx)
	end
LABEL(g_own_ports_in)
	mov	$PORT_RETURN, %edx
	in	(%dx), %al
	mov	$PORT_DOORBELL, %edx
	in	(%dx), %eax
	end

/* ---- doorbell: RSI = SymSpy page of the vCPU, EDI = reason, R8 = 1: never answer ---- */
#define DB_COOKIE  (SPY_DOORBELL + 0)
#define DB_REASON  (SPY_DOORBELL + 8)
#define DB_STATE   (SPY_DOORBELL + 12)
#define DB_REQUEST (SPY_DOORBELL + 16)
#define DB_ARGS    (SPY_DOORBELL + 72)
#define DB_RESULT  (SPY_DOORBELL + 112)
#define DB_VERDICT (SPY_DOORBELL + 120)
	.macro ring_loop
	mov	SPY_COOKIE(%rsi), %rax
	mov	%rax, DB_COOKIE(%rsi)
	mov	%edi, DB_REASON(%rsi)
	mov	%rcx, DB_REQUEST(%rsi)
	mov	$PORT_DOORBELL, %edx
1:	movl	$2, DB_STATE(%rsi)
	out	%al, (%dx)
	cmpl	$1, DB_STATE(%rsi)
	jne	2f
	test	%r8, %r8
3:	jnz	3b
	mov	DB_ARGS(%rsi), %rax
	add	DB_ARGS+8(%rsi), %rax
	mov	%rax, DB_RESULT(%rsi)
	jmp	1b
2:	mov	DB_VERDICT(%rsi), %rbx
	mov	DB_STATE(%rsi), %ecx
	movq	$0, DB_COOKIE(%rsi)
	.endm
LABEL(g_doorbell)
	ring_loop
	end
LABEL(g_doorbells_forever)
	ring_loop
	mov	$PORT_TEST, %edx
	out	%al, (%dx)
	jmp	g_doorbells_forever
LABEL(g_outs_forever)
	mov	$PORT_TEST, %edx
1:	out	%al, (%dx)
	jmp	1b
LABEL(g_user_outs_forever)
	mov	$PORT_TEST, %edx
1:	out	%al, (%dx)
	jmp	1b

/* ---- handlers of calls: at the upper-half alias, own stack ---- */
	.macro ret_port
	mov	$PORT_RETURN, %edx
	out	%al, (%dx)
	ud2
	.endm
	.macro clobber
	mov	$0x7777777777777777, %rbp
	mov	%rbp, %rbx
	mov	%rbp, %rcx
	mov	%rbp, %r8
	mov	%rbp, %r10
	mov	%rbp, %r11
	mov	%rbp, %r12
	mov	%rbp, %r13
	mov	%rbp, %r14
	mov	%rbp, %r15
	push	%rbp
	pop	%rsi
	pop	%rdi
	stc
	std
	.endm
LABEL(h_ping)
	lea	(%rdi,%rsi), %rax
	clobber
	ret_port
/* Stores all registers that it was given in a table, in memory that is not compared. */
LABEL(h_echo)
	mov	%rax, ECHO+0
	mov	%rdi, ECHO+8
	mov	%rsi, ECHO+16
	mov	%rdx, ECHO+24
	mov	%r10, ECHO+32
	mov	%r8, ECHO+40
	mov	%rbx, ECHO+48
	mov	%rsp, ECHO+56
	mov	%cs, %eax
	mov	%rax, ECHO+64
	mov	%ss, %eax
	mov	%rax, ECHO+72
	mov	%cr3, %rax
	mov	%rax, ECHO+80
	pushf
	pop	ECHO+88
	mov	%gs:0, %rax
	mov	%rax, ECHO+96
	xor	%eax, %eax
	clobber
	ret_port
/* Device accesses of every kind inside a handler. */
LABEL(h_devices)
	mov	$PORT_OTHER, %edx
	out	%eax, (%dx)
	in	(%dx), %eax
	mov	%rax, %r12
	mov	$MMIO_OTHER, %ebx
	mov	%r12d, (%rbx)
	add	(%rbx), %r12d
	addl	$1, (%rbx)
	mov	$MSR_OTHER, %ecx
	rdmsr
	add	%rax, %r12
	mov	$MSR_OTHER, %ecx
	wrmsr
	mov	%r12, %rax
	ret_port
LABEL(h_hang)
1:	pause
	jmp	1b
LABEL(h_hlt)
1:	hlt
	jmp	1b
LABEL(h_mmio_forever)
	mov	$MMIO_OTHER, %ebx
1:	mov	%eax, (%rbx)
	jmp	1b
/* Gives up in the middle of a read that the VMM has to answer. */
LABEL(h_in_forever)
	mov	$PORT_OTHER, %edx
1:	in	(%dx), %eax
	jmp	1b
LABEL(h_ud)
	ud2
LABEL(h_triple)
	push	$0
	push	$0
	lidt	(%rsp)
	ud2
LABEL(h_bad_sequence)
	lea	(%rdi,%rsi), %rax
	inc	%r9
	mov	$PORT_RETURN, %edx
	out	%al, (%dx)
	sub	$2, %r9
	out	%al, (%dx)
	inc	%r9
	out	%al, (%dx)
	ud2
LABEL(h_bad_form)
	lea	(%rdi,%rsi), %rax
	mov	$PORT_RETURN, %edx
	out	%eax, (%dx)
	out	%al, (%dx)
	ud2
LABEL(h_outs)
	lea	(%rdi,%rsi), %rax
	mov	$PORT_RETURN, %edx
	mov	$BUFFER, %esi
	mov	$3, %ecx
	rep outsb
	out	%al, (%dx)
	ud2
/* Port PORT_NEST makes the VMM try a call inside this call. */
LABEL(h_nested)
	mov	$PORT_NEST, %edx
	in	(%dx), %eax
	movslq	%eax, %rax
	ret_port
LABEL(h_doorbell)
	mov	$SPY_VCPU, %esi
	mov	SPY_COOKIE(%rsi), %rax
	mov	%rax, DB_COOKIE(%rsi)
	mov	$PORT_DOORBELL, %edx
	out	%al, (%dx)
	mov	$7, %eax
	ret_port
/* To user mode, which forges the return. The kernel's gate makes the right one. */
LABEL(h_user)
	mov	$77, %eax
	push	$SEL_UDATA
	push	$USER_STACK
	push	$0x3002
	push	$SEL_UCODE
	lea	u_forge(%rip), %rbx
	mov	$GUEST_HIGH, %rcx
	sub	%rcx, %rbx
	add	$USER_BASE, %rbx
	push	%rbx
	iretq
u_forge:
	mov	$PORT_RETURN, %edx
	out	%al, (%dx)
	int	$VECTOR_GATE
	ud2
LABEL(i_gate)
	mov	$PORT_RETURN, %edx
	out	%al, (%dx)
	ud2
LABEL(h_disable)
	mov	$MSR_CONTROL, %ecx
	xor	%eax, %eax
	xor	%edx, %edx
	wrmsr
	mov	$5, %eax
	ret_port
LABEL(h_reenable)
	mov	$MSR_CONTROL, %ecx
	xor	%eax, %eax
	xor	%edx, %edx
	wrmsr
	mov	$1, %eax
	wrmsr
	mov	$5, %eax
	ret_port
/* RDI = length to claim, RSI = 1: first take the SymSpy page away. */
LABEL(h_message)
	mov	%rdi, %r8
	mov	%rsi, %r12
	mov	$(SPY_VCPU + SPY_MESSAGE), %edi
	mov	$0x100, %ecx
	mov	$0x5a, %eax
	cld
	rep stosb
	test	%r12, %r12
	jz	1f
	mov	$MSR_SPY_VCPU, %ecx
	xor	%eax, %eax
	xor	%edx, %edx
	wrmsr
1:	mov	%r8, %rax
	ret_port

/*
 * A guest that fuzzes the interface: R12 = seed, R13 = rounds. Random MSR writes, half of
 * them plausible, and random accesses to the interface's ports; #GP is skipped (i_gp_skip).
 */
	.macro random reg
	mov	%r12, %\reg
	shl	$13, %\reg
	xor	%\reg, %r12
	mov	%r12, %\reg
	shr	$7, %\reg
	xor	%\reg, %r12
	mov	%r12, %\reg
	shl	$17, %\reg
	xor	%\reg, %r12
	mov	%r12, %\reg
	.endm
LABEL(g_fuzz)
1:	random	rcx
	and	$15, %ecx
	add	$(MSR_CONTROL - 1), %ecx
	random	rax
	test	$1, %r12
	jz	2f
	/* A plausible value: a place in RAM's upper mapping, a page, a small number. */
	random	rbx
	and	$3, %ebx
	and	$0x1fffff, %eax
	cmp	$0, %ebx
	je	3f
	cmp	$1, %ebx
	je	4f
	and	$0x100009, %eax
	jmp	2f
3:	mov	$GUEST_HIGH, %rdx
	and	$~7, %rax
	add	%rdx, %rax
	jmp	2f
4:	and	$~0xfff, %rax
	or	$1, %rax
2:	mov	%rax, %rdx
	shr	$32, %rdx
	wrmsr
	random	rax
	test	$7, %eax
	jnz	5f
	rdmsr
5:	test	$0x30, %eax
	jnz	6f
	mov	$PORT_RETURN, %edx
	out	%al, (%dx)
	out	%eax, (%dx)
	mov	$PORT_DOORBELL, %edx
	mov	SPY_VCPU + SPY_COOKIE, %rbx
	mov	%rbx, SPY_VCPU + SPY_DOORBELL
	out	%al, (%dx)
	in	(%dx), %al
6:	test	$0x40, %eax
	jnz	7f
	/* The VMM makes a call while it handles this exit. */
	mov	$PORT_TEST, %edx
	out	%al, (%dx)
7:	dec	%r13
	jnz	1b
	end
LABEL(i_gp_skip)
	addq	$2, 8(%rsp)
	add	$8, %rsp
	incq	(COUNTERS + 8 * 13)
	iretq

/* ---- interrupts and exceptions: count, note where they hit, continue ---- */
	.macro count_vector vector
	push	%rax
	mov	8(%rsp), %rax
	mov	%rax, (FRAMES + 8 * \vector)
	incq	(COUNTERS + 8 * \vector)
	.endm
LABEL(i_nmi)
	count_vector 2
	pop	%rax
	iretq
LABEL(i_ud)
	count_vector 6
	pop	%rax
	iretq
LABEL(i_db)
	count_vector 1
	pop	%rax
	iretq
LABEL(i_gp)
	incq	(COUNTERS + 8 * 13)
	mov	(%rsp), %r14
	mov	8(%rsp), %r13
	mov	$0xdead, %ebx
	end
LABEL(i_irq)
	count_vector VECTOR_IRQ
	mov	$0xfee000b0, %eax
	movl	$0, (%rax)
	pop	%rax
	iretq
LABEL(i_other)
	incq	(COUNTERS + 8 * 255)
	mov	$0xbad, %ebx
	end

LABEL(guest_code_end)
	.section .note.GNU-stack, "", @progbits
