// SPDX-License-Identifier: BSD-2-Clause
/*
 * Compares the disks of two guests, which take short turns so that both see the same host. The
 * ratios are medians of the ratios of each round.
 *
 *   blkbench agent ADDRESS PORT DEVICE   in each guest: obeys the host, reports how long a job took
 *   blkbench compare PORT PORT ROUNDS    on the host: guest A and guest B
 *
 * The guest uses direct, asynchronous I/O, so that each request reaches the disk.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/fs.h>
#include <math.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "io.h"

#define DEPTH_MAX  32u
#define ROUNDS_MAX 100u

/* One measurement: @count requests of @bytes, @depth of them at once. */
struct job {
	char name[16];
	uint32_t count, bytes, depth;
	uint32_t writes; /* of 100 */
	uint32_t random;
};

static const struct job jobs[] = {
	{"seq_read", 64, 131072, 4, 0, 0},   {"seq_write", 64, 131072, 4, 100, 0},
	{"rand_read", 64, 4096, 1, 0, 1},    {"rand_write", 64, 4096, 1, 100, 1},
	{"rand_deep", 256, 4096, 16, 30, 1},
};
#define JOBS		(sizeof(jobs) / sizeof(jobs[0]))
#define JOBS_SEQUENTIAL 2u /* the first ones */

/* A small generator: it gives the same places in both guests. */
static uint32_t next_random(uint64_t *state)
{
	*state = *state * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(*state >> 33);
}

static void submit(aio_context_t context, struct iocb *iocb, int fd, const struct job *job,
		   uint64_t blocks, uint32_t number, uint64_t *state)
{
	uint64_t block = job->random ? next_random(state) % blocks : number % blocks;
	bool write = next_random(state) % 100 < job->writes;

	iocb->aio_lio_opcode = write ? IOCB_CMD_PWRITE : IOCB_CMD_PREAD;
	iocb->aio_fildes = (uint32_t)fd;
	iocb->aio_nbytes = job->bytes;
	iocb->aio_offset = (int64_t)(block * job->bytes);
	if (syscall(SYS_io_submit, context, 1, &iocb) != 1)
		fail("io_submit");
}

/* Seconds that the job takes. */
static double run(int fd, uint64_t size, const struct job *job, uint64_t *state)
{
	static struct iocb iocbs[DEPTH_MAX];
	struct io_event events[DEPTH_MAX];
	uint64_t blocks = size / job->bytes;
	aio_context_t context = 0;
	uint32_t started = 0, ended = 0;
	double start;

	if (syscall(SYS_io_setup, DEPTH_MAX, &context) < 0)
		fail("io_setup");
	for (uint32_t i = 0; i < job->depth; i++) {
		memset(&iocbs[i], 0, sizeof(iocbs[i]));
		iocbs[i].aio_buf = (uintptr_t)aligned_alloc(4096, job->bytes);
		memset((void *)(uintptr_t)iocbs[i].aio_buf, (int)i, job->bytes);
	}
	start = now();
	for (; started < job->depth; started++)
		submit(context, &iocbs[started], fd, job, blocks, started, state);
	while (ended < job->count) {
		long count = syscall(SYS_io_getevents, context, 1, (long)DEPTH_MAX, events, NULL);

		if (count <= 0)
			fail("io_getevents");
		for (long i = 0; i < count; i++, ended++) {
			if (events[i].res != job->bytes)
				fail("a request");
			if (started < job->count)
				submit(context, (struct iocb *)(uintptr_t)events[i].obj, fd, job,
				       blocks, started++, state);
		}
	}
	start = now() - start;
	for (uint32_t i = 0; i < job->depth; i++)
		free((void *)(uintptr_t)iocbs[i].aio_buf);
	syscall(SYS_io_destroy, context);
	return start;
}

static int agent(const char *address, unsigned port, const char *device)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	int fd = socket(AF_INET, SOCK_STREAM, 0), disk = open(device, O_RDWR | O_DIRECT);
	uint64_t size, state = 1;
	struct job job;

	if (disk < 0 || ioctl(disk, BLKGETSIZE64, &size) < 0)
		fail(device);
	if (inet_pton(AF_INET, address, &to.sin_addr) != 1 ||
	    connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		fail("connect");
	while (recv(fd, &job, sizeof(job), MSG_WAITALL) == sizeof(job)) {
		double seconds = run(disk, size, &job, &state);

		if (send(fd, &seconds, sizeof(seconds), MSG_NOSIGNAL) != sizeof(seconds))
			fail("send");
	}
	return 0;
}

static int wait_for_agent(int fd)
{
	int on = 1, peer = accept(fd, NULL, NULL);

	if (peer < 0)
		fail("accept");
	setsockopt(peer, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return peer;
}

static double tell(int fd, const struct job *job)
{
	double seconds;

	if (send(fd, job, sizeof(*job), MSG_NOSIGNAL) != sizeof(*job) ||
	    recv(fd, &seconds, sizeof(seconds), MSG_WAITALL) != sizeof(seconds))
		fail("a guest");
	return seconds;
}

/* Times of guest A and B in each round. */
static double times[2][JOBS][ROUNDS_MAX];

/* The median over the rounds of B's time over A's, of the jobs from @first to @end. */
static double ratio(size_t first, size_t end, unsigned rounds)
{
	double ratios[ROUNDS_MAX];

	for (unsigned round = 0; round < rounds; round++) {
		double product = 1;

		/* The geometric mean: each job weighs the same. */
		for (size_t job = first; job < end; job++)
			product *= times[1][job][round] / times[0][job][round];
		ratios[round] = pow(product, 1.0 / (double)(end - first));
	}
	return median(ratios, rounds);
}

static int compare(unsigned port_a, unsigned port_b, unsigned rounds)
{
	/* Both first: a guest does not try twice. */
	int listeners[2] = {listen_at(port_a), listen_at(port_b)};
	int fds[2] = {wait_for_agent(listeners[0]), wait_for_agent(listeners[1])};
	double sequential, random;

	for (size_t job = 0; job < JOBS; job++)
		for (unsigned guest = 0; guest < 2; guest++)
			tell(fds[guest], &jobs[job]); /* to warm up */
	for (unsigned round = 0; round < rounds; round++)
		for (size_t job = 0; job < JOBS; job++)
			for (unsigned turn = 0; turn < 2; turn++) {
				unsigned guest = (turn + round) & 1;

				times[guest][job][round] = tell(fds[guest], &jobs[job]);
			}
	/* First these: median() sorts the rounds. */
	sequential = ratio(0, JOBS_SEQUENTIAL, rounds);
	random = ratio(JOBS_SEQUENTIAL, JOBS, rounds);
	for (size_t job = 0; job < JOBS; job++) {
		double value = ratio(job, job + 1, rounds);

		printf("%-10s symvm %8.1f us, QEMU %8.1f us a request, ratio %.3f\n",
		       jobs[job].name, median(times[0][job], rounds) / jobs[job].count * 1e6,
		       median(times[1][job], rounds) / jobs[job].count * 1e6, value);
	}
	printf("ratio seq %.3f\nratio rand %.3f\n", sequential, random);
	return 0;
}

int main(int argc, char **argv)
{
	unsigned rounds = argc == 5 ? (unsigned)atoi(argv[4]) : 0;

	if (argc == 5 && strcmp(argv[1], "agent") == 0)
		return agent(argv[2], (unsigned)atoi(argv[3]), argv[4]);
	if (argc != 5 || strcmp(argv[1], "compare") != 0 || rounds < 1 || rounds > ROUNDS_MAX) {
		fprintf(stderr, "usage: blkbench agent ADDRESS PORT DEVICE | "
				"compare PORT PORT ROUNDS\n");
		return 2;
	}
	return compare((unsigned)atoi(argv[2]), (unsigned)atoi(argv[3]), rounds);
}
