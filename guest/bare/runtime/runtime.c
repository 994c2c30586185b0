// SPDX-License-Identifier: BSD-2-Clause
/* Start in C, command line, exceptions, local APIC, IOAPIC, time, other CPUs. */
#include "runtime.h"

#define APIC_BASE     0xfee00000ull
#define IOAPIC_BASE   0xfec00000ull
#define APIC_ID	      0x20
#define APIC_EOI      0xb0
#define APIC_SPURIOUS 0xf0
#define APIC_ICR_LOW  0x300
#define APIC_ICR_HIGH 0x310
#define MSR_APIC_BASE 0x1b
#define MSR_X2APIC    0x800
#define MSR_KVMCLOCK  0x4b564d01
#define TRAMPOLINE    0x10000ull

struct frame {
	uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rbp, rdi, rsi, rdx, rcx, rbx, rax;
	uint64_t vector, error, rip, cs, rflags, rsp, ss;
};

/* Xen's start_info.h */
struct start_info {
	uint32_t magic, version, flags, modules_count;
	uint64_t modules, command_line, rsdp, memory_map;
	uint32_t memory_map_entries, reserved;
};

extern uint32_t start_info;
extern uint8_t vector_stubs[], ap_trampoline[], ap_trampoline_end[];
extern uint64_t idt[512];
extern const struct bare_test __start_bare_tests[], __stop_bare_tests[];

void runtime_start(unsigned cpu);
void runtime_interrupt(struct frame *frame);

volatile uint32_t interrupt_counts[256];
static volatile uint64_t fault_resume; /* address after an expected fault */
static bool x2apic[CPUS_MAX];
static void (*volatile cpu_function)(unsigned id);
static volatile unsigned cpus_done;

static const struct start_info *info(void)
{
	return (const struct start_info *)(uintptr_t)start_info;
}

unsigned memory_map(const struct memory_range **ranges)
{
	*ranges = (const struct memory_range *)info()->memory_map;
	return info()->memory_map_entries;
}

static bool word_starts(const char *text, const char *word, size_t *length)
{
	size_t i = 0;

	while (word[i] && text[i] == word[i])
		i++;
	*length = i;
	return !word[i];
}

uint64_t option_number(const char *key, uint64_t fallback)
{
	const char *text = (const char *)info()->command_line;
	uint64_t value = 0;
	size_t length;

	for (; *text; text++) {
		if (!word_starts(text, key, &length) || text[length] != '=')
			continue;
		for (text += length + 1; *text >= '0' && *text <= '9'; text++)
			value = value * 10 + (uint64_t)(*text - '0');
		return value;
	}
	return fallback;
}

bool msr_read(uint32_t index, uint64_t *value)
{
	uint32_t low = 0, high = 0, good = 0;

	__asm__ volatile("movq $1f, %[resume]\n\t"
			 "rdmsr\n\t"
			 "movl $1, %[good]\n"
			 "1:\tmovq $0, %[resume]"
			 : [good] "+m"(good), "+a"(low), "+d"(high), [resume] "=m"(fault_resume)
			 : "c"(index)
			 : "memory");
	*value = (uint64_t)high << 32 | low;
	return good;
}

bool msr_write(uint32_t index, uint64_t value)
{
	uint32_t good = 0;

	__asm__ volatile("movq $1f, %[resume]\n\t"
			 "wrmsr\n\t"
			 "movl $1, %[good]\n"
			 "1:\tmovq $0, %[resume]"
			 : [good] "+m"(good), [resume] "=m"(fault_resume)
			 : "c"(index), "a"((uint32_t)value), "d"((uint32_t)(value >> 32))
			 : "memory");
	return good;
}

void runtime_interrupt(struct frame *frame)
{
	frame->vector &= 0xff; /* the push extended its sign */
	interrupt_counts[frame->vector]++;
	if (frame->vector >= 32) {
		if (frame->vector != VECTOR_SPURIOUS)
			apic_eoi();
		return;
	}
	if (frame->vector == 2) /* NMI */
		return;
	if (fault_resume) {
		frame->rip = fault_resume;
		fault_resume = 0;
		return;
	}
	print("not ok - exception %lu, error 0x%lx, at 0x%lx\n", frame->vector, frame->error,
	      frame->rip);
	for (;;)
		out8(PORT_PANIC, 1);
}

static void idt_fill(void)
{
	for (unsigned i = 0; i < 256; i++) {
		uint64_t stub = (uint64_t)vector_stubs + 16 * i;

		idt[2 * i] = (stub & 0xffff) | 0x08ull << 16 | 0x8eull << 40 |
			     (stub >> 16 & 0xffff) << 48;
		idt[2 * i + 1] = stub >> 32;
	}
}

static unsigned this_cpu(void)
{
	return cpuid(1, 0).ebx >> 24 & (CPUS_MAX - 1);
}

static void apic_set(unsigned reg, uint32_t value)
{
	if (x2apic[this_cpu()])
		msr_write(MSR_X2APIC + reg / 16, value);
	else
		write32(APIC_BASE + reg, value);
}

void apic_enable(void)
{
	apic_set(APIC_SPURIOUS, 0x100 | VECTOR_SPURIOUS);
}

void apic_eoi(void)
{
	apic_set(APIC_EOI, 0);
}

void apic_set_x2(void)
{
	uint64_t base = 0;

	if (msr_read(MSR_APIC_BASE, &base) && msr_write(MSR_APIC_BASE, base | 0xc00))
		x2apic[this_cpu()] = true;
}

uint32_t apic_id(void)
{
	uint64_t value = 0;

	if (!x2apic[this_cpu()])
		return read32(APIC_BASE + APIC_ID) >> 24;
	msr_read(MSR_X2APIC + APIC_ID / 16, &value);
	return (uint32_t)value;
}

void apic_ipi(uint32_t id, uint32_t command)
{
	if (x2apic[this_cpu()]) {
		msr_write(MSR_X2APIC + APIC_ICR_LOW / 16, (uint64_t)id << 32 | command);
		return;
	}
	write32(APIC_BASE + APIC_ICR_HIGH, id << 24);
	write32(APIC_BASE + APIC_ICR_LOW, command);
}

void ioapic_route(unsigned pin, uint8_t vector, bool level)
{
	write32(IOAPIC_BASE, 0x10 + 2 * pin);
	write32(IOAPIC_BASE + 0x10, vector | (level ? 1u << 15 : 0));
	write32(IOAPIC_BASE, 0x11 + 2 * pin);
	write32(IOAPIC_BASE + 0x10, 0);
}

uint64_t tsc(void)
{
	uint32_t low, high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return (uint64_t)high << 32 | low;
}

/*
 * The TSC's rate by kvmclock (Documentation/virt/kvm/x86/msr.rst, pvclock_vcpu_time_info): exact,
 * however busy the host is. 0: there is no kvmclock.
 */
static uint64_t tsc_per_ms_by_kvmclock(void)
{
	static volatile struct {
		uint32_t version, pad;
		uint64_t tsc, system_time;
		uint32_t multiplier;
		int8_t shift;
		uint8_t flags, pad2[2];
	} clock __attribute__((aligned(32)));
	uint64_t value;

	if (!msr_write(MSR_KVMCLOCK, (uint64_t)&clock | 1))
		return 0;
	for (unsigned i = 0; i < 1000 && !clock.multiplier; i++)
		in8(0x80);
	value = clock.multiplier ? (1000000ull << 32) / clock.multiplier : 0;
	value = clock.shift < 0 ? value << -clock.shift : value >> clock.shift;
	msr_write(MSR_KVMCLOCK, 0);
	return value;
}

/* By channel 2 of the PIT, gated by port 0x61: 10 ms of 1.193182 MHz. */
static uint64_t tsc_per_ms_by_pit(void)
{
	uint64_t start;

	out8(0x61, (uint8_t)((in8(0x61) & ~2u) | 1));
	out8(0x43, 0xb0);
	out8(0x42, 11932 & 0xff);
	out8(0x42, 11932 >> 8);
	start = tsc();
	for (unsigned i = 0; i < 1000000 && !(in8(0x61) & 0x20); i++)
		pause();
	return (tsc() - start) / 10;
}

uint64_t tsc_per_ms(void)
{
	static uint64_t per_ms;

	if (!per_ms)
		per_ms = tsc_per_ms_by_kvmclock();
	if (!per_ms)
		per_ms = tsc_per_ms_by_pit();
	return per_ms;
}

void delay_us(uint64_t us)
{
	uint64_t end = tsc() + tsc_per_ms() * us / 1000;

	while (tsc() < end)
		pause();
}

bool interrupt_wait(uint8_t vector, uint32_t count)
{
	uint64_t end = tsc() + 2000 * tsc_per_ms();

	interrupts_on();
	while (interrupt_counts[vector] < count && tsc() < end)
		pause();
	interrupts_off();
	return interrupt_counts[vector] >= count;
}

void cpus_wake(unsigned count, void (*function)(unsigned id))
{
	memcpy((void *)TRAMPOLINE, ap_trampoline, (size_t)(ap_trampoline_end - ap_trampoline));
	cpu_function = function;
	cpus_done = 0;
	for (unsigned id = 1; id < count; id++) {
		apic_ipi(id, 0x4500); /* INIT, assert */
		delay_us(200);
		apic_ipi(id, 0x4600 | TRAMPOLINE >> 12);
		delay_us(200);
		apic_ipi(id, 0x4600 | TRAMPOLINE >> 12);
	}
}

unsigned cpus_start(unsigned count, void (*function)(unsigned id))
{
	uint64_t end;

	cpus_wake(count, function);
	end = tsc() + 10000 * tsc_per_ms();
	while (cpus_done < count - 1 && tsc() < end)
		pause();
	return cpus_done;
}

static void run_test(void)
{
	const char *wanted = (const char *)info()->command_line;
	size_t length;

	for (const struct bare_test *test = __start_bare_tests; test < __stop_bare_tests; test++) {
		if (word_starts(wanted, test->name, &length) &&
		    (wanted[length] == ' ' || wanted[length] == 0)) {
			test->run();
			return;
		}
	}
	check(false, "a test named '%s'", wanted);
}

/* Every CPU comes here once; @cpu counts them in the order of their arrival. */
void runtime_start(unsigned cpu)
{
	if (cpu == 0) {
		idt_fill();
		/* The 8259s would deliver the same interrupts once more, by LINT0. */
		out8(0x21, 0xff);
		out8(0xa1, 0xff);
		run_test();
		power_off();
	}
	apic_enable();
	if (cpu_function)
		cpu_function(apic_id());
	__atomic_fetch_add(&cpus_done, 1, __ATOMIC_SEQ_CST);
}
