// SPDX-License-Identifier: BSD-2-Clause
/*
 * Early word on a kernel file that can't boot, so that a wrong name costs the user no VM. The
 * loader (machine/) checks again what it uses. Offsets: Documentation/arch/x86/boot.rst.
 */
#include "commands/kernel_check.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BZIMAGE_SETUP_SECTS    0x1f1
#define BZIMAGE_SYSSIZE        0x1f4
#define BZIMAGE_BOOT_FLAG      0x1fe
#define BZIMAGE_HEADER         0x202
#define BZIMAGE_VERSION        0x206
#define BZIMAGE_XLOADFLAGS     0x236
#define BZIMAGE_HEADER_END     0x238
#define BZIMAGE_VERSION_64     0x020c
#define BZIMAGE_XLF_KERNEL_64  0x1
#define ARM64_IMAGE_MAGIC      0x38
#define KERNEL_HEAD            4096

struct head {
	uint8_t data[KERNEL_HEAD];
	size_t length;
};

int file_open_checked(const char *option, const char *path, uint64_t *size, struct error *err)
{
	struct stat status;
	int fd, code;

	/* Not blocking: a FIFO of that name must not hang us. */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return error_set_errno(err, -errno, "--%s: cannot open '%s'", option, path);
	if (fstat(fd, &status) < 0)
		code = error_set_errno(err, -errno, "--%s: cannot stat '%s'", option, path);
	else if (S_ISDIR(status.st_mode))
		code = error_set(err, -EISDIR, "--%s: '%s' is a directory", option, path);
	else if (!S_ISREG(status.st_mode))
		code = error_set(err, -EINVAL, "--%s: '%s' is not a regular file", option, path);
	else if (status.st_size == 0)
		code = error_set(err, -EINVAL, "--%s: '%s' is empty", option, path);
	else {
		*size = (uint64_t)status.st_size;
		return fd;
	}
	close(fd);
	return code;
}

static uint16_t get_u16(const struct head *head, size_t offset)
{
	return (uint16_t)(head->data[offset] | head->data[offset + 1] << 8);
}

static uint32_t get_u32(const struct head *head, size_t offset)
{
	return get_u16(head, offset) | (uint32_t)get_u16(head, offset + 2) << 16;
}

static int truncated(const char *path, uint64_t size, uint64_t needed, struct error *err)
{
	return error_set(err, -EINVAL,
			 "--kernel: '%s' is truncated: %llu bytes of at least %llu", path,
			 (unsigned long long)size, (unsigned long long)needed);
}

static int check_bzimage(const char *path, const struct head *head, uint64_t size,
			 struct error *err)
{
	unsigned sectors = head->data[BZIMAGE_SETUP_SECTS];
	uint64_t needed;

	if (sectors == 0)
		sectors = 4;
	needed = (sectors + 1) * 512ull + get_u32(head, BZIMAGE_SYSSIZE) * 16ull;
	if (get_u16(head, BZIMAGE_VERSION) < BZIMAGE_VERSION_64 ||
	    !(get_u16(head, BZIMAGE_XLOADFLAGS) & BZIMAGE_XLF_KERNEL_64))
		return error_set(err, -EINVAL,
				 "--kernel: '%s' is of a wrong architecture: no 64-bit x86 entry "
				 "point",
				 path);
	return size < needed ? truncated(path, size, needed, err) : 0;
}

static int check_elf(const char *path, int fd, const struct head *head, uint64_t size,
		     struct error *err)
{
	Elf64_Ehdr header;
	Elf64_Phdr segment;

	if (head->data[EI_CLASS] != ELFCLASS64 || head->data[EI_DATA] != ELFDATA2LSB ||
	    get_u16(head, offsetof(Elf64_Ehdr, e_machine)) != EM_X86_64)
		return error_set(err, -EINVAL,
				 "--kernel: '%s' is of a wrong architecture: an ELF file, but not "
				 "x86-64",
				 path);
	if (head->length < sizeof(header))
		return truncated(path, size, sizeof(header), err);
	memcpy(&header, head->data, sizeof(header));
	if (header.e_phnum == 0 || header.e_phentsize != sizeof(segment))
		return error_set(err, -EINVAL, "--kernel: '%s' has no program headers", path);
	for (unsigned i = 0; i < header.e_phnum; i++) {
		uint64_t offset;

		if (__builtin_add_overflow(header.e_phoff, i * sizeof(segment), &offset) ||
		    offset > INT64_MAX - sizeof(segment) ||
		    pread(fd, &segment, sizeof(segment), (off_t)offset) != sizeof(segment))
			return truncated(path, size, header.e_phoff + (i + 1) * sizeof(segment),
					 err);
		if (segment.p_type == PT_LOAD &&
		    (segment.p_filesz > size || segment.p_offset > size - segment.p_filesz))
			return truncated(path, size, segment.p_offset + segment.p_filesz, err);
	}
	return 0;
}

static int check_head(const char *path, int fd, const struct head *head, uint64_t size,
		      struct error *err)
{
	if (head->length >= EI_NIDENT + 4 && memcmp(head->data, ELFMAG, SELFMAG) == 0)
		return check_elf(path, fd, head, size, err);
	if (head->length >= BZIMAGE_HEADER_END && get_u16(head, BZIMAGE_BOOT_FLAG) == 0xaa55 &&
	    memcmp(head->data + BZIMAGE_HEADER, "HdrS", 4) == 0)
		return check_bzimage(path, head, size, err);
	if (head->length >= ARM64_IMAGE_MAGIC + 4 &&
	    memcmp(head->data + ARM64_IMAGE_MAGIC, "ARM\x64", 4) == 0)
		return error_set(err, -EINVAL,
				 "--kernel: '%s' is of a wrong architecture: an arm64 kernel", path);
	return error_set(err, -EINVAL, "--kernel: '%s' is neither a bzImage nor an ELF file", path);
}

int kernel_check(const char *path, struct error *err)
{
	struct head head = {.length = 0};
	uint64_t size;
	ssize_t got;
	int fd, status;

	fd = file_open_checked("kernel", path, &size, err);
	if (fd < 0)
		return fd;
	got = pread(fd, head.data, sizeof(head.data), 0);
	if (got < 0) {
		status = error_set_errno(err, -errno, "--kernel: cannot read '%s'", path);
	} else {
		head.length = (size_t)got;
		status = check_head(path, fd, &head, size, err);
	}
	close(fd);
	return status;
}
