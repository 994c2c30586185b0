// SPDX-License-Identifier: BSD-2-Clause
/*
 * known-exits: causes exits of a kind and keeps count of them, for tests that ask the VMM which
 * task caused its exits. Prints "known KIND pid PID count COUNT" at the end. The name of its task
 * is known-KIND.
 *
 * Ports are written by /dev/port: docs/develop/lab.md says why a user's own OUT (ioperm) does not
 * work in the lab.
 *
 *   known-exits ports COUNT [USEC]         writes COUNT bytes to port 0x5f0, one each USEC
 *   known-exits disk COUNT DEVICE          reads COUNT blocks, one after the other, past the cache
 *   known-exits net COUNT ADDRESS [USEC]   sends COUNT datagrams to port 9, one each USEC
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PORT	  0x5f0 /* no device has it */
#define BLOCK	  4096u
#define BLOCKS	  1024u /* of the device, which are read in turn */
#define DISCARD	  9
#define SETTLE_US 300000 /* for the first datagram, which waits for an answer to ARP */

static void wait_us(unsigned long usec)
{
	const struct timespec time = {.tv_sec = (time_t)(usec / 1000000),
				      .tv_nsec = (long)(usec % 1000000) * 1000};

	nanosleep(&time, NULL);
}

static unsigned long write_ports(unsigned long count, unsigned long usec)
{
	int fd = open("/dev/port", O_WRONLY);
	unsigned long done = 0;

	if (fd < 0) {
		perror("/dev/port");
		return 0;
	}
	while (done < count && pwrite(fd, "k", 1, PORT) == 1) {
		done++;
		wait_us(usec);
	}
	close(fd);
	return done;
}

static unsigned long read_disk(unsigned long count, const char *device)
{
	static char block[BLOCK] __attribute__((aligned(BLOCK)));
	int fd = open(device, O_RDONLY | O_DIRECT);
	unsigned long done = 0;

	if (fd < 0) {
		perror(device);
		return 0;
	}
	while (done < count &&
	       pread(fd, block, BLOCK, (off_t)(done % BLOCKS) * BLOCK) == (ssize_t)BLOCK)
		done++;
	close(fd);
	return done;
}

static unsigned long send_datagrams(unsigned long count, const char *address, unsigned long usec)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(DISCARD)};
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	unsigned long done = 0;

	if (fd < 0 || inet_pton(AF_INET, address, &to.sin_addr) != 1) {
		perror(address);
		return 0;
	}
	while (done < count && sendto(fd, "known", 5, 0, (struct sockaddr *)&to, sizeof(to)) == 5) {
		done++;
		wait_us(done == 1 ? SETTLE_US : usec);
	}
	close(fd);
	return done;
}

int main(int argc, char **argv)
{
	unsigned long count = argc > 2 ? strtoul(argv[2], NULL, 0) : 0, done = 0;
	const char *kind = argc > 1 ? argv[1] : "";
	char name[16];

	snprintf(name, sizeof(name), "known-%s", kind);
	prctl(PR_SET_NAME, name);
	if (strcmp(kind, "ports") == 0)
		done = write_ports(count, argc > 3 ? strtoul(argv[3], NULL, 0) : 1000);
	else if (strcmp(kind, "disk") == 0 && argc > 3)
		done = read_disk(count, argv[3]);
	else if (strcmp(kind, "net") == 0 && argc > 3)
		done = send_datagrams(count, argv[3], argc > 4 ? strtoul(argv[4], NULL, 0) : 1000);
	printf("known %s pid %d count %lu\n", kind, (int)getpid(), done);
	return done == count ? 0 : 1;
}
