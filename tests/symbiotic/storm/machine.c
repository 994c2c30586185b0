// SPDX-License-Identifier: BSD-2-Clause
/*
 * A machine that Linux boots on: RAM, KVM's interrupt chips and timer, an MP table,
 * a 16450 for the console, the keyboard controller's reset line.
 * Sources: Documentation/arch/x86/boot.rst (64-bit entry), Intel MultiProcessor
 * Specification 1.4.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <asm/bootparam.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storm.h"

#define GDT_ADDRESS    0x6000u
#define ZERO_PAGE      0x7000u
#define PAGE_TABLES    0x9000u
#define COMMAND_LINE   0x20000u
#define MP_TABLE       0x9fc00u /* the last KiB of conventional memory */
#define KERNEL_ADDRESS 0x1000000u
#define LOW_RAM_END    0xa0000u
#define HIGH_RAM       0x100000u
#define APIC_BASE      0xfee00000u
#define IOAPIC_BASE    0xfec00000u
#define COMMAND_MAX    2048u

#define SERIAL_PORT 0x3f8u
#define SERIAL_IRQ  4u

static int fail(const char *what)
{
	int error = errno ? -errno : -EINVAL;

	fprintf(stderr, "storm: %s: %s\n", what, strerror(-error));
	return error;
}

static int vcpu_cpuid(struct storm_vcpu *vcpu)
{
	struct {
		struct kvm_cpuid2 head;
		struct kvm_cpuid_entry2 entries[256];
	} list = {.head.nent = 256};
	unsigned int i;
	int error;

	if (ioctl(vcpu->storm->kvm_fd, KVM_GET_SUPPORTED_CPUID, &list))
		return fail("KVM_GET_SUPPORTED_CPUID");
	for (i = 0; i < list.head.nent; i++) {
		struct kvm_cpuid_entry2 *entry = &list.entries[i];

		if (entry->function == 1) {
			entry->ebx = (entry->ebx & 0xffff) | vcpu->id << 24 |
				     vcpu->storm->vcpus << 16;
			entry->ecx |= 1u << 31; /* a hypervisor is present */
		}
		if (entry->function == 0xb || entry->function == 0x1f)
			entry->edx = vcpu->id;
		if (entry->function == 0x80000001)
			entry->ecx &= ~(1u << 2); /* no nested SVM */
	}
	error = sym_vm_cpuid_extend(vcpu->storm->sym, &list.head, 256);
	if (error)
		return error;
	return ioctl(vcpu->fd, KVM_SET_CPUID2, &list) ? fail("KVM_SET_CPUID2") : 0;
}

static int vcpu_create(struct storm *storm, unsigned int id)
{
	struct storm_vcpu *vcpu = &storm->vcpu[id];
	int size = ioctl(storm->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);

	vcpu->storm = storm;
	vcpu->id = id;
	vcpu->random = 0x9e3779b97f4a7c15ull * (id + 1);
	vcpu->fd = ioctl(storm->vm_fd, KVM_CREATE_VCPU, id);
	if (vcpu->fd < 0)
		return fail("KVM_CREATE_VCPU");
	vcpu->run = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
	if (vcpu->run == MAP_FAILED)
		return fail("mmap of kvm_run");
	vcpu->sym = sym_vcpu_create(storm->sym, vcpu->fd, vcpu->run, id, vcpu);
	if (!vcpu->sym)
		return fail("sym_vcpu_create");
	return vcpu_cpuid(vcpu);
}

int machine_create(struct storm *storm)
{
	struct kvm_pit_config pit = {.flags = KVM_PIT_SPEAKER_DUMMY};
	struct kvm_userspace_memory_region region;
	unsigned int i;
	int error;

	if (ioctl(storm->vm_fd, KVM_SET_TSS_ADDR, 0xfffbd000) ||
	    ioctl(storm->vm_fd, KVM_CREATE_IRQCHIP, 0) ||
	    ioctl(storm->vm_fd, KVM_CREATE_PIT2, &pit))
		return fail("interrupt chips");
	storm->memory = mmap(NULL, storm->memory_size, PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (storm->memory == MAP_FAILED)
		return fail("guest memory");
	region = (struct kvm_userspace_memory_region){
		.memory_size = storm->memory_size,
		.userspace_addr = (uintptr_t)storm->memory,
	};
	if (ioctl(storm->vm_fd, KVM_SET_USER_MEMORY_REGION, &region))
		return fail("KVM_SET_USER_MEMORY_REGION");
	error = sym_vm_enable_msrs(storm->sym, 0);
	for (i = 0; i < storm->vcpus && !error; i++)
		error = vcpu_create(storm, i);
	return error;
}

static uint8_t checksum(const void *data, size_t size)
{
	const uint8_t *bytes = data;
	uint8_t sum = 0;

	while (size--)
		sum += *bytes++;
	return -sum;
}

/* Processors, the ISA bus, the I/O APIC with ISA interrupt n at pin n, ExtINT and NMI. */
static void mp_table_write(struct storm *storm)
{
	uint8_t *floating = storm->memory + MP_TABLE;
	uint8_t *table = floating + 16, *at = table + 44;
	const uint32_t apic = APIC_BASE, ioapic = IOAPIC_BASE, address = MP_TABLE + 16;
	unsigned int entries = 0, i;
	uint16_t length;

	for (i = 0; i < storm->vcpus; i++, at += 20, entries++) {
		memset(at, 0, 20);
		at[1] = i;
		at[2] = 0x14;		    /* local APIC version */
		at[3] = i ? 1 : 3;	    /* usable, boot processor */
		at[4] = 0x00, at[5] = 0x06; /* family 6 */
		at[8] = 0x01, at[9] = 0x02; /* FPU, APIC */
	}
	memcpy(at, (uint8_t[]){1, 0, 'I', 'S', 'A', ' ', ' ', ' '}, 8), at += 8, entries++;
	memcpy(at, (uint8_t[]){2, 0x20, 0x11, 1}, 4), memcpy(at + 4, &ioapic, 4);
	at[1] = 0x20, at += 8, entries++;
	for (i = 0; i < 16; i++, at += 8, entries++)
		memcpy(at, (uint8_t[]){3, 0, 0, 0, 0, i, 0x20, i}, 8);
	memcpy(at, (uint8_t[]){4, 3, 0, 0, 0, 0, 0, 0}, 8), at += 8, entries++;
	memcpy(at, (uint8_t[]){4, 1, 0, 0, 0, 0, 0xff, 1}, 8), at += 8, entries++;
	length = at - table;
	memset(table, 0, 44);
	memcpy(table, "PCMP", 4), memcpy(table + 4, &length, 2), table[6] = 4;
	memcpy(table + 8, "SYMBIOT STORM       ", 20);
	table[34] = entries, memcpy(table + 36, &apic, 4);
	table[7] = checksum(table, length);
	memset(floating, 0, 16);
	memcpy(floating, "_MP_", 4), memcpy(floating + 4, &address, 4);
	floating[8] = 1, floating[9] = 4;
	floating[10] = checksum(floating, 16);
}

static int64_t file_load(struct storm *storm, const char *path, uint64_t skip, uint64_t address)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat status;
	int64_t size = -1;

	if (fd < 0 || fstat(fd, &status))
		return fail(path);
	size = status.st_size - skip;
	if (size <= 0 || address + size > storm->memory_size ||
	    pread(fd, storm->memory + address, size, skip) != size) {
		errno = EFBIG;
		size = fail(path);
	}
	close(fd);
	return size;
}

static void page_tables_write(struct storm *storm)
{
	uint64_t *pml4 = (uint64_t *)(storm->memory + PAGE_TABLES);
	uint64_t *pdpt = pml4 + 512, *directory = pml4 + 1024;
	unsigned int i;

	memset(pml4, 0, 6 * 4096);
	pml4[0] = (PAGE_TABLES + 4096) | 3;
	for (i = 0; i < 4; i++)
		pdpt[i] = (PAGE_TABLES + 8192 + i * 4096) | 3;
	for (i = 0; i < 2048; i++)
		directory[i] = (uint64_t)i << 21 | 0x83;
}

static int boot_registers(struct storm *storm)
{
	const uint64_t gdt[] = {0, 0, 0x00af9b000000ffffull, 0x00cf93000000ffffull};
	struct kvm_regs regs = {.rip = KERNEL_ADDRESS + 0x200, .rsi = ZERO_PAGE, .rflags = 2};
	struct kvm_sregs sregs;
	struct kvm_segment data = {
		.limit = ~0u, .selector = 0x18, .type = 3, .present = 1, .s = 1, .db = 1, .g = 1};

	memcpy(storm->memory + GDT_ADDRESS, gdt, sizeof(gdt));
	page_tables_write(storm);
	if (ioctl(storm->vcpu[0].fd, KVM_GET_SREGS, &sregs))
		return fail("KVM_GET_SREGS");
	sregs.cs = (struct kvm_segment){
		.limit = ~0u, .selector = 0x10, .type = 11, .present = 1, .s = 1, .l = 1, .g = 1};
	sregs.ds = sregs.es = sregs.ss = sregs.fs = sregs.gs = data;
	sregs.gdt = (struct kvm_dtable){.base = GDT_ADDRESS, .limit = sizeof(gdt) - 1};
	sregs.idt = (struct kvm_dtable){0};
	sregs.cr3 = PAGE_TABLES;
	sregs.cr4 = 1u << 5;
	sregs.cr0 = 0x80050033u;
	sregs.efer = 0x500;
	if (ioctl(storm->vcpu[0].fd, KVM_SET_SREGS, &sregs) ||
	    ioctl(storm->vcpu[0].fd, KVM_SET_REGS, &regs))
		return fail("boot registers");
	return 0;
}

int machine_load(struct storm *storm, const char *kernel, const char *initrd, const char *words)
{
	struct boot_params *params = (void *)(storm->memory + ZERO_PAGE);
	uint64_t initrd_address = storm->memory_size / 2;
	uint8_t header[4096];
	FILE *file = fopen(kernel, "re");
	int64_t size;

	if (!file || fread(header, sizeof(header), 1, file) != 1)
		return fail(kernel);
	fclose(file);
	memcpy(&params->hdr, header + 0x1f1, sizeof(params->hdr));
	if (params->hdr.header != 0x53726448 || strlen(words) >= COMMAND_MAX) {
		errno = EINVAL;
		return fail("kernel image or command line");
	}
	size = file_load(storm, kernel, (params->hdr.setup_sects + 1) * 512, KERNEL_ADDRESS);
	if (size < 0)
		return size;
	size = file_load(storm, initrd, 0, initrd_address);
	if (size < 0)
		return size;
	strcpy((char *)storm->memory + COMMAND_LINE, words);
	params->hdr.type_of_loader = 0xff;
	params->hdr.cmd_line_ptr = COMMAND_LINE;
	params->hdr.ramdisk_image = initrd_address;
	params->hdr.ramdisk_size = size;
	params->e820_table[0] = (struct boot_e820_entry){0, MP_TABLE, 1};
	params->e820_table[1] = (struct boot_e820_entry){MP_TABLE, LOW_RAM_END - MP_TABLE, 2};
	params->e820_table[2] = (struct boot_e820_entry){HIGH_RAM, storm->memory_size - HIGH_RAM,
							 1};
	params->e820_entries = 3;
	mp_table_write(storm);
	return boot_registers(storm);
}

static void serial_interrupt(struct storm *storm)
{
	struct kvm_irq_level level = {.irq = SERIAL_IRQ, .level = 1};

	ioctl(storm->vm_fd, KVM_IRQ_LINE, &level);
	level.level = 0;
	ioctl(storm->vm_fd, KVM_IRQ_LINE, &level);
}

/* Transmits at once, and raises the interrupt. There is no input. */
static uint8_t serial_read(struct storm *storm, unsigned int index)
{
	switch (index) {
	case 1:
		return storm->serial.interrupts_enabled;
	case 2:
		if (!storm->serial.transmit_pending)
			return 1;
		storm->serial.transmit_pending = false;
		return 2;
	case 5:
		return 0x60;
	case 6:
		return 0xb0;
	default:
		return storm->serial.registers[index];
	}
}

static void serial_write(struct storm *storm, unsigned int index, uint8_t value)
{
	bool divisor = storm->serial.registers[3] & 0x80;

	if (index == 0 && !divisor)
		putchar(value);
	else if (index == 1 && !divisor)
		storm->serial.interrupts_enabled = value & 15;
	else
		storm->serial.registers[index] = value;
	if (index <= 1 && !divisor && storm->serial.interrupts_enabled & 2) {
		storm->serial.transmit_pending = true;
		serial_interrupt(storm);
	}
	if (index == 0 && value == '\n')
		fflush(stdout);
}

static void port_access(struct storm_vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	uint8_t *data = (uint8_t *)run + run->io.data_offset;
	unsigned int port = run->io.port, i;

	for (i = 0; i < run->io.count; i++, data += run->io.size) {
		bool serial = port >= SERIAL_PORT && port < SERIAL_PORT + 8 && run->io.size == 1;

		if (run->io.direction == KVM_EXIT_IO_OUT) {
			if (serial)
				serial_write(vcpu->storm, port - SERIAL_PORT, *data);
			else if (port == 0x64 && *data == 0xfe)
				vcpu->storm->ended = true;
			continue;
		}
		memset(data, port == 0x64 ? 0 : 0xff, run->io.size);
		if (serial)
			*data = serial_read(vcpu->storm, port - SERIAL_PORT);
	}
}

void machine_exit(struct storm_vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	struct storm *storm = vcpu->storm;

	pthread_mutex_lock(&storm->lock);
	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		port_access(vcpu);
		break;
	case KVM_EXIT_MMIO:
		if (!run->mmio.is_write)
			memset(run->mmio.data, 0xff, run->mmio.len);
		break;
	case KVM_EXIT_X86_RDMSR:
	case KVM_EXIT_X86_WRMSR:
		run->msr.error = 1;
		break;
	case KVM_EXIT_INTR:
		break;
	default:
		fprintf(stderr, "storm: vCPU %u: exit %u ends the guest\n", vcpu->id,
			run->exit_reason);
		storm->status = 1;
		storm->ended = true;
	}
	pthread_mutex_unlock(&storm->lock);
}
