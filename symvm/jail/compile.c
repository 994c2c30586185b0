// SPDX-License-Identifier: BSD-2-Clause
/*
 * A program for the build: writes jail/filters.c, the filters of jail/rules.c as libseccomp
 * compiles them, to standard output.
 */
#include <errno.h>
#include <seccomp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jail/filters.h"
#include "jail/rules.h"

static int add_rules(scmp_filter_ctx filter, enum jail_thread kind)
{
	int status = 0;

	for (size_t i = 0; i < jail_rule_count && status == 0; i++) {
		const struct jail_rule *rule = &jail_rules[i];

		if (rule->threads & (1u << kind))
			status = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, rule->call,
							rule->compare_count, &rule->compare);
	}
	/*
	 * glibc's free() opens /proc/sys/vm/overcommit_memory, once, when the heap of a thread
	 * shrinks (check_may_shrink_heap), and takes a failure well. The I/O threads may open for
	 * reading anyway; there landlock refuses it.
	 */
	if (status == 0 && kind != JAIL_THREAD_IO)
		status = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EACCES), SCMP_SYS(openat), 0);
	return status;
}

/* Writes the program that @in holds, from its start, as an array. The instructions, or -errno. */
static int write_program(FILE *in, unsigned kind)
{
	struct sock_filter code;
	int count = 0;

	rewind(in);
	printf("static const struct sock_filter filter_%u[] = {\n", kind);
	while (fread(&code, sizeof(code), 1, in) == 1) {
		printf("\t{0x%04x, %u, %u, 0x%08x},\n", code.code, code.jt, code.jf, code.k);
		count++;
	}
	printf("};\n");
	return ferror(in) || count == 0 || count > BPF_MAXINSNS ? -EIO : count;
}

static int write_filter(enum jail_thread kind)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
	FILE *file = tmpfile();
	int status = filter && file ? add_rules(filter, kind) : -ENOMEM;

	if (status == 0)
		status = seccomp_export_bpf(filter, fileno(file));
	if (status == 0)
		status = write_program(file, kind);
	if (file)
		fclose(file);
	seccomp_release(filter);
	return status;
}

int main(void)
{
	int length[JAIL_THREAD_COUNT];

	printf("/* Written by jail/compile.c. */\n#include \"jail/filters.h\"\n\n");
	for (unsigned kind = 0; kind < JAIL_THREAD_COUNT; kind++) {
		length[kind] = write_filter((enum jail_thread)kind);
		if (length[kind] < 0) {
			fprintf(stderr, "jail: cannot compile filter %u: %s\n", kind,
				strerror(-length[kind]));
			return 1;
		}
	}
	printf("\nconst struct sock_fprog jail_filters[JAIL_THREAD_COUNT] = {\n");
	for (unsigned kind = 0; kind < JAIL_THREAD_COUNT; kind++)
		printf("\t{%d, (struct sock_filter *)filter_%u},\n", length[kind], kind);
	printf("};\n");
	return fflush(stdout) == 0 ? 0 : 1;
}
