/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The boot sector of the emulated Intel host. The BIOS starts it at 0x7c00 in real mode, from a disk
 * that lab/bochs/emulate makes. It loads the rest of the program (load.c), asks the BIOS for the map of
 * the memory, enters protected mode without paging, and calls load().
 */
	.set LOADED, 31		/* sectors after this one; lab/bochs/emulate: PLAN_SECTOR */
	.set MAP, 0x6000	/* load.c: struct memory_map; 24 bytes an entry */
	.set MAP_ENTRIES, 64

	.code16
	.section .boot, "ax"
	.globl _start
_start:
	ljmp	$0, $1f
1:	cli
	xor	%ax, %ax
	mov	%ax, %ds
	mov	%ax, %es
	mov	%ax, %ss
	mov	$0x7c00, %sp
	cld

	/* INT 13h, AH 42h: read by LBA. DL is the disk, as the BIOS gave it. */
	mov	$packet, %si
	mov	$0x42, %ah
	int	$0x13
	jc	fail

	/* INT 15h, AX E820h: one entry of the map each time, EBX says where to continue. */
	xor	%ebx, %ebx
	mov	$(MAP + 8), %di
	xor	%bp, %bp
next:
	mov	$0xe820, %eax
	mov	$24, %ecx
	mov	$0x534d4150, %edx
	int	$0x15
	jc	mapped
	inc	%bp
	movl	$0, 20(%di)	/* the PVH interface calls this field reserved */
	add	$24, %di
	test	%ebx, %ebx
	jz	mapped
	cmp	$MAP_ENTRIES, %bp
	jb	next
mapped:
	movzx	%bp, %eax
	mov	%eax, MAP

	in	$0x92, %al	/* address line 20 */
	or	$2, %al
	out	%al, $0x92

	lgdt	gdt_pointer
	mov	%cr0, %eax
	or	$1, %al
	mov	%eax, %cr0
	ljmp	$8, $protected

fail:	/* one letter for the log; load.c has the other messages */
	mov	$0x3f8, %dx
	mov	$'B', %al
	out	%al, %dx
	hlt
	jmp	fail

	.code32
protected:
	mov	$16, %ax
	mov	%ax, %ds
	mov	%ax, %es
	mov	%ax, %fs
	mov	%ax, %gs
	mov	%ax, %ss
	mov	$0x7c00, %esp
	call	load
1:	hlt
	jmp	1b

	/* The PVH start of Linux: EBX has the start info, paging is off. */
	.globl enter
enter:
	mov	4(%esp), %eax
	mov	8(%esp), %ebx
	jmp	*%eax

	.balign	8
gdt:	.quad	0
	.quad	0x00cf9b000000ffff
	.quad	0x00cf93000000ffff
gdt_pointer:
	.word	. - gdt - 1
	.long	gdt

packet:	.byte	16, 0
	.word	LOADED
	.word	0x7e00, 0	/* offset and segment */
	.quad	1		/* LBA */

	.org	510
	.byte	0x55, 0xaa
	.section .note.GNU-stack, "", @progbits
