// SPDX-License-Identifier: BSD-2-Clause
#include "pci.h"

uint32_t pci_read_by_port(unsigned slot, unsigned offset)
{
	out32(0xcf8, 0x80000000u | slot << 11 | offset);
	return in32(0xcfc);
}

int pci_find(uint32_t identity, unsigned nth)
{
	for (unsigned slot = 0; slot < PCI_SLOTS; slot++)
		if (pci_read(slot, 0) == identity && nth-- == 0)
			return (int)slot;
	return -1;
}

unsigned pci_capability(unsigned slot, uint8_t id, unsigned after)
{
	unsigned at = read8(pci_ecam(slot, after ? after + 1 : 0x34));

	for (unsigned steps = 0; at && steps < 48; steps++) {
		if (read8(pci_ecam(slot, at)) == id)
			return at;
		at = read8(pci_ecam(slot, at + 1));
	}
	return 0;
}

uint64_t pci_bar(unsigned slot, unsigned bar)
{
	uint32_t value = pci_read(slot, PCI_BAR(bar));

	return value & 1 ? value & ~3u : value & ~15u;
}
