/* SPDX-License-Identifier: BSD-2-Clause */
/* Attempts of a thread that a guest has taken over: tables, one for each kind of target. */
#ifndef SYMVM_TEST_ESCAPE_H
#define SYMVM_TEST_ESCAPE_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/un.h>

#include "jail/jail.h"

#define MAIN  (1u << JAIL_THREAD_MAIN)
#define GUARD (1u << JAIL_THREAD_GUARD)

/* 1 if it worked, 0 if it was refused. */
typedef int (*deed)(void);

struct escape {
	const char *name;
	deed act;
	bool free;    /* works outside of the jail, for root on each host */
	unsigned may; /* kinds of threads whose work this is */
};

extern const struct escape escapes_host[];
extern const size_t escapes_host_count;
extern const struct escape escapes_network[];
extern const size_t escapes_network_count;
extern const struct escape escapes_kernel[];
extern const size_t escapes_kernel_count;

/* Files and sockets of a thread, as in a VMM: opened before the jail closed. */
struct scene {
	char dir[32]; /* a state directory */
	int dir_fd;   /* open on it */
	int etc_fd;   /* an open directory of the host */
	int file_fd;  /* an open file */
	int tcp_fd;   /* a socket of each kind */
	int udp_fd;
	int unix_fd;
	int true_fd;		     /* a program */
	int life[2];		     /* a pipe that closes with the test */
	pid_t victim;		     /* another process of the same user as the VMM's start */
	uint16_t port;		     /* a socket listens on it, on the host's loopback */
	struct sockaddr_un abstract; /* and one on this address */
};
extern struct scene scene;

static inline int worked(long result)
{
	return result >= 0;
}

/* Deeds that other tests use, too. */
int read_file(void);
int open_tcp(void);
int open_raw(void);
int open_unix(void);
int open_multipath_tcp(void);
int connect_to_host(void);
int bind_port(void);
int filter_packets(void);
int send_descriptor(void);

static inline struct sockaddr_in loopback(uint16_t port)
{
	return (struct sockaddr_in){.sin_family = AF_INET,
				    .sin_port = htons(port),
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

#endif
