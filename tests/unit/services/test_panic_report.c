// SPDX-License-Identifier: BSD-2-Clause
/* A report of facts that a hostile guest made up: it is bounded, and each text stays in one row. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "services/panic_report.h"

#define HOSTILE "\x1b]0;title\x07\nowned\r\xff\xe2\x80\xae\\"
#define SAFE	"\\x1b]0;title\\x07\\x0aowned\\x0d\\xff\\u{202e}\\\\"

static struct panic_facts facts;
static struct panic_vcpu vcpus[16];
static char *text;
static size_t length;

static int setup(void **state)
{
	memset(&facts, 0, sizeof(facts));
	memset(vcpus, 0, sizeof(vcpus));
	facts.vm_name = "web1";
	facts.vcpus = vcpus;
	facts.vcpu_count = 1;
	return 0;
}

static int teardown(void **state)
{
	free(text);
	text = NULL;
	return 0;
}

static void make(void)
{
	assert_int_equal(panic_report_make(&facts, "2026-12-01T05:00:00Z", &text, &length), 0);
	for (size_t i = 0; i < length; i++)
		if ((unsigned char)text[i] < ' ' && text[i] != '\n')
			fail_msg("byte %#x at %zu", text[i], i);
	assert_true(length <= PANIC_REPORT_MAX);
}

static void has(const char *words)
{
	if (!memmem(text, length, words, strlen(words)))
		fail_msg("'%s' is not in:\n%.*s", words, (int)length, text);
}

static void the_first_line_has_the_words(void **state)
{
	strcpy(facts.words, "sysrq triggered crash");
	make();
	assert_memory_equal(text, "the guest's kernel panicked: sysrq triggered crash\n", 51);
	has("\nVM           web1\n");
	has("2026-12-01T05:00:00Z");
}

static void nothing_known_is_said(void **state)
{
	strcpy(vcpus[0].why_not, "vCPU 0: the guest has not registered this vCPU");
	vcpus[0].registers_status = -110;
	strcpy(facts.no_log, "no module");
	make();
	assert_memory_equal(text, "the guest's kernel panicked\n", 28);
	has("nothing: no page is registered");
	has("not asked      vCPU 0: the guest has not registered");
	has("registers      not known: Connection timed out");
	has("kernel log: not known: no module");
	has("console, the last 0 bytes");
}

static void every_text_is_escaped(void **state)
{
	struct guest_dmesg_line line = {.level = 2, .start = 0};
	char log[] = HOSTILE;

	strcpy(facts.words, HOSTILE);
	facts.has_spy = vcpus[0].has_spy = vcpus[0].has_task = vcpus[0].has_stack = true;
	memcpy(facts.spy.os, HOSTILE, sizeof(HOSTILE));
	memcpy(vcpus[0].spy.comm, "\x1b[2Jx\n", 7);
	strcpy(vcpus[0].task.comm, "\x1b[3J\ty");
	strcpy(vcpus[0].task.cgroup, HOSTILE);
	strcpy(vcpus[0].stack.text, HOSTILE);
	vcpus[0].stack.count = 1;
	facts.has_log = true;
	facts.log = (struct guest_dmesg){.count = 1, .lines = &line, .text = log};
	strcpy(facts.console, "one\r\n" HOSTILE);
	facts.console_size = strlen(facts.console);
	make();
	has("panicked: " SAFE "\n\nVM");
	has("system         " SAFE "\n");
	has("task           '\\x1b[3J\\x09y', pid");
	has("cgroup '" SAFE "'\n");
	has("SymSpy         '\\x1b[2Jx\\x0a', pid");
	has("\n    " SAFE "\n");
	has("\n  <2>" SAFE "\n");
	has("\n  one\n");
	/* A newline of the console is one. */
	has("\n  \\x1b]0;title\\x07\n  owned\\x0d\\xff\\u{202e}\\\\\n");
}

/* Texts without an end, of bytes that become longest. */
static void all_of_it_has_a_bound(void **state)
{
	static struct guest_dmesg_line lines[GUEST_DMESG_LINES];
	static char log[GUEST_DMESG_TEXT];
	const size_t width = sizeof(log) / GUEST_DMESG_LINES;

	memset(&facts.words, 0x80, sizeof(facts.words));
	memset(&facts.spy, 0xff, sizeof(facts.spy));
	memset(facts.console, '\n', sizeof(facts.console));
	facts.console_size = sizeof(facts.console);
	facts.vcpu_count = 16;
	facts.has_spy = facts.has_log = true;
	for (unsigned i = 0; i < 16; i++) {
		struct panic_vcpu *vcpu = &vcpus[i];

		memset(vcpu, 0xff, sizeof(*vcpu));
		vcpu->registers_status = 0;
		vcpu->has_spy = vcpu->has_task = vcpu->has_stack = true;
		vcpu->registers.halted = vcpu->task.idle = vcpu->task.kernel_thread = true;
		vcpu->stack.count = GUEST_STACK_FRAMES;
		vcpu->stack.text[SYM_MESSAGE_SIZE] = '\0';
		for (unsigned frame = 0; frame < GUEST_STACK_FRAMES; frame++)
			vcpu->stack.start[frame] = 0;
	}
	memset(log, 0x9f, sizeof(log));
	for (unsigned i = 0; i < GUEST_DMESG_LINES; i++) {
		lines[i] = (struct guest_dmesg_line){.level = 7, .start = (uint32_t)(i * width)};
		log[(i + 1) * width - 1] = '\0';
	}
	memcpy(log + sizeof(log) - 5, "last", 5);
	facts.log = (struct guest_dmesg){
		.count = GUEST_DMESG_LINES, .lines = lines, .text = log, .size = sizeof(log)};
	make();
	assert_true(length > 100000);
	has("last\n"); /* the newest line is there */
	has("vCPU 15\n");
}

static void words_are_found_on_a_console(void **state)
{
	static const char console[] = "Kernel panic - not syncing: first\r\n[    1.0] x\n"
				      "[    2.0] Kernel panic - not syncing: VFS: no root\r\nend";
	char words[SYM_PANIC_SIZE], wide[1000];

	assert_true(panic_words_find(console, strlen(console), words));
	assert_string_equal(words, "VFS: no root");
	assert_false(panic_words_find("no words", 8, words));
	assert_false(panic_words_find("", 0, words));
	/* At the end of what is known, and too long. */
	assert_true(panic_words_find("Kernel panic - not syncing: cut", 31, words));
	assert_string_equal(words, "cut");
	assert_false(panic_words_find("Kernel panic - not syncing: ", 28, words));
	memset(wide, 'w', sizeof(wide));
	memcpy(wide, "Kernel panic - not syncing: ", 28);
	assert_true(panic_words_find(wide, sizeof(wide), words));
	assert_int_equal(strlen(words), SYM_PANIC_SIZE - 1);
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(the_first_line_has_the_words), CASE(nothing_known_is_said),
		CASE(every_text_is_escaped),	    CASE(all_of_it_has_a_bound),
		CASE(words_are_found_on_a_console),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
