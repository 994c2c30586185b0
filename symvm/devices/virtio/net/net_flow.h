/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Limits what the user network holds open for a guest. Each flow is a socket of the VMM, and a TCP
 * connection has two buffers of 128 KiB in libslirp in addition. There is a limit for each kind of
 * flow, so that one process in the guest cannot take all descriptors, or exhaust the connections of
 * others by its datagrams. On the I/O loop's thread; any thread may read the counts.
 */
#ifndef SYMVM_DEVICES_VIRTIO_NET_FLOW_H
#define SYMVM_DEVICES_VIRTIO_NET_FLOW_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "devices/virtio/net/net_packet.h"
#include "util/error.h"

#define NET_FLOWS_TCP	 1024u /* by default */
#define NET_FLOWS_MIN	 16u
#define NET_FLOWS_MAX	 4096u
#define NET_FLOW_BUFFERS (2u * 131072u) /* bytes of a TCP connection in libslirp */

enum net_flow_kind {
	NET_FLOW_NONE,
	NET_FLOW_LISTEN, /* of a forward: not caused by the guest */
	NET_FLOW_TCP,
	NET_FLOW_UDP,
	NET_FLOW_ICMP,
	NET_FLOW_KINDS
};

/* What is known of one socket. */
struct net_flow {
	uint8_t kind;
	uint16_t port; /* of the guest, UDP ... */
	uint32_t address;
};

struct net_flows {
	_Atomic unsigned count[NET_FLOW_KINDS];
	unsigned most[NET_FLOW_KINDS];
	_Atomic uint64_t refused;
	uint32_t *udp; /* the guest's address whose port has a flow; 0: none */
};

/*
 * @tcp: connections that the guest may have. It may have as many datagram flows. All of them take
 * at most half of the process's descriptors. -ENOMEM; -EINVAL with words if @tcp is not from
 * NET_FLOWS_MIN to NET_FLOWS_MAX. Main thread.
 */
int net_flows_init(struct net_flows *flows, uint64_t tcp, struct error *err);
/* Frees what net_flows_init() allocated. Main thread; the loop is stopped. */
void net_flows_free(struct net_flows *flows);

/* Whether @packet would begin a flow for which there is no room. */
bool net_flows_full(const struct net_flows *flows, const struct net_packet *packet);
/* The kind of flow that a packet of the guest begins, if any. */
enum net_flow_kind net_flow_kind(const struct net_packet *packet);
/*
 * A socket was opened because of @packet (NULL: not because of a packet). Returns its flow, which
 * net_flows_closed() takes when the socket is closed.
 */
struct net_flow net_flows_opened(struct net_flows *flows, enum net_flow_kind kind,
				 const struct net_packet *packet);
/* The socket of @flow was closed. */
void net_flows_closed(struct net_flows *flows, const struct net_flow *flow);

/* Adds the counts to @object. Any thread. */
void net_flows_describe(const struct net_flows *flows, json_t *object);

#endif
