// SPDX-License-Identifier: BSD-2-Clause
#include "stand_ins.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { DATA, IER, IIR, LCR, MCR, LSR, MSR, SCR };
#define FCR IIR

static char socket_path[64];

static int setup(void **state)
{
	char spec[80];

	snprintf(socket_path, sizeof(socket_path), "/tmp/test_serial.%d", getpid());
	snprintf(spec, sizeof(spec), "socket:%s", socket_path);
	machine_create("console", spec);
	machine_run_loop();
	return 0;
}

static int teardown(void **state)
{
	machine_stop_loop();
	machine_destroy();
	return access(socket_path, F_OK) == 0; /* it must be gone */
}

static int attach(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	strcpy(address.sun_path, socket_path);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static void await_line(bool level)
{
	for (unsigned i = 0; i < 2000 && machine.line != level; i++)
		usleep(1000);
	assert_int_equal(machine.line, level);
}

static void await_data(void)
{
	for (unsigned i = 0; i < 2000 && !(port_read(LSR) & 1); i++)
		usleep(1000);
	assert_true(port_read(LSR) & 1);
}

/* The steps by which Linux's 8250 driver tells a 16550A. */
static void is_detected_as_16550a(void **state)
{
	port_write(IER, 0x0f);
	assert_int_equal(port_read(IER) & 0x0f, 0x0f);
	port_write(IER, 0);
	assert_int_equal(port_read(IER) & 0x0f, 0);
	port_write(MCR, 0x1a); /* loopback, OUT2, RTS */
	assert_int_equal(port_read(MSR) & 0xf0, 0x90);
	port_write(MCR, 0);
	port_write(LCR, 0xbf);
	port_write(IIR, 0);
	port_write(LCR, 0);
	port_write(FCR, 1);
	assert_int_equal(port_read(IIR) >> 6, 3);
	port_write(FCR, 0);
	assert_int_equal(port_read(IIR) >> 6, 0);
	port_write(SCR, 0xa5);
	assert_int_equal(port_read(SCR), 0xa5);
	port_write(LCR, 0x80);
	port_write(0, 0x0c);
	port_write(1, 0x03);
	assert_int_equal(port_read(0), 0x0c);
	assert_int_equal(port_read(1), 0x03);
	port_write(LCR, 3);
	assert_int_equal(port_read(IER), 0);
}

static void loopback_returns_what_was_sent(void **state)
{
	port_write(FCR, 1);
	port_write(MCR, 0x10);
	for (unsigned i = 0; i < 16; i++)
		port_write(DATA, (uint8_t)i);
	assert_int_equal(port_read(LSR) & 3, 1);
	port_write(DATA, 99); /* one too many */
	assert_int_equal(port_read(LSR) & 3, 3);
	assert_int_equal(port_read(LSR) & 3, 1);
	for (unsigned i = 0; i < 16; i++)
		assert_int_equal(port_read(DATA), i);
	assert_int_equal(port_read(LSR) & 1, 0);
	port_write(DATA, 1);
	port_write(FCR, 3);
	assert_int_equal(port_read(LSR) & 1, 0);
}

static void modem_changes_are_told(void **state)
{
	port_write(MCR, 0x10);
	port_read(MSR);
	assert_int_equal(port_read(MSR), 0);
	port_write(MCR, 0x12);
	assert_int_equal(port_read(MSR), 0x11); /* CTS and its change */
	assert_int_equal(port_read(MSR), 0x10);
	port_write(MCR, 0x16);
	assert_int_equal(port_read(MSR), 0x50); /* RI's rise does not count as a change */
	port_write(MCR, 0x12);
	assert_int_equal(port_read(MSR), 0x14);
}

static void transmitter_interrupts(void **state)
{
	unsigned raised = machine.raised;

	port_write(IER, 2);
	assert_false(machine.line); /* OUT2 is off */
	port_write(MCR, 8);
	assert_true(machine.line);
	assert_int_equal(machine.gsi, IRQ_GSI_SERIAL);
	assert_int_equal(port_read(IIR) & 15, 2);
	assert_false(machine.line); /* reading IIR took it */
	assert_int_equal(port_read(IIR) & 15, 1);
	raised = machine.raised;
	port_write(DATA, 'a');
	assert_true(machine.line);
	port_write(DATA, 'b'); /* pending still: a new edge must come */
	assert_int_equal(machine.raised, raised + 2);
	assert_int_equal(port_read(IIR) & 15, 2);
	port_write(IER, 0);
	port_write(IER, 2); /* enabling it while empty raises it */
	assert_true(machine.line);
	port_write(IER, 0);
	assert_false(machine.line);
}

static void input_waits_for_the_driver(void **state)
{
	int fd = attach();
	char text[5] = {0};

	port_write(MCR, 0); /* the driver's probe */
	assert_int_equal(write(fd, "early", 5), 5);
	usleep(20000);
	port_write(FCR, 1);
	port_write(FCR, 7);
	port_write(FCR, 1);
	assert_int_equal(port_read(LSR) & 1, 0);
	assert_int_equal(port_read(DATA), 0);
	port_write(IER, 1);
	port_write(MCR, 0x0b);
	await_line(true);
	assert_int_equal(port_read(IIR) & 15, 4);
	for (unsigned i = 0; i < 5; i++) {
		assert_int_equal(port_read(LSR) & 1, 1);
		text[i] = (char)port_read(DATA);
	}
	assert_memory_equal(text, "early", 5);
	assert_int_equal(port_read(LSR) & 1, 0);
	assert_false(machine.line);
	port_write(FCR, 0xc1); /* trigger level 14 */
	assert_int_equal(write(fd, "x", 1), 1);
	await_line(true);
	assert_int_equal(port_read(IIR) & 15, 12);
	close(fd);
}

static void no_input_is_lost(void **state)
{
	static uint8_t sent[100000];
	int fd = attach();
	size_t done = 0;

	for (size_t i = 0; i < sizeof(sent); i++)
		sent[i] = (uint8_t)(i * 7 + i / 256);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	port_write(FCR, 1);
	port_write(MCR, 3);
	for (size_t got = 0; got < sizeof(sent); got++) {
		ssize_t step = write(fd, sent + done, sizeof(sent) - done);

		if (step > 0)
			done += (size_t)step;
		await_data();
		if (port_read(DATA) != sent[got])
			fail_msg("byte %zu", got);
	}
	close(fd);
}

static void output_reaches_the_client(void **state)
{
	static const char text[] = "what was written before, and what after";
	char got[sizeof(text)] = {0};
	size_t done = 0;
	int fd;

	for (size_t i = 0; i < 20; i++)
		port_write(DATA, (uint8_t)text[i]);
	usleep(10000);
	fd = attach();
	for (size_t i = 20; i < sizeof(text) - 1; i++)
		port_write(DATA, (uint8_t)text[i]);
	while (done < sizeof(text) - 1) {
		ssize_t step = read(fd, got + done, sizeof(text) - 1 - done);

		assert_true(step > 0);
		done += (size_t)step;
	}
	assert_string_equal(got, text);
	close(fd);
}

static void a_half_closed_client_still_reads(void **state)
{
	static const char text[] = "answer";
	char got[sizeof(text)] = {0};
	int fd = attach(), next;

	port_write(FCR, 1);
	port_write(MCR, 3);
	assert_int_equal(write(fd, "q", 1), 1);
	shutdown(fd, SHUT_WR);
	await_data();
	assert_int_equal(port_read(DATA), 'q');
	usleep(20000);
	for (size_t i = 0; i < sizeof(text) - 1; i++)
		port_write(DATA, (uint8_t)text[i]);
	assert_int_equal(recv(fd, got, sizeof(text) - 1, MSG_WAITALL), sizeof(text) - 1);
	assert_string_equal(got, text);
	close(fd);
	/* The next client is served. */
	next = attach();
	assert_int_equal(write(next, "n", 1), 1);
	await_data();
	assert_int_equal(port_read(DATA), 'n');
	port_write(DATA, 'y');
	assert_int_equal(recv(next, got, 1, 0), 1);
	assert_int_equal(got[0], 'y');
	close(next);
}

static void state_survives(void **state)
{
	int fd = attach();

	port_write(FCR, 0x81);
	port_write(LCR, 0x80);
	port_write(0, 0x30);
	port_write(LCR, 0x1b);
	port_write(SCR, 0x77);
	port_write(IER, 1);
	port_write(MCR, 0x0b);
	assert_int_equal(write(fd, "kept", 4), 4);
	await_line(true);
	machine_save_and_load();
	assert_true(machine.line);
	assert_int_equal(port_read(SCR), 0x77);
	assert_int_equal(port_read(LCR), 0x1b);
	assert_int_equal(port_read(MCR), 0x0b);
	assert_int_equal(port_read(IER), 1);
	assert_int_equal(port_read(DATA), 'k');
	machine.device->ops->reset(machine.device);
	assert_false(machine.line);
	assert_int_equal(port_read(IER), 0);
	assert_int_equal(port_read(LSR), 0x61);
	assert_int_equal(port_read(DATA), 'e'); /* the host's input survives a reboot */
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(is_detected_as_16550a, setup, teardown),
		cmocka_unit_test_setup_teardown(loopback_returns_what_was_sent, setup, teardown),
		cmocka_unit_test_setup_teardown(modem_changes_are_told, setup, teardown),
		cmocka_unit_test_setup_teardown(transmitter_interrupts, setup, teardown),
		cmocka_unit_test_setup_teardown(input_waits_for_the_driver, setup, teardown),
		cmocka_unit_test_setup_teardown(no_input_is_lost, setup, teardown),
		cmocka_unit_test_setup_teardown(output_reaches_the_client, setup, teardown),
		cmocka_unit_test_setup_teardown(a_half_closed_client_still_reads, setup, teardown),
		cmocka_unit_test_setup_teardown(state_survives, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
