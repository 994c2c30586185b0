/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The name server of the user network, 10.0.2.3. Queries by UDP are sent to the host's name
 * servers, each from a socket of its own, so that its port is random. At most NET_DNS_MOST are
 * under way; one more ends the oldest with the answer "server failure". They are not flows of
 * libslirp, so names resolve even if a guest's process floods the network. On the I/O loop's
 * thread.
 */
#ifndef SYMVM_DEVICES_VIRTIO_NET_DNS_H
#define SYMVM_DEVICES_VIRTIO_NET_DNS_H

#include <jansson.h>

#include "devices/virtio/net/net_packet.h"
#include "util/error.h"
#include "util/log.h"
#include "util/event_loop.h"

#define NET_DNS_PORT	 53u
#define NET_DNS_MOST	 128u
#define NET_DNS_PER_PORT 16u /* of one port of the guest */

struct net_dns;

struct net_dns_config {
	struct event_loop *loop;
	struct log *log;  /* outlives it; NULL: none */
	const char *path; /* of resolv.conf; outlives it */
	uint32_t address; /* of the name server that the guest sees */
	uint16_t port;	  /* of the host's name servers, 0: 53; for tests */
	size_t mtu;
	/* Gives the guest a frame. */
	void (*send)(void *opaque, const uint8_t *frame, size_t length);
	void *opaque;
};

/* Main thread, before the jail closes. @config is copied. NULL with words. */
struct net_dns *net_dns_create(const struct net_dns_config *config, struct error *err);
/*
 * Ends all queries without an answer, and frees. NULL is allowed. Main thread; the loop is stopped.
 */
void net_dns_destroy(struct net_dns *dns);

/* Takes a datagram to @address, port 53. The answer comes by config's send(). */
void net_dns_query(struct net_dns *dns, const struct net_packet *packet);

/*
 * The host's first name server with an IPv4 address, in the host's order, for queries by TCP; 0 if
 * there is none.
 */
uint32_t net_dns_server(struct net_dns *dns);

/* Adds counters to @object. Any thread. */
void net_dns_describe(const struct net_dns *dns, json_t *object);

#endif
