/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Decides which packets of a guest the user network takes: host-loopback= and restrict=. libslirp
 * has switches for both, but they let packets to 127.0.0.1 itself pass and block the answers of UDP
 * forwards. On the I/O loop's thread.
 */
#ifndef SYMVM_DEVICES_VIRTIO_NET_POLICY_H
#define SYMVM_DEVICES_VIRTIO_NET_POLICY_H

#include "devices/virtio/net/net_forward.h"
#include "devices/virtio/net/net_packet.h"
#include "util/keyval.h"

#define NET_PEERS 64u /* of UDP forwards that the guest may answer */

struct net_policy {
	uint32_t host, name_server; /* as the guest sees them */
	bool host_loopback;	    /* services on the host's loopback may be used */
	bool restricted;	    /* the guest may only answer forwards and use DHCP */
	unsigned udp_count;
	struct {
		uint32_t guest;
		uint16_t port;
	} udp[KEYVAL_LIST_MAX]; /* forwards */
	struct net_peer {
		uint32_t guest, address;
		uint16_t guest_port, port;
	} peers[NET_PEERS]; /* the newest; all zero: none */
	unsigned peer_next;
};

enum net_verdict {
	NET_PASS,
	NET_REFUSE, /* with an answer */
	NET_DNS,    /* to the name server; TCP or UDP */
};

/* Allows answers of the guest for @forward. Does nothing if it is not for UDP. Main thread. */
void net_policy_forward(struct net_policy *policy, const struct net_forward *forward);
/* What to do with @packet, which is whole. */
enum net_verdict net_policy_judge(const struct net_policy *policy, const struct net_packet *packet);
/* Notes a packet to the guest, which it may then answer. */
void net_policy_incoming(struct net_policy *policy, const struct net_packet *packet);

/* Whether libslirp begins a connection for this packet, which has ports and is TCP. */
static inline bool net_begins_connection(const struct net_packet *packet)
{
	/* SYN without FIN, RST, ACK and URG. */
	return (packet->flags & 0x37u) == NET_TCP_SYN;
}

#endif
