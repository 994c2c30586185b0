// SPDX-License-Identifier: BSD-2-Clause
/* Kernels that are none: each is refused with words that say what it is. */
#include <asm/bootparam.h>
#include <elf.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "machine/boot.h"

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
	image = good_elf();
	image.note.n_namesz = 0xfffffff0;
	refuses(boot_elf_check, &image, sizeof(image), "PVH");
	image = good_elf();
	image.note.n_descsz = 0x10000;
	refuses(boot_elf_check, &image, sizeof(image), "PVH");
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
		cmocka_unit_test(test_source_names_the_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
