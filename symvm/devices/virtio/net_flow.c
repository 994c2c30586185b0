// SPDX-License-Identifier: BSD-2-Clause
#include "devices/virtio/net_flow.h"

#include <netinet/in.h>
#include <sys/resource.h>

#define ETHERNET_HEADER 14u
#define IPV4_HEADER_MIN 20u
#define TCP_FLAGS	13u
#define TCP_SYN		0x02u
#define TCP_ACK		0x10u
#define SOCKETS_MAX	4096u

bool net_flow_begins(const uint8_t *frame, size_t length)
{
	const uint8_t *ip = frame + ETHERNET_HEADER;
	size_t header;

	if (length < ETHERNET_HEADER + IPV4_HEADER_MIN || frame[12] != 0x08 || frame[13] != 0x00)
		return false;
	/* A later fragment may complete what begins a flow. */
	if (ip[9] != IPPROTO_TCP || (ip[6] & 0x3f) || ip[7])
		return true;
	header = (ip[0] & 15u) * 4u;
	if (length < ETHERNET_HEADER + header + TCP_FLAGS + 1)
		return false;
	return (ip[header + TCP_FLAGS] & (TCP_SYN | TCP_ACK)) == TCP_SYN;
}

unsigned net_flow_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur / 2 > SOCKETS_MAX)
		return SOCKETS_MAX;
	return (unsigned)(limit.rlim_cur / 2);
}
