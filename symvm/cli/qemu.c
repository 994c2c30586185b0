// SPDX-License-Identifier: BSD-2-Clause
/*
 * `symvm qemu [--name NAME] -- PROGRAM ARGUMENT...`: starts an unmodified QEMU, or another VMM,
 * with libsymcall-preload.so.0 in front of the C library. The command becomes that program (exec).
 * What cannot work is refused here, since the dynamic linker ignores LD_PRELOAD without a word.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "cli/command.h"
#include "control/state_dir.h"

#define LIBRARY	      "libsymcall-preload.so.0"
#define NAME_VARIABLE "SYMVM_PRELOAD_NAME"
#define PATH_SIZE     4096u
#define SEGMENTS_MAX  64u

struct qemu_input {
	const char *name; /* NULL: the library chooses one */
};

static int take_name(void *input, const struct argument *argument, const char *value,
		     struct error *err)
{
	struct qemu_input *qemu = input;

	qemu->name = value;
	return state_name_check(value, err);
}

static const struct argument qemu_options[] = {
	{.name = "name",
	 .type = ARGUMENT_CUSTOM,
	 .metavar = "NAME",
	 .help = "The VM's name for 'symvm list' and others (default: vm-PID)",
	 .take = take_name},
	{0},
};

static const struct arguments qemu_arguments = {
	.about = "Start an unmodified QEMU so that 'symvm ps' and others can ask its guest: symvm "
		 "qemu [--name NAME] -- qemu-system-x86_64 -accel kvm ... It needs the guest's "
		 "module symbiotic.ko. Experimental.",
	.options = qemu_options,
};

/* Whether an argument of QEMU names the accelerator, alone or as one of several. */
static bool names_kvm(const char *argument)
{
	return strcmp(argument, "-enable-kvm") == 0 || strcmp(argument, "--enable-kvm") == 0 ||
	       strcmp(argument, "kvm") == 0 || strncmp(argument, "kvm,", 4) == 0 ||
	       strncmp(argument, "kvm:", 4) == 0 || strstr(argument, "accel=kvm") ||
	       strstr(argument, "type=kvm");
}

static bool is_qemu(const char *program)
{
	const char *base = strrchr(program, '/');

	return strncmp(base ? base + 1 : program, "qemu", 4) == 0 ||
	       strncmp(base ? base + 1 : program, "kvm", 3) == 0;
}

/* QEMU's own choice without an option is TCG, unless it is called `kvm`. */
static int check_words(char **words, struct error *err)
{
	static const char *const encrypted[] = {"sev-guest", "sev-snp-guest", "tdx-guest"};
	const char *base = strrchr(words[0], '/');
	bool kvm = strcmp(base ? base + 1 : words[0], "kvm") == 0;

	for (char **word = words + 1; *word; word++) {
		kvm = kvm || names_kvm(*word);
		for (size_t i = 0; i < sizeof(encrypted) / sizeof(encrypted[0]); i++)
			if (strncmp(*word, encrypted[i], strlen(encrypted[i])) == 0)
				return error_set(err, -EINVAL,
						 "%s: calls cannot enter a guest whose memory or "
						 "registers are encrypted",
						 *word);
	}
	if (!kvm && is_qemu(words[0]))
		return error_set(err, -EINVAL,
				 "%s: QEMU emulates (TCG) without '-accel kvm', and calls need KVM",
				 words[0]);
	return 0;
}

/* Whether the ELF program has a dynamic linker, which loads libraries: 1, 0, or -errno with words.
 */
static int is_dynamic(int fd, const char *path, struct error *err)
{
	Elf64_Phdr segment;
	Elf64_Ehdr head;

	if (pread(fd, &head, sizeof(head), 0) != sizeof(head) ||
	    memcmp(head.e_ident, ELFMAG, SELFMAG) != 0)
		return error_set(err, -ENOEXEC,
				 "'%s' is not an ELF program (a script? name the program itself)",
				 path);
	if (head.e_ident[EI_CLASS] != ELFCLASS64 || head.e_machine != EM_X86_64)
		return error_set(err, -ENOEXEC, "'%s' is not a program for x86-64", path);
	for (unsigned i = 0; i < head.e_phnum && i < SEGMENTS_MAX; i++) {
		off_t offset = (off_t)(head.e_phoff + (uint64_t)i * sizeof(segment));

		if (pread(fd, &segment, sizeof(segment), offset) != sizeof(segment))
			break;
		if (segment.p_type == PT_INTERP)
			return 1;
	}
	return 0;
}

static int check_open_program(int fd, const char *path, struct error *err)
{
	struct stat status;
	int dynamic;

	if (fstat(fd, &status) < 0)
		return error_set_errno(err, -errno, "cannot look at '%s'", path);
	if (status.st_mode & (S_ISUID | S_ISGID) ||
	    fgetxattr(fd, "security.capability", NULL, 0) > 0)
		return error_set(err, -EPERM,
				 "'%s' is setuid, setgid or has capabilities: the dynamic linker "
				 "ignores LD_PRELOAD there",
				 path);
	dynamic = is_dynamic(fd, path, err);
	if (dynamic == 0)
		return error_set(err, -EINVAL,
				 "'%s' is linked statically, so no library can be put in front",
				 path);
	return dynamic < 0 ? dynamic : 0;
}

/* Finds @program as execvp(3) does. 0 and its path; -ENOENT with words. */
static int find_program(const char *program, char path[PATH_SIZE], struct error *err)
{
	const char *dirs = getenv("PATH");

	if (strchr(program, '/')) {
		snprintf(path, PATH_SIZE, "%s", program);
		return 0;
	}
	for (const char *dir = dirs ? dirs : "/usr/bin:/bin"; *dir; dir += *dir == ':') {
		size_t length = strcspn(dir, ":");

		snprintf(path, PATH_SIZE, "%.*s/%s", (int)length, dir, program);
		if (length && access(path, X_OK) == 0)
			return 0;
		dir += length;
		if (!*dir)
			break;
	}
	return error_set(err, -ENOENT, "no program '%s' in $PATH", program);
}

static int check_program(const char *path, struct error *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), status;

	if (fd < 0)
		return error_set_errno(err, -errno, "cannot open '%s'", path);
	status = check_open_program(fd, path, err);
	close(fd);
	return status;
}

/* The library next to this symvm: in its build tree, or as installed. */
static int find_library(char path[PATH_SIZE], struct error *err)
{
	static const char *const places[] = {"../preload", "../lib/x86_64-linux-gnu", "../lib"};
	char self[PATH_SIZE - 64], whole[PATH_SIZE];
	ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);

	self[length > 0 ? length : 0] = '\0';
	if (strrchr(self, '/'))
		*strrchr(self, '/') = '\0';
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		snprintf(whole, sizeof(whole), "%s/%s/" LIBRARY, self, places[i]);
		if (realpath(whole, path) && !strpbrk(path, " :"))
			return 0;
	}
	return error_set(err, -ENOENT,
			 "no " LIBRARY " next to '%s' (a blank or a colon in its path?)", self);
}

/* The library is named by its soname's link, not by the file behind it: it finds itself by that. */
static int set_environment(const struct qemu_input *input, struct error *err)
{
	const char *others = getenv("LD_PRELOAD");
	char library[PATH_SIZE], value[2 * PATH_SIZE];
	int status = find_library(library, err);

	if (status < 0)
		return status;
	if (others && strlen(others) >= PATH_SIZE)
		return error_set(err, -E2BIG, "$LD_PRELOAD is too long");
	*strrchr(library, '/') = '\0';
	snprintf(value, sizeof(value), "%s/" LIBRARY "%s%s", library, others && *others ? ":" : "",
		 others ? others : "");
	if (setenv("LD_PRELOAD", value, 1) < 0 ||
	    (input->name && setenv(NAME_VARIABLE, input->name, 1) < 0))
		return error_set(err, -ENOMEM, "out of memory");
	return 0;
}

static int qemu_exec(const struct qemu_input *input, char **words)
{
	char path[PATH_SIZE];
	struct error err;

	if (check_words(words, &err) < 0 || find_program(words[0], path, &err) < 0 ||
	    check_program(path, &err) < 0 || set_environment(input, &err) < 0) {
		command_error("qemu: %s", err.text);
		return COMMAND_FAILURE;
	}
	execv(path, words);
	command_error("qemu: cannot start '%s': %s", path, strerror(errno));
	return COMMAND_FAILURE;
}

static int qemu_run(int argc, char **argv)
{
	struct qemu_input input = {NULL};
	struct error err;
	int own = 1, status;

	while (own < argc && strcmp(argv[own], "--") != 0)
		own++;
	status = arguments_parse(&qemu_arguments, own, argv, &input, NULL, &err);
	if (status > 0)
		return COMMAND_SUCCESS;
	if (status == 0 && own + 1 >= argc)
		status = error_set(&err, -EINVAL, "qemu: expected '-- PROGRAM ARGUMENT...'");
	if (status < 0) {
		command_error("%s", err.text);
		return COMMAND_USAGE;
	}
	return qemu_exec(&input, argv + own + 1);
}

static const struct command qemu_command = {
	.name = "qemu",
	.summary = "Start an unmodified QEMU whose guest can be asked (experimental)",
	.run_unparsed = qemu_run,
};
COMMAND(qemu_command);
