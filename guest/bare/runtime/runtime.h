/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The base of bare guests: console, interrupts, other CPUs, and a table of tests. A guest is
 * started with `--append "NAME [KEY=VALUE]..."`. It runs the test NAME, which prints TAP.
 */
#ifndef GUEST_BARE_RUNTIME_H
#define GUEST_BARE_RUNTIME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PORT_COM1  0x3f8
#define PORT_PANIC 0x505
#define PORT_POWER 0x600 /* sleep control; +2: reset; +3: events */

#define VECTOR_IRQ	0x40 /* IOAPIC pins: 0x40 + pin */
#define VECTOR_MSI	0x60 /* 0x60 to 0x7f */
#define VECTOR_SPURIOUS 0xff

#define CPUS_MAX 16

static inline void out8(uint16_t port, uint8_t value)
{
	__asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port) : "memory");
}
static inline void out16(uint16_t port, uint16_t value)
{
	__asm__ volatile("outw %0, %1" : : "a"(value), "Nd"(port) : "memory");
}
static inline void out32(uint16_t port, uint32_t value)
{
	__asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port) : "memory");
}
static inline uint8_t in8(uint16_t port)
{
	uint8_t value;

	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port) : "memory");
	return value;
}
static inline uint16_t in16(uint16_t port)
{
	uint16_t value;

	__asm__ volatile("inw %1, %0" : "=a"(value) : "Nd"(port) : "memory");
	return value;
}
static inline uint32_t in32(uint16_t port)
{
	uint32_t value;

	__asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port) : "memory");
	return value;
}

/* A byte of the RTC's registers and of its memory. RAM does not survive a reset, this memory does.
 */
#define CMOS_MEMORY 0x40
static inline uint8_t cmos_read(uint8_t index)
{
	out8(0x70, index);
	return in8(0x71);
}
static inline void cmos_write(uint8_t index, uint8_t value)
{
	out8(0x70, index);
	out8(0x71, value);
}

/* One instruction each, of exactly this width, as devices see it. */
static inline void write8(uint64_t gpa, uint8_t value)
{
	__asm__ volatile("movb %0, (%1)" : : "r"(value), "r"(gpa) : "memory");
}
static inline void write16(uint64_t gpa, uint16_t value)
{
	__asm__ volatile("movw %0, (%1)" : : "r"(value), "r"(gpa) : "memory");
}
static inline void write32(uint64_t gpa, uint32_t value)
{
	__asm__ volatile("movl %0, (%1)" : : "r"(value), "r"(gpa) : "memory");
}
static inline void write64(uint64_t gpa, uint64_t value)
{
	__asm__ volatile("movq %0, (%1)" : : "r"(value), "r"(gpa) : "memory");
}
static inline uint8_t read8(uint64_t gpa)
{
	uint8_t value;

	__asm__ volatile("movb (%1), %0" : "=r"(value) : "r"(gpa) : "memory");
	return value;
}
static inline uint16_t read16(uint64_t gpa)
{
	uint16_t value;

	__asm__ volatile("movw (%1), %0" : "=r"(value) : "r"(gpa) : "memory");
	return value;
}
static inline uint32_t read32(uint64_t gpa)
{
	uint32_t value;

	__asm__ volatile("movl (%1), %0" : "=r"(value) : "r"(gpa) : "memory");
	return value;
}
static inline uint64_t read64(uint64_t gpa)
{
	uint64_t value;

	__asm__ volatile("movq (%1), %0" : "=r"(value) : "r"(gpa) : "memory");
	return value;
}

static inline void barrier(void)
{
	__asm__ volatile("mfence" : : : "memory");
}
static inline void pause(void)
{
	__asm__ volatile("pause" : : : "memory");
}
static inline void interrupts_on(void)
{
	__asm__ volatile("sti" : : : "memory");
}
static inline void interrupts_off(void)
{
	__asm__ volatile("cli" : : : "memory");
}

struct cpuid_result {
	uint32_t eax, ebx, ecx, edx;
};
static inline struct cpuid_result cpuid(uint32_t leaf, uint32_t subleaf)
{
	struct cpuid_result result;

	__asm__ volatile("cpuid"
			 : "=a"(result.eax), "=b"(result.ebx), "=c"(result.ecx), "=d"(result.edx)
			 : "a"(leaf), "c"(subleaf));
	return result;
}

/* False if the access raised an exception (#GP). */
bool msr_read(uint32_t index, uint64_t *value);
bool msr_write(uint32_t index, uint64_t value);

/* Console. %s %c %d %u %x with l, width and 0. */
void print(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* One TAP line. Returns @good. */
bool check(bool good, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The value of KEY=... on the command line, a number, or @fallback. */
uint64_t option_number(const char *key, uint64_t fallback);

/* Interrupts: how often each vector came; a handler may be added. */
extern volatile uint32_t interrupt_counts[256];
void apic_enable(void);
void apic_eoi(void);
void apic_set_x2(void); /* afterwards by MSRs; per CPU */
uint32_t apic_id(void);
void apic_ipi(uint32_t id, uint32_t command);
void ioapic_route(unsigned pin, uint8_t vector, bool level);
/* Waits until @vector came @count times; false after about two seconds. Interrupts on. */
bool interrupt_wait(uint8_t vector, uint32_t count);

/* Time. */
uint64_t tsc(void);
uint64_t tsc_per_ms(void); /* from kvmclock, or measured by the PIT */
void delay_us(uint64_t us);

/*
 * Other CPUs, by INIT and SIPI: each runs @function(id) once and halts. cpus_start() waits for that
 * and returns the number of CPUs that did it. cpus_wake() does not wait.
 */
void cpus_wake(unsigned count, void (*function)(unsigned id));
unsigned cpus_start(unsigned count, void (*function)(unsigned id));

/* The ways to end the VM. */
void power_off(void) __attribute__((noreturn));

struct bare_test {
	const char *name;
	void (*run)(void);
};
#define TEST(test_name, function)                                                  \
	static const struct bare_test function##_test                              \
		__attribute__((used, section("bare_tests"))) = {.name = test_name, \
								.run = function}

/* The data of the PVH boot. */
struct memory_range {
	uint64_t address, size;
	uint32_t type, reserved;
};
unsigned memory_map(const struct memory_range **ranges);
extern char guest_end[];

void *memcpy(void *to, const void *from, size_t length);
void *memset(void *to, int value, size_t length);
int memcmp(const void *left, const void *right, size_t length);

#endif
