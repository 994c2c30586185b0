// SPDX-License-Identifier: BSD-2-Clause
/* Files that are not kernels: each is refused with words that say what it is. */
#include <asm/bootparam.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "machine/boot.h"
#include "machine/vm.h"

static struct boot_file file_of(const void *data, size_t size)
{
	struct boot_file file = {.path = "the-kernel", .size = size};

	file.fd = memfd_create("kernel", 0);
	assert_true(file.fd >= 0);
	assert_int_equal(write(file.fd, data, size), size);
	return file;
}

static void refuses(int (*check)(const struct boot_file *, struct error *), const void *data,
		    size_t size, const char *word)
{
	struct boot_file file = file_of(data, size);
	struct error err = {0};

	assert_int_equal(check(&file, &err), -ENOEXEC);
	assert_non_null(strstr(err.text, "the-kernel"));
	assert_non_null(strstr(err.text, word));
	close(file.fd);
}

static void accepts(int (*check)(const struct boot_file *, struct error *), const void *data,
		    size_t size)
{
	struct boot_file file = file_of(data, size);
	struct error err = {0};

	assert_int_equal(check(&file, &err), 0);
	close(file.fd);
}

static void good_image(uint8_t image[4096])
{
	struct setup_header *header = (struct setup_header *)(image + 0x1f1);

	memset(image, 0, 4096);
	header->setup_sects = 3;
	header->syssize = 2048 / 16;
	header->boot_flag = 0xaa55;
	header->header = 0x53726448;
	header->version = 0x020f;
	header->xloadflags = XLF_KERNEL_64;
}

static void test_bzimage(void **state)
{
	uint8_t image[4096];
	struct setup_header *header = (struct setup_header *)(image + 0x1f1);

	good_image(image);
	accepts(boot_linux_check, image, sizeof(image));
	refuses(boot_linux_check, image, 100, "bzImage");
	refuses(boot_linux_check, image, 4000, "truncated");
	header->xloadflags = 0;
	refuses(boot_linux_check, image, sizeof(image), "32-bit");
	good_image(image);
	header->version = 0x0204;
	refuses(boot_linux_check, image, sizeof(image), "2.04");
	good_image(image);
	header->header = 0;
	refuses(boot_linux_check, image, sizeof(image), "neither");
	memcpy(image + 56, "ARM\x64", 4);
	refuses(boot_linux_check, image, sizeof(image), "arm64");
	good_image(image);
	header->syssize = 0xffffffff;
	refuses(boot_linux_check, image, sizeof(image), "truncated");
}

struct elf_image {
	Elf64_Ehdr header;
	Elf64_Phdr segments[2];
	Elf64_Nhdr note;
	char name[4];
	uint32_t entry;
	uint8_t text[256];
};

static struct elf_image good_elf(void)
{
	struct elf_image image = {
		.header = {.e_machine = EM_X86_64,
			   .e_phoff = offsetof(struct elf_image, segments),
			   .e_phentsize = sizeof(Elf64_Phdr),
			   .e_phnum = 2},
		.segments = {{.p_type = PT_LOAD,
			      .p_offset = offsetof(struct elf_image, text),
			      .p_paddr = 0x100000,
			      .p_filesz = 256,
			      .p_memsz = 4096},
			     {.p_type = PT_NOTE,
			      .p_offset = offsetof(struct elf_image, note),
			      .p_filesz = sizeof(Elf64_Nhdr) + 8}},
		.note = {.n_namesz = 4, .n_descsz = 4, .n_type = 18},
		.name = "Xen",
		.entry = 0x100000,
	};

	memcpy(image.header.e_ident, ELFMAG, SELFMAG);
	image.header.e_ident[EI_CLASS] = ELFCLASS64;
	image.header.e_ident[EI_DATA] = ELFDATA2LSB;
	return image;
}

static void test_elf(void **state)
{
	struct elf_image image = good_elf();

	accepts(boot_elf_check, &image, sizeof(image));
	refuses(boot_elf_check, &image, sizeof(image) - 8, "truncated");
	image.header.e_machine = EM_AARCH64;
	refuses(boot_elf_check, &image, sizeof(image), "machine 183");
	image = good_elf();
	image.header.e_phnum = 0;
	refuses(boot_elf_check, &image, sizeof(image), "0 program headers");
	image = good_elf();
	image.header.e_phoff = UINT64_MAX - 8;
	refuses(boot_elf_check, &image, sizeof(image), "the-kernel");
	image = good_elf();
	image.segments[0].p_offset = UINT64_MAX;
	refuses(boot_elf_check, &image, sizeof(image), "segment 0");
	image = good_elf();
	image.segments[0].p_memsz = 1;
	refuses(boot_elf_check, &image, sizeof(image), "segment 0");
	image = good_elf();
	image.note.n_type = 17;
	refuses(boot_elf_check, &image, sizeof(image), "PVH");
	refuses(boot_elf_check, &image, sizeof(image), "bzImage"); /* the remedy */
	image = good_elf();
	image.note.n_namesz = 0xfffffff0;
	refuses(boot_elf_check, &image, sizeof(image), "PVH");
	image = good_elf();
	image.note.n_descsz = 0x10000;
	refuses(boot_elf_check, &image, sizeof(image), "PVH");
}

/* Like Firecracker's kernels: no PVH note, the entry in a segment. */
static struct elf_image elf_without_note(void)
{
	struct elf_image image = good_elf();

	image.note.n_type = 17;
	image.header.e_type = ET_EXEC;
	image.header.e_entry = 0x100010;
	image.segments[0].p_vaddr = 0xffffffff80100000;
	return image;
}

static void test_elf_without_note(void **state)
{
	struct elf_image image = elf_without_note();

	accepts(boot_elf_check, &image, sizeof(image));
	image.header.e_entry = 0xffffffff80100ffc; /* virtual */
	accepts(boot_elf_check, &image, sizeof(image));
	image.header.e_entry = 0xffffffff80101000; /* behind the segment */
	refuses(boot_elf_check, &image, sizeof(image), "PVH");
	image.header.e_entry = 0xffff;
	refuses(boot_elf_check, &image, sizeof(image), "PVH");
	image.header.e_entry = 0;
	refuses(boot_elf_check, &image, sizeof(image), "PVH");
	image = elf_without_note();
	image.header.e_type = ET_DYN;
	refuses(boot_elf_check, &image, sizeof(image), "PVH");
	image = elf_without_note();
	image.segments[1].p_type = PT_INTERP; /* a program */
	image.header.e_entry = 0x200000;
	refuses(boot_elf_check, &image, sizeof(image), "PVH");
}

static uint8_t ram[16 << 20];

static void vm_with(struct vm *vm, const void *kernel, size_t size, const char *command_line)
{
	memset(vm, 0, sizeof(*vm));
	memset(ram, 0xaa, sizeof(ram));
	vm->config.cpus = 1;
	vm->memory.ram_size = sizeof(ram);
	vm->memory.count = 1;
	vm->memory.regions[0] = (struct memory_region){
		.size = sizeof(ram), .hva = ram, .ram = true, .fd = -1};
	vm->boot.kernel = file_of(kernel, size);
	vm->boot.initrd.fd = -1;
	vm->boot.command_line = command_line;
}

static void test_starts_by_note_or_by_entry(void **state)
{
	struct elf_image image = good_elf();
	const struct boot_params *zero_page = (const void *)(ram + BOOT_ZERO_PAGE_GPA);
	struct boot_entry entry;
	struct error err;
	struct vm vm;

	vm_with(&vm, &image, sizeof(image), "console=ttyS0");
	assert_int_equal(boot_load(&vm, &entry, &err), 0);
	assert_false(entry.long_mode);
	assert_int_equal(entry.rip, 0x100000);
	assert_int_equal(entry.argument, BOOT_START_INFO_GPA);
	close(vm.boot.kernel.fd);
	image = elf_without_note();
	image.header.e_entry = 0xffffffff80100010;
	vm_with(&vm, &image, sizeof(image), "console=ttyS0");
	vm.boot.initrd = file_of("initrd", 6);
	assert_int_equal(boot_load(&vm, &entry, &err), 0);
	assert_true(entry.long_mode);
	assert_int_equal(entry.rip, 0x100010);
	assert_int_equal(entry.argument, BOOT_ZERO_PAGE_GPA);
	assert_int_equal(zero_page->hdr.boot_flag, 0xaa55);
	assert_int_equal(zero_page->hdr.header, 0x53726448);
	assert_int_equal(zero_page->hdr.type_of_loader, 0xff);
	assert_string_equal((const char *)ram + zero_page->hdr.cmd_line_ptr, "console=ttyS0");
	assert_int_equal(zero_page->hdr.cmdline_size, strlen("console=ttyS0"));
	assert_memory_equal(ram + zero_page->hdr.ramdisk_image, "initrd", 6);
	assert_int_equal(zero_page->hdr.ramdisk_size, 6);
	assert_true(zero_page->acpi_rsdp_addr >= 0xe0000);
	assert_true(zero_page->e820_entries >= 3);
	assert_int_equal(zero_page->sentinel, 0);
	close(vm.boot.kernel.fd);
	close(vm.boot.initrd.fd);
}

/* Linux writes 0 or 0x1234 to 40:72 before it reboots in any way. */
static void test_a_reset_is_announced_in_low_memory(void **state)
{
	struct elf_image image = good_elf();
	struct boot_entry entry;
	struct error err;
	struct vm vm;
	uint16_t flag;

	vm_with(&vm, &image, sizeof(image), "");
	assert_int_equal(boot_load(&vm, &entry, &err), 0);
	assert_false(boot_reset_announced(&vm));
	flag = 0;
	memcpy(ram + 0x472, &flag, sizeof(flag));
	assert_true(boot_reset_announced(&vm));
	flag = 0x1234;
	memcpy(ram + 0x472, &flag, sizeof(flag));
	assert_true(boot_reset_announced(&vm));
	flag = 0x1235;
	memcpy(ram + 0x472, &flag, sizeof(flag));
	assert_false(boot_reset_announced(&vm));
	flag = 0;
	memcpy(ram + 0x472, &flag, sizeof(flag));
	assert_int_equal(boot_load(&vm, &entry, &err), 0); /* the reset */
	assert_false(boot_reset_announced(&vm));
	close(vm.boot.kernel.fd);
}

static void hints(const char *command_line, unsigned lines, const char *word)
{
	char text[4096];
	struct log log;
	int pipe_fds[2];
	ssize_t got;

	assert_int_equal(pipe2(pipe_fds, O_NONBLOCK), 0);
	log_init(&log, pipe_fds[1], LOG_LEVEL_WARN);
	boot_hints_log(&log, command_line);
	got = read(pipe_fds[0], text, sizeof(text) - 1);
	text[got > 0 ? got : 0] = '\0';
	for (const char *at = text; (at = strchr(at, '\n')); at++)
		lines--;
	assert_int_equal(lines, 0);
	assert_non_null(strstr(text, word));
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}

static void test_hints_for_command_lines_of_others(void **state)
{
	hints("", 0, "");
	hints("console=ttyS0 reboot=k panic=1", 0, "");
	hints("console=ttyS0 reboot=k panic=1 pci=off", 1, "pci=off: ");
	hints("  pci=off\tnoapic ", 2, "noapic: ");
	hints("virtio_mmio.device=4K@0xd0000000:5 root=/dev/vda", 1, "virtio_mmio.device=4K@");
	hints("xpci=off pci=offer pci=of -- pci=off", 0, "");
}

static void test_source_names_the_file(void **state)
{
	struct boot_source source;
	struct error err;

	assert_int_equal(boot_source_open(&source, "/nonexistent/bzImage", NULL, "", &err),
			 -ENOENT);
	assert_non_null(strstr(err.text, "/nonexistent/bzImage"));
	assert_int_equal(boot_source_open(&source, "/", NULL, "", &err), -EISDIR);
	assert_non_null(strstr(err.text, "directory"));
	assert_int_equal(boot_source_open(&source, "/dev/null", NULL, "", &err), -EINVAL);
	assert_non_null(strstr(err.text, "neither a file"));
	assert_int_equal(source.kernel.fd, -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bzimage),
		cmocka_unit_test(test_elf),
		cmocka_unit_test(test_elf_without_note),
		cmocka_unit_test(test_starts_by_note_or_by_entry),
		cmocka_unit_test(test_a_reset_is_announced_in_low_memory),
		cmocka_unit_test(test_hints_for_command_lines_of_others),
		cmocka_unit_test(test_source_names_the_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
