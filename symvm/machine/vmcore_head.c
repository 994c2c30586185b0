// SPDX-License-Identifier: BSD-2-Clause
/*
 * The head of a vmcore. The layout of a note: gABI, "Note Section"; of the register notes:
 * sys/procfs.h and QEMU's target/i386/arch_dump.c.
 */
#include <elf.h>
#include <string.h>
#include <sys/procfs.h>
#include <sys/user.h>

#include "machine/vm.h"
#include "machine/vmcore_internal.h"
#include "util/u64.h"

/* QEMU's QEMUCPUSegment and, up to cr[4], QEMUCPUState, version 1. */
struct qemu_segment {
	uint32_t selector;
	uint32_t limit;
	uint32_t flags;
	uint32_t pad;
	uint64_t base;
};

struct qemu_cpu {
	uint32_t version;
	uint32_t size;
	uint64_t rax, rbx, rcx, rdx, rsi, rdi, rsp, rbp;
	uint64_t r8, r9, r10, r11, r12, r13, r14, r15;
	uint64_t rip, rflags;
	struct qemu_segment cs, ds, es, fs, gs, ss;
	struct qemu_segment ldt, tr, gdt, idt;
	uint64_t cr[5];
};

struct notes {
	uint8_t *start;
	size_t size;
};

#define NOTE_SIZE(description) (12 + 8 + (description))

_Static_assert(sizeof(Elf64_Ehdr) + (2 + MEMORY_REGIONS_MAX) * sizeof(Elf64_Phdr) +
			       VM_VCPUS_MAX * (NOTE_SIZE(sizeof(struct elf_prstatus)) +
					       NOTE_SIZE(sizeof(struct qemu_cpu))) +
			       NOTE_SIZE(VMCOREINFO_MAX) + 64 <=
		       VMCORE_HEAD,
	       "the head has room for all notes");

static void add_note(struct notes *notes, const char *name, uint32_t type, const void *description,
		     size_t size)
{
	const Elf64_Nhdr header = {
		.n_namesz = (uint32_t)strlen(name) + 1,
		.n_descsz = (uint32_t)size,
		.n_type = type,
	};
	uint8_t *at = notes->start + notes->size;

	memcpy(at, &header, sizeof(header));
	memcpy(at + sizeof(header), name, header.n_namesz);
	memcpy(at + sizeof(header) + u64_round_up(header.n_namesz, 4), description, size);
	notes->size += sizeof(header) + u64_round_up(header.n_namesz, 4) + u64_round_up(size, 4);
}

static void add_status(struct notes *notes, const struct vcpu_registers *cpu, unsigned id)
{
	const struct kvm_regs *regs = &cpu->regs;
	const struct kvm_sregs *sregs = &cpu->sregs;
	const struct user_regs_struct user = {
		.r15 = regs->r15,
		.r14 = regs->r14,
		.r13 = regs->r13,
		.r12 = regs->r12,
		.rbp = regs->rbp,
		.rbx = regs->rbx,
		.r11 = regs->r11,
		.r10 = regs->r10,
		.r9 = regs->r9,
		.r8 = regs->r8,
		.rax = regs->rax,
		.rcx = regs->rcx,
		.rdx = regs->rdx,
		.rsi = regs->rsi,
		.rdi = regs->rdi,
		.rip = regs->rip,
		.cs = sregs->cs.selector,
		.eflags = regs->rflags,
		.rsp = regs->rsp,
		.ss = sregs->ss.selector,
		.fs_base = sregs->fs.base,
		.gs_base = sregs->gs.base,
		.ds = sregs->ds.selector,
		.es = sregs->es.selector,
		.fs = sregs->fs.selector,
		.gs = sregs->gs.selector,
	};
	/* As in /proc/vmcore, by which drgn finds a task's registers; else as QEMU numbers them. */
	struct elf_prstatus status = {.pr_pid = (int)(cpu->has_task ? cpu->task : id + 1)};

	_Static_assert(sizeof(status.pr_reg) == sizeof(user), "the registers of NT_PRSTATUS");
	memcpy(&status.pr_reg, &user, sizeof(user));
	add_note(notes, "CORE", NT_PRSTATUS, &status, sizeof(status));
}

/* The flags are the second word of a segment's descriptor (SDM vol. 3, 3.4.5). */
static struct qemu_segment segment(const struct kvm_segment *from)
{
	return (struct qemu_segment){
		.selector = from->selector,
		.limit = from->limit,
		.flags = (uint32_t)from->type << 8 | (uint32_t)from->s << 12 |
			 (uint32_t)from->dpl << 13 | (uint32_t)from->present << 15 |
			 (uint32_t)from->avl << 20 | (uint32_t)from->l << 21 |
			 (uint32_t)from->db << 22 | (uint32_t)from->g << 23,
		.base = from->base,
	};
}

static void add_qemu_cpu(struct notes *notes, const struct vcpu_registers *cpu)
{
	const struct kvm_regs *regs = &cpu->regs;
	const struct kvm_sregs *sregs = &cpu->sregs;
	const struct qemu_cpu out = {
		.version = 1,
		.size = sizeof(out),
		.rax = regs->rax,
		.rbx = regs->rbx,
		.rcx = regs->rcx,
		.rdx = regs->rdx,
		.rsi = regs->rsi,
		.rdi = regs->rdi,
		.rsp = regs->rsp,
		.rbp = regs->rbp,
		.r8 = regs->r8,
		.r9 = regs->r9,
		.r10 = regs->r10,
		.r11 = regs->r11,
		.r12 = regs->r12,
		.r13 = regs->r13,
		.r14 = regs->r14,
		.r15 = regs->r15,
		.rip = regs->rip,
		.rflags = regs->rflags,
		.cs = segment(&sregs->cs),
		.ds = segment(&sregs->ds),
		.es = segment(&sregs->es),
		.fs = segment(&sregs->fs),
		.gs = segment(&sregs->gs),
		.ss = segment(&sregs->ss),
		.ldt = segment(&sregs->ldt),
		.tr = segment(&sregs->tr),
		.gdt = {.limit = sregs->gdt.limit, .base = sregs->gdt.base},
		.idt = {.limit = sregs->idt.limit, .base = sregs->idt.base},
		.cr = {sregs->cr0, 0, sregs->cr2, sregs->cr3, sregs->cr4},
	};

	add_note(notes, "QEMU", 0, &out, sizeof(out));
}

/*
 * The kernel's own mapping, of bytes that the file has once, as in /proc/vmcore: drgn finds the
 * kernel's page tables through it. Returns the number of headers.
 */
static unsigned add_kernel(const struct vmcore *core, const struct vmcore_kernel *kernel,
			   Elf64_Phdr *header)
{
	uint64_t offset = VMCORE_HEAD;

	for (unsigned i = 0; i < core->memory->count; i++) {
		const struct memory_region *region = &core->memory->regions[i];
		uint64_t at = kernel->gpa - region->gpa, size;

		if (!region->ram)
			continue;
		if (kernel->gpa < region->gpa || at >= region->size) {
			offset += region->size;
			continue;
		}
		size = u64_min(kernel->size, region->size - at);
		*header = (Elf64_Phdr){
			.p_type = PT_LOAD,
			.p_offset = offset + at,
			.p_vaddr = kernel->address,
			.p_paddr = kernel->gpa,
			.p_filesz = size,
			.p_memsz = size,
		};
		return 1;
	}
	return 0;
}

/* @kernel: NULL if it is not known. */
static unsigned add_loads(const struct vmcore *core, const struct vmcore_kernel *kernel,
			  Elf64_Phdr *headers)
{
	uint64_t offset = VMCORE_HEAD;
	unsigned count = kernel ? add_kernel(core, kernel, headers) : 0;

	for (unsigned i = 0; i < core->memory->count; i++) {
		const struct memory_region *region = &core->memory->regions[i];

		if (!region->ram)
			continue;
		headers[count++] = (Elf64_Phdr){
			.p_type = PT_LOAD,
			.p_offset = offset,
			.p_paddr = region->gpa,
			.p_filesz = region->size,
			.p_memsz = region->size,
		};
		offset += region->size;
	}
	return count;
}

void vmcore_head_make(const struct vmcore *core, const char *info, size_t info_size, uint8_t *head)
{
	Elf64_Ehdr *elf = (Elf64_Ehdr *)head;
	Elf64_Phdr *headers = (Elf64_Phdr *)(elf + 1);
	struct vmcore_kernel kernel;
	struct notes notes;
	unsigned loads;
	bool known;

	memset(head, 0, VMCORE_HEAD);
	known = info_size && vmcoreinfo_kernel(info, info_size, &kernel);
	loads = add_loads(core, known ? &kernel : NULL, headers + 1);
	notes = (struct notes){.start = (uint8_t *)(headers + 1 + loads)};
	for (unsigned i = 0; i < core->cpu_count; i++)
		add_status(&notes, &core->cpus[i], i);
	for (unsigned i = 0; i < core->cpu_count; i++)
		add_qemu_cpu(&notes, &core->cpus[i]);
	if (info_size)
		add_note(&notes, "VMCOREINFO", 0, info, info_size);
	headers[0] = (Elf64_Phdr){
		.p_type = PT_NOTE,
		.p_offset = (uint64_t)(notes.start - head),
		.p_filesz = notes.size,
		.p_memsz = notes.size,
	};
	*elf = (Elf64_Ehdr){
		.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB,
			    EV_CURRENT},
		.e_type = ET_CORE,
		.e_machine = EM_X86_64,
		.e_version = EV_CURRENT,
		.e_phoff = sizeof(*elf),
		.e_ehsize = sizeof(*elf),
		.e_phentsize = sizeof(Elf64_Phdr),
		.e_phnum = (uint16_t)(1 + loads),
	};
}
