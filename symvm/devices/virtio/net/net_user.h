/* SPDX-License-Identifier: BSD-2-Clause */
/* Inside of --net user: net_user_create.c creates it and net_user.c runs it. */
#ifndef SYMVM_DEVICES_VIRTIO_NET_USER_H
#define SYMVM_DEVICES_VIRTIO_NET_USER_H

#include "devices/virtio/net/net.h"
#include "devices/virtio/net/net_dns.h"
#include "devices/virtio/net/net_flow.h"
#include "devices/virtio/net/net_fragments.h"
#include "devices/virtio/net/net_policy.h"
#include "devices/virtio/net/slirp.h"
#include "util/event_loop.h"

#define NETWORK_ADDRESS 0x0a000200u /* 10.0.2.0/24 */
#define NETWORK_MASK	0xffffff00u
#define HOST_ADDRESS	(NETWORK_ADDRESS | 2u)
#define NAME_SERVER	(NETWORK_ADDRESS | 3u)
#define GUEST_FIRST	(NETWORK_ADDRESS | 15u)

struct watched {
	uint32_t events; /* in the epoll instance; 0: not there */
	uint32_t wanted; /* in this round */
	uint32_t ready;
	struct net_flow flow;
};

struct net_user {
	struct net_backend backend;
	struct slirp_calls lib;
	Slirp *slirp;
	struct event_loop *loop;
	struct event_source *poll_source;
	struct event_source *timer_source;
	int poll_fd; /* the epoll instance */
	int timer_fd;
	int64_t armed;		 /* when the timer fires, CLOCK_MONOTONIC; INT64_MAX: never */
	bool paused;		 /* the guest gives no receive buffers */
	struct watched *watched; /* indexed by descriptor */
	unsigned watched_count;
	unsigned forwards;
	struct net_policy policy;
	struct net_flows flows;
	struct net_fragments *fragments;
	struct net_dns *dns; /* NULL: restrict= */
	/* The cause of what libslirp opens now: a packet, and a kind. */
	const struct net_packet *packet_now;
	enum net_flow_kind kind_now;
	uint32_t *
		dns_servers; /* by port of the guest: where its query by TCP was sent; 0: nowhere */
	_Atomic uint64_t refused; /* packets, by policy */
	_Atomic uint64_t rounds;
	_Atomic uint64_t guest_errors;
	uint8_t frame[NET_FRAME_MAX]; /* a packet whose addresses are changed */
};

extern const SlirpCb net_user_callbacks;
extern const struct net_backend_ops net_user_ops;

/* Callbacks of the two sources, called by the I/O loop; @opaque is the net_user. */
void net_user_poll_ready(void *opaque, uint32_t events);
void net_user_timer_ready(void *opaque, uint32_t events);
/* Call it after anything that may have changed what libslirp waits for. I/O thread. */
void net_user_refresh(struct net_user *user);
/* Gives the guest a frame, outside of a batch. I/O thread. */
void net_user_answer(void *opaque, const uint8_t *frame, size_t length);

#endif
