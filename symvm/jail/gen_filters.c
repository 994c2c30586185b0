// SPDX-License-Identifier: BSD-2-Clause
/*
 * A program for the build: writes jail/filters.c, the filters of jail/rules.c as libseccomp
 * compiles them, to standard output.
 */
#include <errno.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jail/filters.h"
#include "jail/rules.h"

#define CALLS_END 512 /* beyond the last system call of x86-64, with room for new ones */

/* Newer than libseccomp 2.5.4 (Debian 12): arch/x86/entry/syscalls/syscall_64.tbl. */
static const struct {
	int call;
	const char *name;
} new_calls[] = {
	{451, "cachestat"},	    {452, "fchmodat2"},	       {453, "map_shadow_stack"},
	{454, "futex_wake"},	    {455, "futex_wait"},       {456, "futex_requeue"},
	{457, "statmount"},	    {458, "listmount"},	       {459, "lsm_get_self_attr"},
	{460, "lsm_set_self_attr"}, {461, "lsm_list_modules"}, {462, "mseal"},
	{463, "setxattrat"},	    {464, "getxattrat"},       {465, "listxattrat"},
	{466, "removexattrat"},	    {467, "open_tree_attr"},   {468, "file_getattr"},
	{469, "file_setattr"},
};

static bool rule_applies(const struct jail_rule *rule, enum jail_thread kind, unsigned features)
{
	return (rule->threads & (1u << kind)) && (!rule->needs || (rule->needs & features));
}

/* Whether @call is allowed, at least with some arguments: a general refusal is void then. */
static bool is_allowed(int call, enum jail_thread kind, unsigned features)
{
	for (size_t i = 0; i < jail_rule_count; i++)
		if (jail_rules[i].call == call && !jail_rules[i].refusal &&
		    rule_applies(&jail_rules[i], kind, features))
			return true;
	return false;
}

static int add_rules(scmp_filter_ctx filter, enum jail_thread kind, unsigned features)
{
	int status = 0;

	for (size_t i = 0; i < jail_rule_count && status == 0; i++) {
		const struct jail_rule *rule = &jail_rules[i];

		if (!rule_applies(rule, kind, features))
			continue;
		if (rule->refusal && rule->compare_count == 0 &&
		    is_allowed(rule->call, kind, features))
			continue;
		status = seccomp_rule_add_array(
			filter, rule->refusal ? SCMP_ACT_ERRNO(rule->refusal) : SCMP_ACT_ALLOW,
			rule->call, rule->compare_count, rule->compares);
		if (status == -EEXIST)
			status = 0; /* by another feature already */
	}
	return status;
}

/* Writes the program that @in holds, from its start, as an array. The instructions, or -errno. */
static int write_program(FILE *in, unsigned number)
{
	struct sock_filter code;
	int count = 0, own = 0;

	rewind(in);
	printf("static const struct sock_filter filter_%u[] = {\n", number);
	while (fread(&code, sizeof(code), 1, in) == 1) {
		printf("\t{0x%04x, %u, %u, 0x%08x},\n", code.code, code.jt, code.jf, code.k);
		own += code.k == JAIL_OWN_PID;
		count++;
	}
	printf("};\n");
	if (own == 0) {
		fprintf(stderr, "jail: filter %u does not look at the process's id\n", number);
		return -EINVAL;
	}
	return ferror(in) || count == 0 || count > BPF_MAXINSNS ? -EIO : count;
}

static int write_filter(enum jail_thread kind, unsigned features, unsigned number)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
	FILE *file = tmpfile();
	int status = filter && file ? add_rules(filter, kind, features) : -ENOMEM;

	/* A tree instead of a list: the time of a call matters, not the size. */
	if (status == 0)
		status = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (status == 0)
		status = seccomp_export_bpf(filter, fileno(file));
	if (status == 0)
		status = write_program(file, number);
	if (file)
		fclose(file);
	seccomp_release(filter);
	return status;
}

static unsigned features_of(enum jail_thread kind)
{
	unsigned features = 0;

	for (size_t i = 0; i < jail_rule_count; i++)
		if (jail_rules[i].threads & (1u << kind))
			features |= jail_rules[i].needs;
	return features;
}

/* All subsets of the features of @kind, the full set first. */
static int write_filters(enum jail_thread kind, unsigned *number, int *length, unsigned *features)
{
	unsigned all = features_of(kind), subset = all;

	for (;;) {
		int status = write_filter(kind, subset, *number);

		if (status < 0) {
			fprintf(stderr, "jail: cannot compile filter %u of kind %u: %s\n", *number,
				kind, strerror(-status));
			return status;
		}
		length[*number] = status;
		features[(*number)++] = subset;
		if (subset == 0)
			return 0;
		subset = (subset - 1) & all;
	}
}

static void write_names(void)
{
	printf("\nstatic const char *const call_names[] = {\n");
	for (int call = 0; call < CALLS_END; call++) {
		char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_X86_64, call);

		if (name)
			printf("\t[%d] = \"%s\",\n", call, name);
		else
			for (size_t i = 0; i < sizeof(new_calls) / sizeof(new_calls[0]); i++)
				if (new_calls[i].call == call)
					printf("\t[%d] = \"%s\",\n", call, new_calls[i].name);
		free(name);
	}
	printf("};\n\nconst char *jail_call_name(int call)\n{\n"
	       "\tif (call < 0 || (size_t)call >= sizeof(call_names) / sizeof(call_names[0]))\n"
	       "\t\treturn NULL;\n\treturn call_names[call];\n}\n");
}

int main(void)
{
	static int length[JAIL_THREAD_COUNT << JAIL_FEATURE_COUNT];
	static unsigned features[JAIL_THREAD_COUNT << JAIL_FEATURE_COUNT];
	unsigned first[JAIL_THREAD_COUNT + 1] = {0}, number = 0;

	printf("/* Written by jail/gen_filters.c. */\n#include \"jail/filters.h\"\n\n");
	for (unsigned kind = 0; kind < JAIL_THREAD_COUNT; kind++) {
		if (write_filters((enum jail_thread)kind, &number, length, features) < 0)
			return 1;
		first[kind + 1] = number;
	}
	printf("\nconst struct jail_filter jail_filters[] = {\n");
	for (unsigned kind = 0; kind < JAIL_THREAD_COUNT; kind++)
		for (unsigned i = first[kind]; i < first[kind + 1]; i++)
			printf("\t{%u, 0x%x, {%d, (struct sock_filter *)filter_%u}},\n", kind,
			       features[i], length[i], i);
	printf("};\nconst size_t jail_filter_count = %u;\n\n", number);
	printf("const unsigned jail_filter_features[JAIL_THREAD_COUNT] = {");
	for (unsigned kind = 0; kind < JAIL_THREAD_COUNT; kind++)
		printf("0x%x, ", features_of((enum jail_thread)kind));
	printf("};\n");
	write_names();
	return fflush(stdout) == 0 ? 0 : 1;
}
