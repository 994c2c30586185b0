/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Loads a Linux kernel (ELF with a PVH note) and its initramfs from the first ATA disk to their
 * places in memory, and enters the kernel by PVH. This needs no GRUB, and the kernel need not
 * unpack itself: both would take the emulator longer than all the rest.
 *
 * Runs in protected mode without paging, interrupts off, below 0x10000. The disk begins with this
 * program; struct plan follows it, and says where the rest is. Sources: the ELF-64 specification;
 * Xen's public/arch-x86/hvm/start_info.h (the PVH interface); ATA/ATAPI-6, READ SECTORS EXT.
 */
#include <stdint.h>

#define SECTOR	       512u
#define PLAN_SECTOR    32u /* lab/bochs/emulate: PLAN_SECTOR */
#define PLAN_MAGIC     0x4e414c50u
#define MAP	       0x6000u /* boot.S */
#define ATA	       0x1f0
#define ATA_CONTROL    0x3f6
#define CONSOLE	       0x3f8
#define PT_LOAD	       1
#define PT_NOTE	       4
#define NOTE_PVH_ENTRY 18 /* XEN_ELFNOTE_PHYS32_ENTRY */
#define HVM_MAGIC      0x336ec578u

struct plan {
	uint32_t magic;
	uint32_t kernel_sector;
	uint32_t initrd_sector;
	uint32_t initrd_bytes;
	char words[2032]; /* the kernel's command line */
};

struct elf_header {
	uint8_t ident[16];
	uint16_t type, machine;
	uint32_t version;
	uint64_t entry, phoff, shoff;
	uint32_t flags;
	uint16_t ehsize, phentsize, phnum, shentsize, shnum, shstrndx;
} __attribute__((packed));

struct elf_segment {
	uint32_t type, flags;
	uint64_t offset, vaddr, paddr, filesz, memsz, align;
} __attribute__((packed));

struct memory_map {
	uint32_t count, unused;
	uint8_t entries[];
};

struct start_info {
	uint32_t magic, version, flags, modules;
	uint64_t module_list, words, rsdp, map;
	uint32_t map_entries, reserved;
};

struct module {
	uint64_t address, size, words, reserved;
};

void enter(uint32_t entry, const struct start_info *info); /* boot.S */
void load(void);

static struct plan plan;
static struct start_info info;
static struct module initrd;
static uint8_t first[4096];

static uint8_t in8(uint16_t port)
{
	uint8_t value;

	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static void out8(uint16_t port, uint8_t value)
{
	__asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static void say(const char *text)
{
	for (; *text; text++)
		out8(CONSOLE, (uint8_t)*text);
}

static void __attribute__((noreturn)) fail(const char *why)
{
	say("boot: ");
	say(why);
	say("\n");
	for (;;)
		__asm__ volatile("hlt");
}

/* Reads whole sectors; at most 256 with one command. */
static void disk_read_some(uint32_t sector, uint32_t count, void *to)
{
	const uint32_t words = SECTOR / 2;

	out8(ATA + 6, 0x40); /* master, LBA */
	out8(ATA + 2, (uint8_t)(count >> 8));
	out8(ATA + 3, (uint8_t)(sector >> 24));
	out8(ATA + 4, 0);
	out8(ATA + 5, 0);
	out8(ATA + 2, (uint8_t)count);
	out8(ATA + 3, (uint8_t)sector);
	out8(ATA + 4, (uint8_t)(sector >> 8));
	out8(ATA + 5, (uint8_t)(sector >> 16));
	out8(ATA + 7, 0x24); /* READ SECTORS EXT */
	for (uint32_t i = 0; i < count; i++) {
		uint32_t left = words;
		uint8_t status;

		do
			status = in8(ATA + 7);
		while (status & 0x80);
		if ((status & 0x21) || !(status & 0x08))
			fail("the disk cannot be read");
		__asm__ volatile("rep insw" : "+D"(to), "+c"(left) : "d"(ATA) : "memory");
	}
}

static void disk_read(uint32_t sector, uint32_t bytes, void *to)
{
	uint32_t count = (bytes + SECTOR - 1) / SECTOR;
	uint8_t *at = to;

	while (count) {
		const uint32_t now = count > 256 ? 256 : count;

		disk_read_some(sector, now, at);
		sector += now;
		at += now * SECTOR;
		count -= now;
	}
}

static uint32_t round_up(uint32_t value, uint32_t unit)
{
	return (value + unit - 1) & ~(unit - 1);
}

/* Returns the kernel's PVH entry, 0 if this note segment has none. It is part of a loaded one. */
static uint32_t note_find_entry(const struct elf_segment *segment)
{
	const uint8_t *at = (const uint8_t *)(uint32_t)segment->paddr;
	const uint8_t *end = at + (uint32_t)segment->filesz;

	while (at + 12 <= end) {
		const uint32_t *note = (const uint32_t *)at;
		const uint8_t *data = at + 12 + round_up(note[0], 4);

		if (note[2] == NOTE_PVH_ENTRY && note[0] == 4 && note[3] == 0x006e6558) /* "Xen" */
			return *(const uint32_t *)data;
		at = data + round_up(note[1], 4);
	}
	return 0;
}

/* Loads the kernel. Returns its entry; *end is the first address after it. */
static uint32_t kernel_load(uint32_t *end)
{
	const struct elf_header *header = (const void *)first;
	const struct elf_segment *segments;
	uint32_t entry = 0;

	disk_read(plan.kernel_sector, sizeof(first), first);
	segments = (const void *)(first + (uint32_t)header->phoff);
	if (*(const uint32_t *)header->ident != 0x464c457f || header->phoff > 1024 ||
	    header->phnum > 32)
		fail("the kernel is not an ELF file");
	for (int i = 0; i < header->phnum; i++) {
		const struct elf_segment *segment = &segments[i];
		uint8_t *to = (uint8_t *)(uint32_t)segment->paddr;
		const uint32_t bytes = (uint32_t)segment->filesz, size = (uint32_t)segment->memsz;

		if (segment->type != PT_LOAD)
			continue;
		if (segment->offset % SECTOR)
			fail("a segment of the kernel does not begin at a sector");
		disk_read(plan.kernel_sector + (uint32_t)segment->offset / SECTOR, bytes, to);
		for (uint32_t j = bytes; j < size; j++)
			to[j] = 0;
		if ((uint32_t)to + size > *end)
			*end = (uint32_t)to + size;
	}
	for (int i = 0; i < header->phnum && !entry; i++)
		if (segments[i].type == PT_NOTE)
			entry = note_find_entry(&segments[i]);
	return entry;
}

void load(void)
{
	const struct memory_map *map = (const void *)MAP;
	uint32_t entry, end = 0;

	out8(ATA_CONTROL, 2); /* no interrupts */
	disk_read(PLAN_SECTOR, sizeof(plan), &plan);
	if (plan.magic != PLAN_MAGIC)
		fail("the disk has no plan");
	entry = kernel_load(&end);
	if (!entry)
		fail("the kernel has no PVH note");
	initrd.address = round_up(end, 1u << 21);
	initrd.size = plan.initrd_bytes;
	disk_read(plan.initrd_sector, plan.initrd_bytes, (void *)(uint32_t)initrd.address);
	out8(ATA_CONTROL, 0);
	info.magic = HVM_MAGIC;
	info.version = 1;
	info.modules = 1;
	info.module_list = (uint32_t)&initrd;
	info.words = (uint32_t)plan.words;
	info.map = (uint32_t)map->entries;
	info.map_entries = map->count;
	enter(entry, &info);
}
