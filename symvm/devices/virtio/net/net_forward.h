/* SPDX-License-Identifier: BSD-2-Clause */
/* forward= of --net user: ports of the host that lead into the guest. */
#ifndef SYMVM_DEVICES_VIRTIO_NET_FORWARD_H
#define SYMVM_DEVICES_VIRTIO_NET_FORWARD_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "util/error.h"

struct net_forward {
	bool udp;
	struct in_addr host, guest;
	uint16_t host_port, guest_port;
};

/*
 * Parses "tcp|udp:[HOSTADDRESS]:PORT-[GUESTADDRESS]:PORT". The default host address is 127.0.0.1:
 * only this host's own processes can connect. The default guest address is @guest, the first DHCP
 * lease, in the host's order. Any thread. -EINVAL with words.
 */
int net_forward_parse(const char *text, uint32_t guest, struct net_forward *forward,
		      struct error *err);

#endif
