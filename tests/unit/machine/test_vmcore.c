// SPDX-License-Identifier: BSD-2-Clause
/* Dumps of a guest whose RAM is a file that the test fills. readelf reads them. */
#include <elf.h>
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/procfs.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/user.h>
#include <unistd.h>

#include <cmocka.h>

#include "machine/vmcore_internal.h"

#define LOW  (4ull << 20)
#define HIGH (8ull << 20)
#define HOLE 0x100000000ull

static struct guest_memory memory;
static struct vcpu_registers cpus[2];
static struct vmcore core;
static struct error err;
static char path[64];

static void put(uint64_t gpa, const void *data, size_t size)
{
	uint64_t offset = gpa < LOW ? gpa : gpa - HOLE + LOW;

	assert_int_equal(pwrite(memory.regions[0].fd, data, size, (off_t)offset), size);
}

static int setup(void **state)
{
	int ram = memfd_create("ram", MFD_CLOEXEC), window = memfd_create("window", MFD_CLOEXEC);

	assert_int_equal(ftruncate(ram, (off_t)(LOW + HIGH)), 0);
	assert_int_equal(pwrite(window, "secret", 6, 0), 6);
	memory = (struct guest_memory){
		.count = 3,
		.regions = {{.gpa = 0, .size = LOW, .fd = ram, .ram = true},
			    {.gpa = HOLE, .size = HIGH, .fd = ram, .fd_offset = LOW, .ram = true},
			    {.gpa = 1ull << 40, .size = 4096, .fd = window}},
	};
	memset(cpus, 0, sizeof(cpus));
	strcpy(path, "/tmp/symvm-vmcore-XXXXXX");
	core = (struct vmcore){
		.memory = &memory, .cpus = cpus, .cpu_count = 2, .fd = mkstemp(path)};
	return core.fd < 0;
}

static int teardown(void **state)
{
	close(memory.regions[0].fd);
	close(memory.regions[2].fd);
	close(core.fd);
	return unlink(path);
}

/* Whether "readelf OPTION" of the dump shows @words. */
static void readelf_shows(const char *option, const char *words)
{
	char command[256], text[16384];
	FILE *pipe;
	size_t got;

	snprintf(command, sizeof(command), "LC_ALL=C readelf %s %s 2>&1", option, path);
	pipe = popen(command, "r");
	assert_non_null(pipe);
	got = fread(text, 1, sizeof(text) - 1, pipe);
	text[got] = '\0';
	pclose(pipe);
	if (!strstr(text, words))
		fail_msg("'%s' is not in:\n%s", words, text);
}

/* The @index-th program header. */
static Elf64_Phdr header(unsigned index)
{
	Elf64_Phdr out;

	assert_int_equal(pread(core.fd, &out, sizeof(out),
			       (off_t)(sizeof(Elf64_Ehdr) + index * sizeof(out))),
			 sizeof(out));
	return out;
}

/* The description of the @which-th note of @name and @type; false: there is none. */
static bool find_note(const char *name, uint32_t type, unsigned which, void *out, size_t size)
{
	Elf64_Phdr notes = header(0);
	uint64_t at = notes.p_offset, end = at + notes.p_filesz;
	Elf64_Nhdr head;
	char found[16] = "";

	while (at < end) {
		assert_int_equal(pread(core.fd, &head, sizeof(head), (off_t)at), sizeof(head));
		at += sizeof(head);
		assert_true(head.n_namesz <= sizeof(found));
		pread(core.fd, found, head.n_namesz, (off_t)at);
		at += (head.n_namesz + 3) / 4 * 4;
		if (strcmp(found, name) == 0 && head.n_type == type && which-- == 0) {
			assert_true(head.n_descsz <= size);
			return pread(core.fd, out, head.n_descsz, (off_t)at) == head.n_descsz;
		}
		at += (head.n_descsz + 3) / 4 * 4;
	}
	return false;
}

static void ram_is_where_the_headers_say(void **state)
{
	Elf64_Phdr low, high;
	struct stat status;
	char text[8] = "";

	put(0x3000, "low", 4);
	put(HOLE + HIGH - 8, "highest", 8);
	assert_int_equal(vmcore_write(&core, &err), 0);
	low = header(1);
	high = header(2);
	assert_int_equal(low.p_type, PT_LOAD);
	assert_int_equal(low.p_paddr, 0);
	assert_int_equal(low.p_filesz, LOW);
	assert_int_equal(high.p_paddr, HOLE);
	assert_int_equal(high.p_memsz, HIGH);
	pread(core.fd, text, 4, (off_t)(low.p_offset + 0x3000));
	assert_string_equal(text, "low");
	pread(core.fd, text, 8, (off_t)(high.p_offset + HIGH - 8));
	assert_string_equal(text, "highest");
	assert_int_equal(core.written, 2 * 4096);
	assert_int_equal(fstat(core.fd, &status), 0);
	assert_int_equal(status.st_size, VMCORE_HEAD + LOW + HIGH);
	assert_int_equal(core.size, status.st_size);
	assert_true(status.st_blocks * 512 < 1 << 20);
	readelf_shows("-h", "CORE (Core file)");
	readelf_shows("-h", "Advanced Micro Devices X86-64");
	readelf_shows("-h", "Number of program headers:         3");
}

/* Zero pages at the end have no bytes, but belong to the file. */
static void a_guest_of_zeros_is_one_hole(void **state)
{
	struct stat status;

	assert_int_equal(vmcore_write(&core, &err), 0);
	assert_int_equal(core.written, 0);
	assert_false(core.has_vmcoreinfo);
	assert_int_equal(fstat(core.fd, &status), 0);
	assert_int_equal(status.st_size, VMCORE_HEAD + LOW + HIGH);
	readelf_shows("-l", "NOTE");
}

static void registers_are_notes(void **state)
{
	struct elf_prstatus prstatus;
	struct user_regs_struct regs;
	uint64_t qemu[64];

	cpus[1].regs = (struct kvm_regs){
		.rip = 0xffffffff81234567, .rsp = 0xffffc90000001000, .r15 = 15, .rflags = 0x46};
	cpus[1].sregs.cs = (struct kvm_segment){.selector = 0x10,
						.type = 11,
						.s = 1,
						.l = 1,
						.present = 1,
						.g = 1,
						.limit = 0xffffffff};
	cpus[1].sregs.gs.base = 0xffff888000000000;
	cpus[1].sregs.cr3 = 0x1234000;
	assert_int_equal(vmcore_write(&core, &err), 0);
	assert_true(find_note("CORE", NT_PRSTATUS, 1, &prstatus, sizeof(prstatus)));
	memcpy(&regs, &prstatus.pr_reg, sizeof(regs));
	assert_int_equal(prstatus.pr_pid, 2);
	assert_int_equal(regs.rip, 0xffffffff81234567);
	assert_int_equal(regs.rsp, 0xffffc90000001000);
	assert_int_equal(regs.r15, 15);
	assert_int_equal(regs.gs_base, 0xffff888000000000);
	assert_int_equal(regs.cs, 0x10);
	assert_false(find_note("CORE", NT_PRSTATUS, 2, &prstatus, sizeof(prstatus)));
	assert_true(find_note("QEMU", 0, 1, qemu, sizeof(qemu)));
	cpus[0].has_task = true;
	cpus[0].task = 4711;
	assert_int_equal(vmcore_write(&core, &err), 0);
	assert_true(find_note("CORE", NT_PRSTATUS, 0, &prstatus, sizeof(prstatus)));
	assert_int_equal(prstatus.pr_pid, 4711);
	assert_int_equal(qemu[0], 1 | 432ull << 32);
	assert_int_equal(qemu[17], 0xffffffff81234567); /* rip: after 16 registers */
	assert_int_equal(qemu[19], 0x10 | 0xffffffffull << 32);
	assert_int_equal((uint32_t)qemu[20], 0x00a09b00);
	assert_int_equal(qemu[52], 0x1234000); /* cr3 */
	readelf_shows("-nW", "NT_PRSTATUS");
}

/* A note VMCOREINFO of a kernel whose release is at @release_gpa. */
static void put_info(uint64_t gpa, const char *release, uint64_t release_gpa)
{
	char text[512];
	uint8_t page[4096] = {0};
	Elf64_Nhdr head = {.n_namesz = 11, .n_type = 0};

	head.n_descsz = (uint32_t)snprintf(
		text, sizeof(text),
		"OSRELEASE=%s\nPAGESIZE=4096\nSYMBOL(init_uts_ns)=ffffffff%08x\n"
		"OFFSET(uts_namespace.name)=4\n"
		"NUMBER(phys_base)=%lld\n"
		"KERNELOFFSET=1000000\n",
		release, 0x81000000, (long long)release_gpa - 0x1000000 - 4 - 130);
	memcpy(page, &head, sizeof(head));
	memcpy(page + sizeof(head), "VMCOREINFO", 11);
	memcpy(page + sizeof(head) + 12, text, head.n_descsz);
	put(gpa, page, sizeof(page));
}

static void vmcoreinfo_is_that_of_the_kernel_that_runs(void **state)
{
	char text[4096] = "";

	/* An older kernel's, that of a file that the guest has read, and the right one. */
	put_info(0x10000, "5.10.0-old", 0x80000);
	put_info(0x20000, "6.1.0-56-amd64", 0x90000);
	put_info(HOLE + 0x5000, "6.1.0-56-amd64", 0x80000);
	put(0x80000, "6.1.0-56-amd64", 15);
	assert_int_equal(vmcore_write(&core, &err), 0);
	assert_true(core.has_vmcoreinfo);
	assert_true(find_note("VMCOREINFO", 0, 0, text, sizeof(text)));
	assert_non_null(strstr(text, "OSRELEASE=6.1.0-56-amd64\n"));
	assert_non_null(strstr(text, "NUMBER(phys_base)=-16253062"));
	assert_false(find_note("VMCOREINFO", 0, 1, text, sizeof(text)));
}

/* The page tables are in the kernel's image, so a reader needs that mapping first. */
static void the_kernel_is_where_vmcoreinfo_says(void **state)
{
	Elf64_Phdr load;

	put_info(0x10000, "6.1.0\nSYMBOL(_stext)=ffffffff81200000", 0x80000 + 134);
	put(0x280000, "text", 5); /* _stext - KERNEL_MAP + phys_base */
	assert_int_equal(vmcore_write(&core, &err), 0);
	load = header(1);
	assert_int_equal(load.p_vaddr, 0xffffffff81200000);
	assert_int_equal(load.p_paddr, 0x280000);
	assert_int_equal(load.p_filesz, LOW - 0x280000);
	assert_int_equal(load.p_offset, VMCORE_HEAD + 0x280000);
	assert_int_equal(header(2).p_paddr, 0);
	assert_int_equal(header(3).p_paddr, HOLE);
	/* Beyond RAM, and above. */
	put_info(0x10000, "6.1.0\nSYMBOL(_stext)=ffffffff91200000", 0x80000 + 134);
	assert_int_equal(vmcore_write(&core, &err), 0);
	assert_int_equal(header(1).p_paddr, 0);
	put_info(0x10000, "6.1.0\nSYMBOL(_stext)=1200000", 0x80000 + 134);
	assert_int_equal(vmcore_write(&core, &err), 0);
	assert_int_equal(header(1).p_paddr, 0);
}

static void vmcoreinfo_that_cannot_be_confirmed_is_better_than_none(void **state)
{
	char text[4096] = "";

	put_info(0x10000, "6.6.6", UINT64_MAX / 2);
	assert_int_equal(vmcore_write(&core, &err), 0);
	assert_true(find_note("VMCOREINFO", 0, 0, text, sizeof(text)));
	assert_non_null(strstr(text, "OSRELEASE=6.6.6\n"));
}

/* What a hostile guest may leave in its memory. */
static void wild_notes_do_no_harm(void **state)
{
	const Elf64_Nhdr wild[] = {
		{.n_namesz = 11, .n_descsz = UINT32_MAX},
		{.n_namesz = UINT32_MAX, .n_descsz = 100},
		{.n_namesz = 11, .n_descsz = 4096}, /* beyond the end of RAM */
		{.n_namesz = 11, .n_descsz = 11},
	};
	uint8_t page[4096] = {0};
	const uint64_t at[] = {0x1000, 0x2000, LOW - 4096, 0x4000};

	for (unsigned i = 0; i < 4; i++) {
		memcpy(page, &wild[i], sizeof(wild[i]));
		memcpy(page + 12, "VMCOREINFO\0\0OSRELEASE=", 22);
		put(at[i], page, sizeof(page));
	}
	assert_int_equal(vmcore_write(&core, &err), 0);
	for (unsigned i = 0; i < 1000; i++)
		put_info(0x10000 + i * 4096, "\x1b\x1b\x1b", i);
	assert_int_equal(vmcore_write(&core, &err), 0);
	assert_true(core.has_vmcoreinfo);
}

static void a_full_disk_is_one_error_and_no_elf_file(void **state)
{
	struct rlimit limit, old;
	struct stat status;
	uint8_t page[4096];

	memset(page, 'x', sizeof(page));
	for (uint64_t at = 0; at < LOW; at += sizeof(page))
		put(at, page, sizeof(page));
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	limit = old;
	limit.rlim_cur = VMCORE_HEAD + LOW / 2 + 100;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	assert_int_equal(vmcore_write(&core, &err), -EFBIG);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_non_null(strstr(err.text, "the dump, after 2 MiB"));
	assert_non_null(strstr(err.text, "File too large"));
	assert_int_equal(fstat(core.fd, &status), 0);
	assert_int_equal(status.st_size, 0);
	/* The same file can be used again. */
	assert_int_equal(vmcore_write(&core, &err), 0);
	readelf_shows("-h", "CORE (Core file)");
}

static bool cut_at_once(void *opaque)
{
	return true;
}

static void it_can_be_cut_short(void **state)
{
	struct stat status;

	put(0, "x", 1);
	core.cut = cut_at_once;
	assert_int_equal(vmcore_write(&core, &err), -ECANCELED);
	assert_int_equal(fstat(core.fd, &status), 0);
	assert_int_equal(status.st_size, 0);
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(ram_is_where_the_headers_say),
		CASE(a_guest_of_zeros_is_one_hole),
		CASE(registers_are_notes),
		CASE(vmcoreinfo_is_that_of_the_kernel_that_runs),
		CASE(the_kernel_is_where_vmcoreinfo_says),
		CASE(vmcoreinfo_that_cannot_be_confirmed_is_better_than_none),
		CASE(wild_notes_do_no_harm),
		CASE(a_full_disk_is_one_error_and_no_elf_file),
		CASE(it_can_be_cut_short),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
