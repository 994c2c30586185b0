/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The addresses of the machine's windows, for the loader's memory map, the ACPI tables (which
 * repeat the numbers: machine/acpi/) and the devices behind them. docs/design/architecture.md has
 * the whole map.
 */
#ifndef SYMVM_MACHINE_ADDRESS_MAP_H
#define SYMVM_MACHINE_ADDRESS_MAP_H

#define PCI_ECAM_BASE 0xe0000000ull
#define PCI_ECAM_SIZE 0x00100000ull
#define PCI_MMIO_BASE 0xc0000000ull /* window for BARs, up to PCI_ECAM_BASE */
#define PCI_MMIO_END  0xe0000000ull
#define PCI_PIO_BASE  0xc000u
#define PCI_PIO_END   0x10000u

#endif
