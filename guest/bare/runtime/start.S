/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The way from the PVH entry (32-bit, no paging) and from SIPI (real mode) to C in 64-bit mode, and
 * from interrupt vectors to C. 2 MiB pages map the first HIGH_GIB GiB one to one.
 */
#define HIGH_GIB   8
#define STACK_SIZE 0x4000
#define CPUS       16

	.section .note.Xen, "a", @note
	.balign 4
	.long	4, 4, 18 /* XEN_ELFNOTE_PHYS32_ENTRY */
	.asciz	"Xen"
	.long	pvh_start

	.text
	.code32
	.globl pvh_start
pvh_start:
	cld
	mov	%ebx, start_info
	/* PML4 -> PDPT -> HIGH_GIB page directories */
	movl	$(pdpt + 3), pml4
	mov	$pdpt, %edi
	mov	$(directories + 3), %eax
	mov	$HIGH_GIB, %ecx
1:	mov	%eax, (%edi)
	add	$4096, %eax
	add	$8, %edi
	sub	$1, %ecx
	jnz	1b
	mov	$directories, %edi
	mov	$0x83, %eax
	xor	%edx, %edx
	mov	$(HIGH_GIB * 512), %ecx
1:	mov	%eax, (%edi)
	mov	%edx, 4(%edi)
	add	$0x200000, %eax
	adc	$0, %edx
	add	$8, %edi
	sub	$1, %ecx
	jnz	1b

/* Both kinds of CPUs: protected mode without paging, tables ready. */
ap_start32:
	lgdt	gdt_pointer
	mov	%cr4, %eax
	or	$0x20, %eax /* PAE */
	mov	%eax, %cr4
	mov	$pml4, %eax
	mov	%eax, %cr3
	mov	$0xc0000080, %ecx
	rdmsr
	or	$0x100, %eax /* LME */
	wrmsr
	mov	$0x80010033, %eax /* PG WP NE ET MP PE */
	mov	%eax, %cr0
	ljmp	$0x08, $start64

	.code64
start64:
	mov	$0x10, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	xor	%eax, %eax
	mov	%eax, %fs
	mov	%eax, %gs
	mov	$1, %eax
	lock xadd %eax, cpus_started
	cmp	$CPUS, %eax
	jae	2f
	mov	%eax, %edi
	add	$1, %eax
	imul	$STACK_SIZE, %eax, %eax
	lea	stacks(%rax), %rsp
	xor	%ebp, %ebp
	lidt	idt_pointer
	call	runtime_start
2:	cli
	hlt
	jmp	2b

	/* Copied to a page below 1 MiB. SIPI starts a CPU there: CS = page, IP = 0. */
	.code16
	.globl ap_trampoline, ap_trampoline_end
ap_trampoline:
	cli
	mov	%cs, %ax
	mov	%ax, %ds
	lgdtl	(trampoline_pointer - ap_trampoline)
	mov	$0x11, %eax
	mov	%eax, %cr0
	ljmpl	$0x18, $ap_protected
	.balign 4
trampoline_pointer:
	.word	gdt_end - gdt - 1
	.long	gdt
ap_trampoline_end:

	.code32
ap_protected:
	mov	$0x10, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	jmp	ap_start32

	.code64
	/* Vectors that push an error code: 8, 10 to 14, 17, 21, 29, 30. */
	.balign 16
	.globl vector_stubs
vector_stubs:
	.set	vector, 0
	.rept	256
	.balign	16
	.if	!((vector == 8) || (vector >= 10 && vector <= 14) || (vector == 17) || (vector == 21) || (vector == 29) || (vector == 30))
	push	$0
	.endif
	push	$vector
	jmp	vector_common
	.set	vector, vector + 1
	.endr

vector_common:
	cld
	push	%rax
	push	%rbx
	push	%rcx
	push	%rdx
	push	%rsi
	push	%rdi
	push	%rbp
	push	%r8
	push	%r9
	push	%r10
	push	%r11
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	mov	%rsp, %rdi
	call	runtime_interrupt
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%r11
	pop	%r10
	pop	%r9
	pop	%r8
	pop	%rbp
	pop	%rdi
	pop	%rsi
	pop	%rdx
	pop	%rcx
	pop	%rbx
	pop	%rax
	add	$16, %rsp
	iretq

	.data
	.balign 8
gdt:
	.quad	0
	.quad	0x00af9b000000ffff /* 0x08: 64-bit code */
	.quad	0x00cf93000000ffff /* 0x10: data */
	.quad	0x00cf9b000000ffff /* 0x18: 32-bit code */
gdt_end:
	.balign 8
gdt_pointer:
	.word	gdt_end - gdt - 1
	.quad	gdt
	.balign 8
	.globl idt_pointer
idt_pointer:
	.word	4095
	.quad	idt
	.balign 4
	.globl start_info, cpus_started
start_info:
	.long	0
cpus_started:
	.long	0

	.bss
	.balign 4096
pml4:	.skip 4096
pdpt:	.skip 4096
directories: .skip 4096 * HIGH_GIB
	.globl idt
idt:	.skip 4096
	.balign 16
stacks:	.skip STACK_SIZE * CPUS
	.section .note.GNU-stack, "", @progbits
