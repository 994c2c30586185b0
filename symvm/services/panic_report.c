// SPDX-License-Identifier: BSD-2-Clause
/*
 * Each part has a bound of its own, so that a hostile guest cannot fill the report with one of them
 * and push the others out: a byte of the guest becomes at most four bytes here.
 */
#include "services/panic_report.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "machine/vcpu.h"
#include "services/guest.h"
#include "util/text.h"

#define COLUMNS	    240u /* of one line of the guest */
#define STACK_LINES 64u
#define LOG_BYTES   (160u << 10) /* of the kernel's log, escaped */

/* The first @length bytes of the guest's @text. */
static void put_text(FILE *out, const char *text, size_t length)
{
	char safe[4 * COLUMNS + 16];

	text_escape(safe, sizeof(safe), text, length, COLUMNS, 0);
	fputs(safe, out);
}

static void put_string(FILE *out, const void *text, size_t size)
{
	put_text(out, text, strnlen(text, size));
}

static void put_head(FILE *out, const struct panic_facts *facts, const char *time)
{
	fputs("the guest's kernel panicked", out);
	if (facts->words[0]) {
		fputs(": ", out);
		put_string(out, facts->words, sizeof(facts->words));
	}
	fprintf(out, "\n\nVM           %s\ntime         %s\nup           %.1f s\n",
		facts->vm_name ? facts->vm_name : "?", time, facts->uptime);
	if (!facts->words[0])
		fputs("words        not known: the guest has no module, and nothing is on its "
		      "console\n",
		      out);
	else if (facts->words_from_console)
		fputs("words        from its console, on which any program may write\n", out);
}

static void put_spy(FILE *out, const struct panic_facts *facts)
{
	const struct sym_spy_vm_guest *spy = &facts->spy;

	fputs("\nSymSpy (what the guest published)\n", out);
	if (!facts->has_spy) {
		fputs("  nothing: no page is registered\n", out);
		return;
	}
	fputs("  system         ", out);
	put_string(out, spy->os, sizeof(spy->os));
	fprintf(out,
		"\n  state          %s\n  CPUs online    %" PRIu32
		"\n  memory         total %" PRIu64 ", free %" PRIu64 ", available %" PRIu64
		" bytes\n  swap           total %" PRIu64 ", free %" PRIu64
		" bytes\n  updated        %.3f s after its boot\n",
		guest_boot_state_name(spy->boot_state), spy->cpus_online, (uint64_t)spy->mem_total,
		(uint64_t)spy->mem_free, (uint64_t)spy->mem_available, (uint64_t)spy->swap_total,
		(uint64_t)spy->swap_free, (double)spy->updated_ns / 1e9);
}

static void put_registers(FILE *out, const struct panic_vcpu *vcpu)
{
	const struct kvm_regs *regs = &vcpu->registers.regs;
	const struct kvm_sregs *sregs = &vcpu->registers.sregs;

	if (vcpu->registers_status < 0) {
		fprintf(out, "  registers      not known: %s\n", strerror(-vcpu->registers_status));
		return;
	}
	fprintf(out, "  state          %s, CPL %u%s\n", vcpu->registers.halted ? "halted" : "runs",
		sregs->ss.dpl, regs->rflags & 0x200 ? "" : ", interrupts off");
	fprintf(out, "  rip %016llx rsp %016llx rbp %016llx rflags %08llx\n",
		(unsigned long long)regs->rip, (unsigned long long)regs->rsp,
		(unsigned long long)regs->rbp, (unsigned long long)regs->rflags);
	fprintf(out, "  rax %016llx rbx %016llx rcx %016llx rdx %016llx\n",
		(unsigned long long)regs->rax, (unsigned long long)regs->rbx,
		(unsigned long long)regs->rcx, (unsigned long long)regs->rdx);
	fprintf(out, "  rsi %016llx rdi %016llx r8  %016llx r9  %016llx\n",
		(unsigned long long)regs->rsi, (unsigned long long)regs->rdi,
		(unsigned long long)regs->r8, (unsigned long long)regs->r9);
	fprintf(out, "  r10 %016llx r11 %016llx r12 %016llx r13 %016llx\n",
		(unsigned long long)regs->r10, (unsigned long long)regs->r11,
		(unsigned long long)regs->r12, (unsigned long long)regs->r13);
	fprintf(out, "  r14 %016llx r15 %016llx cr2 %016llx cr3 %016llx\n",
		(unsigned long long)regs->r14, (unsigned long long)regs->r15,
		(unsigned long long)sregs->cr2, (unsigned long long)sregs->cr3);
}

static void put_exits(FILE *out, const struct panic_vcpu *vcpu)
{
	const char *name = vcpu_exit_name(vcpu->last_exit);

	fprintf(out, "  exits          %" PRIu64, vcpu->exits);
	if (vcpu->exits)
		fprintf(out, ", the last one: %s", name ? name : "?");
	if (vcpu->exits && (vcpu->last_exit == KVM_EXIT_IO || vcpu->last_exit == KVM_EXIT_MMIO))
		fprintf(out, " at 0x%" PRIx64, vcpu->last_address);
	fputc('\n', out);
}

static void put_task(FILE *out, const struct panic_vcpu *vcpu)
{
	const struct guest_whoami *task = &vcpu->task;

	if (vcpu->has_task) {
		fputs("  task           '", out);
		put_string(out, task->comm, sizeof(task->comm));
		fprintf(out, "', pid %" PRIu32 ", thread %" PRIu32 ", uid %" PRIu32 "%s, cgroup '",
			task->tgid, task->pid, task->uid,
			task->idle	      ? ", idle"
			: task->kernel_thread ? ", a kernel thread"
					      : "");
		put_string(out, task->cgroup, sizeof(task->cgroup));
		fputs("'\n", out);
	}
	if (vcpu->has_spy) {
		fputs("  SymSpy         '", out);
		put_string(out, vcpu->spy.comm, sizeof(vcpu->spy.comm));
		fprintf(out, "', pid %" PRIu32 ", thread %" PRIu32 ", %" PRIu64 " switches\n",
			vcpu->spy.tgid, vcpu->spy.pid, (uint64_t)vcpu->spy.switches);
	}
}

static void put_stack(FILE *out, const struct panic_vcpu *vcpu)
{
	unsigned count = vcpu->stack.count;

	if (vcpu->why_not[0]) {
		fputs(vcpu->has_task ? "  stack          not known: " : "  not asked      ", out);
		put_string(out, vcpu->why_not, sizeof(vcpu->why_not));
		fputc('\n', out);
	}
	if (!vcpu->has_stack)
		return;
	fputs(count ? "  stack\n" : "  stack          in user mode\n", out);
	for (unsigned i = 0; i < count && i < STACK_LINES; i++) {
		const char *frame = guest_stack_frame(&vcpu->stack, i);

		fputs("    ", out);
		put_text(out, frame, strlen(frame));
		fputc('\n', out);
	}
}

static size_t line_bound(const char *text)
{
	size_t length = strlen(text);

	return 4 * (length < COLUMNS ? length : COLUMNS) + 8;
}

static void put_log(FILE *out, const struct panic_facts *facts)
{
	const struct guest_dmesg *log = &facts->log;
	size_t first = log->count, bytes = 0;

	if (!facts->has_log) {
		fputs("\nkernel log: not known: ", out);
		put_string(out, facts->no_log, sizeof(facts->no_log));
		fputc('\n', out);
		return;
	}
	while (first > 0 && bytes + line_bound(guest_dmesg_text(log, first - 1)) <= LOG_BYTES)
		bytes += line_bound(guest_dmesg_text(log, --first));
	fprintf(out, "\nkernel log, the last %zu lines\n", log->count - first);
	for (size_t i = first; i < log->count; i++) {
		const char *text = guest_dmesg_text(log, i);

		fprintf(out, "  <%u>", log->lines[i].level);
		put_text(out, text, strlen(text));
		fputc('\n', out);
	}
}

static void put_console(FILE *out, const struct panic_facts *facts)
{
	const char *at = facts->console, *end = at + facts->console_size;

	fprintf(out, "\nconsole, the last %zu bytes\n", facts->console_size);
	while (at < end) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));
		const char *line_end = newline ? newline : end;
		size_t length = (size_t)(line_end - at);

		while (length && at[length - 1] == '\r')
			length--;
		fputs("  ", out);
		put_text(out, at, length);
		fputc('\n', out);
		at = newline ? newline + 1 : end;
	}
}

int panic_report_make(const struct panic_facts *facts, const char *time, char **text,
		      size_t *length)
{
	FILE *out = open_memstream(text, length);

	if (!out)
		return -ENOMEM;
	put_head(out, facts, time);
	put_spy(out, facts);
	for (unsigned i = 0; i < facts->vcpu_count; i++) {
		fprintf(out, "\nvCPU %u\n", i);
		put_task(out, &facts->vcpus[i]);
		put_exits(out, &facts->vcpus[i]);
		put_registers(out, &facts->vcpus[i]);
		put_stack(out, &facts->vcpus[i]);
	}
	put_log(out, facts);
	put_console(out, facts);
	if (fclose(out)) {
		free(*text);
		*text = NULL;
		return -ENOMEM;
	}
	if (*length > PANIC_REPORT_MAX)
		*length = PANIC_REPORT_MAX;
	return 0;
}
