// SPDX-License-Identifier: BSD-2-Clause
#include "devices/virtio/net/net_forward.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

/* Reads a port number from 1 to 65535 that ends at @end. */
static int parse_port(const char *text, const char *end, uint16_t *port)
{
	unsigned value = 0;

	if (text == end || end - text > 5)
		return -EINVAL;
	for (; text < end; text++) {
		if (*text < '0' || *text > '9')
			return -EINVAL;
		value = value * 10 + (unsigned)(*text - '0');
	}
	if (value < 1 || value > 65535)
		return -EINVAL;
	*port = (uint16_t)value;
	return 0;
}

/* Reads "ADDRESS:PORT" that ends at @end. An empty address leaves @address unchanged. */
static int parse_endpoint(const char *text, const char *end, struct in_addr *address,
			  uint16_t *port)
{
	const char *colon = memchr(text, ':', (size_t)(end - text));
	char copy[INET_ADDRSTRLEN];
	size_t length;

	if (!colon)
		return -EINVAL;
	length = (size_t)(colon - text);
	if (length >= sizeof(copy))
		return -EINVAL;
	memcpy(copy, text, length);
	copy[length] = '\0';
	if (length && inet_pton(AF_INET, copy, address) != 1)
		return -EINVAL;
	return parse_port(colon + 1, end, port);
}

int net_forward_parse(const char *text, uint32_t guest, struct net_forward *forward,
		      struct error *err)
{
	const char *host = strchr(text, ':');
	const char *dash = host ? strchr(host, '-') : NULL;

	*forward = (struct net_forward){
		.host.s_addr = htonl(INADDR_LOOPBACK),
		.guest.s_addr = htonl(guest),
		.udp = strncmp(text, "udp:", 4) == 0,
	};
	if ((!forward->udp && strncmp(text, "tcp:", 4) != 0) || !dash ||
	    parse_endpoint(host + 1, dash, &forward->host, &forward->host_port) < 0 ||
	    parse_endpoint(dash + 1, dash + strlen(dash), &forward->guest, &forward->guest_port) <
		    0)
		return error_set(
			err, -EINVAL,
			"--net: forward=%s: expected tcp|udp:[ADDRESS]:PORT-[ADDRESS]:PORT "
			"with ports from 1 to 65535",
			text);
	return 0;
}
