/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest of examples/tiny-vmm. It discovers the symbiotic interface, registers a handler of
 * calls, and reads a port. The VMM answers that read by calling the handler.
 */
#include <stdbool.h>

#include <symbiotic/abi.h>

#define PORT_CONSOLE 0xe9
#define PORT_ASK     0x600
#define PORT_POWER   0x604

static sym_u8 stack[4096] __attribute__((aligned(16)));
static unsigned int calls;

/* The entry, at the image's first byte, in 64-bit mode, with a stack. */
__asm__(".section .text.start, \"ax\"\n"
	".globl start\n"
	"start: call main\n"
	"1: hlt\n"
	"jmp 1b\n"
	".text\n"
	".globl entry\n"
	"entry: endbr64\n"
	"cld\n"
	"push %r9\n"	 /* the sequence number, which the return needs */
	"sub $8, %rsp\n" /* C wants 16 bytes of alignment */
	"mov %rdx, %rcx\n"
	"mov %rsi, %rdx\n"
	"mov %rdi, %rsi\n"
	"mov %rax, %rdi\n"
	"call handle_call\n"
	"add $8, %rsp\n"
	"pop %r9\n"
	"mov $0x530, %edx\n"
	"out %al, %dx\n"
	"ud2\n");

extern const char entry[];
sym_s64 handle_call(sym_u64 number, sym_u64 a, sym_u64 b, sym_u64 c);
void main(void);

static void out8(sym_u16 port, sym_u8 value)
{
	__asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static sym_u32 in32(sym_u16 port)
{
	sym_u32 value;

	__asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static void wrmsr(sym_u32 index, sym_u64 value)
{
	__asm__ volatile("wrmsr"
			 :
			 : "c"(SYM_MSR_BASE + index), "a"((sym_u32)value), "d"(value >> 32));
}

static void print(const char *text)
{
	while (*text)
		out8(PORT_CONSOLE, (sym_u8)*text++);
}

static void power_off(sym_u8 status)
{
	out8(PORT_POWER, status);
	for (;;)
		__asm__ volatile("hlt");
}

/* Runs in the middle of main()'s IN, on the stack of calls. It may use devices itself. */
sym_s64 handle_call(sym_u64 number, sym_u64 a, sym_u64 b, sym_u64 c)
{
	print("guest: called by the VMM\n");
	calls++;
	return number == SYM_CALL_PING ? (sym_s64)(a + b) : -38; /* ENOSYS */
}

static bool discover(void)
{
	for (sym_u32 base = SYM_CPUID_BASE; base <= SYM_CPUID_LAST; base += SYM_CPUID_STEP) {
		sym_u32 eax = base, ebx, ecx = 0, edx;

		__asm__ volatile("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx));
		if (ebx == SYM_SIGNATURE_EBX && ecx == SYM_SIGNATURE_ECX &&
		    edx == SYM_SIGNATURE_EDX)
			return true;
	}
	return false;
}

void main(void)
{
	if (!discover()) {
		print("guest: no symbiotic VMM\n");
		power_off(1);
	}
	wrmsr(SYM_MSR_GUEST, (sym_u64)SYM_ABI_VERSION << 32 | SYM_FEATURE_SYMCALL);
	wrmsr(SYM_MSR_ENTRY_RIP, (sym_u64)entry);
	wrmsr(SYM_MSR_ENTRY_RSP, (sym_u64)(stack + sizeof(stack)));
	wrmsr(SYM_MSR_ENTRY_SEGS, 8 | 16 << 16);
	wrmsr(SYM_MSR_CONTROL, SYM_CONTROL_ENABLE);
	print("guest: registered\n");
	if (in32(PORT_ASK) != 42 || calls != 1) {
		print("guest: wrong answer\n");
		power_off(1);
	}
	print("guest: IN gave 42\n");
	power_off(0);
}
