// SPDX-License-Identifier: BSD-2-Clause
/*
 * Compares the networks of guests, which take short turns so that all see the same host.
 *
 *   netbench agent ADDRESS PORT                       in each guest: obeys the host
 *   netbench compare ROUNDS KIB PINGS PORT PORT...    on the host: each guest against the last
 *
 * The host commands and measures: R pings of one byte, D bytes to the guest, U bytes from it.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "io.h"

#define BLOCK	   65536u
#define ROUNDS_MAX 100u
#define GUESTS_MAX 8u

struct command {
	char what;
	uint64_t amount;
} __attribute__((packed));

static uint8_t block[BLOCK];

static void send_all(int fd, const void *data, size_t length)
{
	const char *from = data;

	while (length) {
		ssize_t done = send(fd, from, length, MSG_NOSIGNAL);

		if (done <= 0)
			fail("send");
		from += done;
		length -= (size_t)done;
	}
}

static void receive_all(int fd, void *data, size_t length)
{
	char *to = data;

	while (length) {
		ssize_t done = recv(fd, to, length, 0);

		if (done <= 0)
			fail("receive");
		to += done;
		length -= (size_t)done;
	}
}

static void send_bytes(int fd, uint64_t amount)
{
	for (; amount; amount -= amount < BLOCK ? amount : BLOCK)
		send_all(fd, block, amount < BLOCK ? amount : BLOCK);
}

static void receive_bytes(int fd, uint64_t amount)
{
	while (amount) {
		ssize_t done = recv(fd, block, amount < BLOCK ? amount : BLOCK, 0);

		if (done <= 0)
			fail("receive");
		amount -= (uint64_t)done;
	}
}

static void no_delay(int fd)
{
	int on = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

static int agent(const char *address, unsigned port)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	struct command command;
	char byte;

	if (inet_pton(AF_INET, address, &to.sin_addr) != 1 ||
	    connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		fail("connect");
	no_delay(fd);
	while (recv(fd, &command, sizeof(command), MSG_WAITALL) == sizeof(command)) {
		for (uint64_t i = 0; command.what == 'R' && i < command.amount; i++) {
			receive_all(fd, &byte, 1);
			send_all(fd, &byte, 1);
		}
		if (command.what == 'D') {
			receive_bytes(fd, command.amount);
			send_all(fd, "d", 1);
		}
		if (command.what == 'U')
			send_bytes(fd, command.amount);
	}
	return 0;
}

/* Median time of a ping in seconds. */
static double ping(int fd, uint64_t count)
{
	struct command command = {'R', count};
	double *times = calloc(count, sizeof(*times));
	double result;
	char byte = 0;

	if (!times)
		fail("calloc");
	send_all(fd, &command, sizeof(command));
	for (uint64_t i = 0; i < count; i++) {
		double start = now();

		send_all(fd, &byte, 1);
		receive_all(fd, &byte, 1);
		times[i] = now() - start;
	}
	result = median(times, count);
	free(times);
	return result;
}

/* Bytes per second. */
static double transfer(int fd, char what, uint64_t amount)
{
	struct command command = {what, amount};
	double start = now();
	char byte;

	send_all(fd, &command, sizeof(command));
	if (what == 'D') {
		send_bytes(fd, amount);
		receive_all(fd, &byte, 1);
	} else {
		receive_bytes(fd, amount);
	}
	return (double)amount / (now() - start);
}

static int await_agent(int fd)
{
	int connection = accept(fd, NULL, NULL);

	if (connection < 0)
		fail("accept");
	no_delay(connection);
	close(fd);
	return connection;
}

struct guest {
	int fd;
	double rtt[ROUNDS_MAX], down[ROUNDS_MAX], up[ROUNDS_MAX];
};

/* One round: each measurement with all guests in turn, each round beginning with another. */
static void run_round(struct guest *guests, unsigned count, unsigned round, uint64_t bytes,
		      uint64_t pings)
{
	for (unsigned turn = 0; turn < 3 * count; turn++) {
		struct guest *guest = &guests[(turn + round) % count];

		if (turn < count)
			guest->rtt[round] = ping(guest->fd, pings);
		else if (turn < 2 * count)
			guest->down[round] = transfer(guest->fd, 'D', bytes);
		else
			guest->up[round] = transfer(guest->fd, 'U', bytes);
	}
}

/* The guest's figures relative to the last one's: medians of the ratios of each round. */
static void print_ratios(const struct guest *guest, const struct guest *last, unsigned index,
			 unsigned rounds)
{
	static double r[ROUNDS_MAX], d[ROUNDS_MAX], u[ROUNDS_MAX], t[ROUNDS_MAX];

	for (unsigned i = 0; i < rounds; i++) {
		r[i] = last->rtt[i] / guest->rtt[i];
		d[i] = guest->down[i] / last->down[i];
		u[i] = guest->up[i] / last->up[i];
		t[i] = sqrt(d[i] * u[i]);
	}
	printf("ratio %u rtt %.3f\n", index, median(r, rounds));
	printf("ratio %u down %.3f\n", index, median(d, rounds));
	printf("ratio %u up %.3f\n", index, median(u, rounds));
	printf("ratio %u throughput %.3f\n", index, median(t, rounds));
}

static int compare(unsigned rounds, uint64_t bytes, uint64_t pings, char **ports, unsigned count)
{
	static struct guest guests[GUESTS_MAX];

	/* All listen before the host waits for one. */
	for (unsigned i = 0; i < count; i++)
		guests[i].fd = listen_at((unsigned)atoi(ports[i]));
	for (unsigned i = 0; i < count; i++)
		guests[i].fd = await_agent(guests[i].fd);
	/* Warms up caches, rings and windows. */
	for (unsigned i = 0; i < 2; i++)
		run_round(guests, count, 0, bytes / 4 + 1, pings / 4 + 1);
	for (unsigned i = 0; i < rounds; i++)
		run_round(guests, count, i, bytes, pings);
	for (unsigned i = 0; i + 1 < count; i++)
		print_ratios(&guests[i], &guests[count - 1], i, rounds);
	for (unsigned i = 0; i < count; i++)
		printf("guest %u: ping %.0f us, to the guest %.2f MiB/s, from it %.2f MiB/s\n", i,
		       median(guests[i].rtt, rounds) * 1e6,
		       median(guests[i].down, rounds) / 1048576,
		       median(guests[i].up, rounds) / 1048576);
	return 0;
}

int main(int argc, char **argv)
{
	int rounds = argc > 2 ? atoi(argv[2]) : 0;
	long kib = argc > 3 ? atol(argv[3]) : 0, pings = argc > 4 ? atol(argv[4]) : 0;

	if (argc == 4 && strcmp(argv[1], "agent") == 0)
		return agent(argv[2], (unsigned)atoi(argv[3]));
	if (argc >= 7 && argc <= 5 + (int)GUESTS_MAX && strcmp(argv[1], "compare") == 0 &&
	    rounds > 0 && rounds <= (int)ROUNDS_MAX && kib > 0 && pings > 0)
		return compare((unsigned)rounds, (uint64_t)kib << 10, (uint64_t)pings, argv + 5,
			       (unsigned)argc - 5);
	fprintf(stderr,
		"usage: netbench agent ADDRESS PORT\n"
		"       netbench compare ROUNDS KIB PINGS PORT PORT...   up to %u rounds and %u "
		"guests\n",
		ROUNDS_MAX, GUESTS_MAX);
	return 2;
}
