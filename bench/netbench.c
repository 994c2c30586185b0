// SPDX-License-Identifier: BSD-2-Clause
/*
 * Compares the networks of two guests, which take short turns so that both see the same
 * host. The ratios are medians of the ratios of each round.
 *
 *   netbench agent ADDRESS PORT                  in each guest: does as it is told
 *   netbench compare PORT PORT ROUNDS MIB PINGS  on the host: guest A and guest B
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

#define BLOCK	   65536u
#define ROUNDS_MAX 100u

struct command {
	char what;
	uint64_t amount;
} __attribute__((packed));

static uint8_t block[BLOCK];

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

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

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static int by_value(const void *left, const void *right)
{
	double a = *(const double *)left, b = *(const double *)right;

	return (a > b) - (a < b);
}

static double median(double *values, size_t count)
{
	qsort(values, count, sizeof(*values), by_value);
	return count % 2 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
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

static int await_agent(unsigned port)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	int on = 1, fd = socket(AF_INET, SOCK_STREAM, 0), connection;

	at.sin_addr.s_addr = htonl(INADDR_ANY);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 || listen(fd, 1) < 0)
		fail("listen");
	connection = accept(fd, NULL, NULL);
	if (connection < 0)
		fail("accept");
	no_delay(connection);
	close(fd);
	return connection;
}

static int compare(char **arguments)
{
	static double rtt[2][ROUNDS_MAX], down[2][ROUNDS_MAX], up[2][ROUNDS_MAX];
	unsigned rounds = (unsigned)atoi(arguments[2]);
	uint64_t bytes = strtoull(arguments[3], NULL, 10) << 10;
	uint64_t pings = strtoull(arguments[4], NULL, 10);
	static double r[ROUNDS_MAX], d[ROUNDS_MAX], u[ROUNDS_MAX], t[ROUNDS_MAX];
	int fd[2];

	if (rounds < 1 || rounds > ROUNDS_MAX || !bytes || !pings) {
		fprintf(stderr, "netbench: bad rounds, KiB or pings\n");
		return 2;
	}
	fd[0] = await_agent((unsigned)atoi(arguments[0]));
	fd[1] = await_agent((unsigned)atoi(arguments[1]));
	for (unsigned guest = 0; guest < 2; guest++) {
		/* Warms up caches, rings and windows. */
		ping(fd[guest], 20);
		transfer(fd[guest], 'D', bytes / 4 + 1);
		transfer(fd[guest], 'U', bytes / 4 + 1);
	}
	for (unsigned i = 0; i < rounds; i++) {
		for (unsigned turn = 0; turn < 2; turn++) {
			unsigned guest = (turn + i) % 2;

			rtt[guest][i] = ping(fd[guest], pings);
		}
		for (unsigned turn = 0; turn < 2; turn++) {
			unsigned guest = (turn + i) % 2;

			down[guest][i] = transfer(fd[guest], 'D', bytes);
		}
		for (unsigned turn = 0; turn < 2; turn++) {
			unsigned guest = (turn + i) % 2;

			up[guest][i] = transfer(fd[guest], 'U', bytes);
		}
	}
	for (unsigned i = 0; i < rounds; i++) {
		r[i] = rtt[1][i] / rtt[0][i];
		d[i] = down[0][i] / down[1][i];
		u[i] = up[0][i] / up[1][i];
		t[i] = sqrt(d[i] * u[i]);
	}
	for (unsigned guest = 0; guest < 2; guest++)
		printf("guest %c: ping %.0f us, to the guest %.2f MiB/s, from it %.2f MiB/s\n",
		       'A' + (int)guest, median(rtt[guest], rounds) * 1e6,
		       median(down[guest], rounds) / 1048576, median(up[guest], rounds) / 1048576);
	printf("ratio rtt %.3f\n", median(r, rounds));
	printf("ratio down %.3f\n", median(d, rounds));
	printf("ratio up %.3f\n", median(u, rounds));
	printf("ratio throughput %.3f\n", median(t, rounds));
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 4 && strcmp(argv[1], "agent") == 0)
		return agent(argv[2], (unsigned)atoi(argv[3]));
	if (argc == 7 && strcmp(argv[1], "compare") == 0)
		return compare(argv + 2);
	fprintf(stderr, "usage: netbench agent ADDRESS PORT\n"
			"       netbench compare PORT PORT ROUNDS KIB PINGS\n");
	return 2;
}
