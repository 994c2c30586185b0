// SPDX-License-Identifier: BSD-2-Clause
/* Words of command lines made for other VMMs, and their effect here. */
#include <stdbool.h>
#include <string.h>

#include "machine/boot.h"
#include "util/log.h"

static const struct {
	const char *word; /* ends in '=': applies to any value */
	const char *hint;
} hints[] = {
	{"pci=off", "the guest sees no disk and no network: all devices here are on PCI"},
	{"pci=nomsi", "the guest gets no interrupt of any disk or network: they have MSI-X alone"},
	{"acpi=off", "the guest sees one CPU and no PCI interrupts: ACPI alone describes this VM"},
	{"noapic", "the guest gets no interrupts: this VM has no other controller than the APICs"},
	{"nolapic", "the guest gets no interrupts: this VM has no other controller than the APICs"},
	{"virtio_mmio.device=", "there is no such device: all devices here are on PCI"},
	{"i8042.nopnp",
	 "the guest looks for a keyboard controller for half a second: there is none"},
};

static bool word_is(const char *word, size_t length, const char *known)
{
	size_t size = strlen(known);

	if (known[size - 1] == '=')
		return length >= size && memcmp(word, known, size) == 0;
	return length == size && memcmp(word, known, size) == 0;
}

static const char *hint_for(const char *word, size_t length)
{
	for (size_t i = 0; i < sizeof(hints) / sizeof(hints[0]); i++)
		if (word_is(word, length, hints[i].word))
			return hints[i].hint;
	return NULL;
}

void boot_hints_log(struct log *log, const char *command_line)
{
	const char *word = command_line + strspn(command_line, " \t\n");

	while (*word) {
		size_t length = strcspn(word, " \t\n");
		const char *hint = hint_for(word, length);

		if (length == 2 && memcmp(word, "--", 2) == 0)
			return; /* the rest is for init */
		if (hint)
			log_warn(log, "kernel command line: %.*s: %s", (int)length, word, hint);
		word += length;
		word += strspn(word, " \t\n");
	}
}
