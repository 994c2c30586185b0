/* SPDX-License-Identifier: BSD-2-Clause */
/* Config space by both ways, and the offsets in it (PCI Local Bus 3.0, 6). */
#ifndef GUEST_BARE_PCI_H
#define GUEST_BARE_PCI_H

#include "runtime.h"

#define PCI_ECAM	   0xe0000000ull
#define PCI_SLOTS	   32
#define PCI_COMMAND	   0x04
#define PCI_BAR(n)	   (0x10 + 4 * (n))
#define PCI_CAP_MSIX	   0x11
#define PCI_CAP_OWN	   0x09
#define PCI_NOTHING	   0xffffffffu
#define PCI_COMMAND_IO	   1u
#define PCI_COMMAND_MEMORY 2u
#define PCI_COMMAND_MASTER 4u

static inline uint64_t pci_ecam(unsigned slot, unsigned offset)
{
	return PCI_ECAM + slot * 0x8000ull + offset;
}
static inline uint32_t pci_read(unsigned slot, unsigned offset)
{
	return read32(pci_ecam(slot, offset));
}
static inline void pci_write(unsigned slot, unsigned offset, uint32_t value)
{
	write32(pci_ecam(slot, offset), value);
}
uint32_t pci_read_by_port(unsigned slot, unsigned offset);

/* Slot of the @nth function with this identity (device << 16 | vendor); -1: none. */
int pci_find(uint32_t identity, unsigned nth);
/* Offset of the capability after @after (0: the first) with this id; 0: none. */
unsigned pci_capability(unsigned slot, uint8_t id, unsigned after);
/* Address of a BAR, without its flags. */
uint64_t pci_bar(unsigned slot, unsigned bar);

#endif
