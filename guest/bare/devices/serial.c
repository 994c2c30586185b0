// SPDX-License-Identifier: BSD-2-Clause
/* 16550A: loopback, FIFO, and the transmitter's interrupt by IOAPIC and local APIC. */
#include "runtime.h"

#define PIN_COM1 4

static void serial(void)
{
	uint8_t iir, received, status;

	check((in8(PORT_COM1 + 5) & 0x60) == 0x60, "the transmitter is empty");
	out8(PORT_COM1 + 7, 0xa5);
	check(in8(PORT_COM1 + 7) == 0xa5, "the scratch register keeps its value");

	out8(PORT_COM1 + 2, 0x07);
	iir = in8(PORT_COM1 + 2);
	out8(PORT_COM1 + 4, 0x10); /* loopback */
	out8(PORT_COM1, 0x5a);
	status = in8(PORT_COM1 + 5);
	received = in8(PORT_COM1);
	for (unsigned i = 0; i < 16; i++)
		out8(PORT_COM1, (uint8_t)(i + 1));
	for (unsigned i = 0; i < 16; i++)
		received = in8(PORT_COM1) == i + 1 ? received : 0;
	out8(PORT_COM1 + 4, 0x03);
	check((iir & 0xc0) == 0xc0, "the FIFO is on, IIR 0x%x", iir);
	check(status & 1, "data is ready in loopback");
	check(received == 0x5a, "17 bytes came back in loopback");

	apic_enable();
	ioapic_route(PIN_COM1, VECTOR_IRQ + PIN_COM1, false);
	out8(PORT_COM1 + 4, 0x0b); /* OUT2 lets the interrupt out */
	out8(PORT_COM1 + 1, 0x02); /* transmitter empty */
	interrupt_wait(VECTOR_IRQ + PIN_COM1, 1);
	iir = in8(PORT_COM1 + 2);
	out8(PORT_COM1 + 1, 0);
	check(interrupt_counts[VECTOR_IRQ + PIN_COM1] >= 1, "the transmitter's interrupt came");
	check((iir & 0x0f) == 0x02, "IIR told why: 0x%x", iir);
	check((in8(PORT_COM1 + 2) & 1) == 1, "nothing is pending afterwards");
}
TEST("serial", serial);
