// SPDX-License-Identifier: BSD-2-Clause
/* Attempts of test_jail.c: sockets. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/kvm.h>
#include <linux/seccomp.h>
#include <linux/vhost.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "escape.h"

/* --- sockets --- */
int open_tcp(void)
{
	return worked(socket(AF_INET, SOCK_STREAM, 0));
}

static int open_udp(void)
{
	return worked(socket(AF_INET6, SOCK_DGRAM, 0));
}

int open_raw(void)
{
	return worked(socket(AF_INET, SOCK_RAW, IPPROTO_RAW));
}

static int open_packet(void)
{
	return worked(socket(AF_PACKET, SOCK_RAW, 0));
}

static int open_netlink(void)
{
	return worked(socket(AF_NETLINK, SOCK_RAW, 0));
}

int open_unix(void)
{
	return worked(socket(AF_UNIX, SOCK_STREAM, 0));
}

static int open_vsock(void)
{
	return worked(socket(AF_VSOCK, SOCK_STREAM, 0));
}

int open_multipath_tcp(void)
{
	return worked(socket(AF_INET, SOCK_STREAM, 262 /* IPPROTO_MPTCP */));
}

static int open_socket_pair(void)
{
	int ends[2];

	return worked(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
}

int connect_to_host(void)
{
	struct sockaddr_in address = loopback(scene.port);

	return worked(connect(scene.tcp_fd, (struct sockaddr *)&address, sizeof(address)));
}

int bind_port(void)
{
	struct sockaddr_in address = loopback(0);

	return worked(bind(scene.tcp_fd, (struct sockaddr *)&address, sizeof(address)));
}

static int listen_on_socket(void)
{
	return worked(listen(scene.tcp_fd, 1));
}

int filter_packets(void)
{
	int value = 1;

	/* IPT_SO_SET_REPLACE and the like are options of this level, from 64 on. */
	return worked(setsockopt(scene.udp_fd, IPPROTO_IP, 64, &value, sizeof(value))) ||
	       errno != EPERM;
}

static int ask_packet_filter(void)
{
	char data[128] = "filter";
	socklen_t length = 84;

	return worked(getsockopt(scene.udp_fd, IPPROTO_IP, 64, data, &length)) || errno != EPERM;
}

static int bind_to_device(void)
{
	return worked(setsockopt(scene.udp_fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3));
}

int send_descriptor(void)
{
	struct msghdr message = {0};

	return worked(sendmsg(scene.unix_fd, &message, MSG_DONTWAIT)) || errno != EPERM;
}

static int connect_to_abstract_socket(void)
{
	return worked(
		connect(scene.unix_fd, (struct sockaddr *)&scene.abstract, sizeof(scene.abstract)));
}

static int datagram_to_host(void)
{
	struct sockaddr_in address = loopback(scene.port);

	return worked(
		sendto(scene.udp_fd, "x", 1, 0, (struct sockaddr *)&address, sizeof(address)));
}

const struct escape escapes_network[] = {
	{"open a TCP socket", open_tcp, true, 0},
	{"open a UDP socket", open_udp, false, 0},
	{"open a raw socket", open_raw, true, 0},
	{"open a packet socket", open_packet, false, 0},
	{"open a netlink socket", open_netlink, true, 0},
	{"open a UNIX socket", open_unix, true, 0},
	{"open a vsock socket", open_vsock, false, 0},
	{"open a multipath TCP socket", open_multipath_tcp, false, 0},
	{"open a pair of sockets", open_socket_pair, true, 0},
	{"connect to the host", connect_to_host, true, 0},
	{"bind a port", bind_port, true, 0},
	{"listen", listen_on_socket, true, 0},
	{"change the packet filter", filter_packets, false, 0},
	{"ask the packet filter", ask_packet_filter, false, 0},
	{"bind to a device", bind_to_device, true, 0},
	{"send descriptors", send_descriptor, false, 0},
	{"connect to an abstract socket", connect_to_abstract_socket, true, 0},
	/* The control socket's answers are sent by the same call: the network is empty there. */
	{"send a datagram to the host", datagram_to_host, true, MAIN},
};
const size_t escapes_network_count = sizeof(escapes_network) / sizeof(escapes_network[0]);
