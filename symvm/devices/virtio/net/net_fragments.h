/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Puts the guest's fragments together before libslirp sees them, because libslirp keeps as many as
 * it gets. At most NET_DATAGRAMS datagrams are under way. One more ends the oldest, and the guest
 * is informed. One thread.
 */
#ifndef SYMVM_DEVICES_VIRTIO_NET_FRAGMENTS_H
#define SYMVM_DEVICES_VIRTIO_NET_FRAGMENTS_H

#include "devices/virtio/net/net.h"
#include "devices/virtio/net/net_packet.h"

#define NET_DATAGRAMS	     16u
#define NET_FRAGMENT_SECONDS 30u /* a datagram is given up after that time */

struct net_fragments;

/* NULL if memory is exhausted. */
struct net_fragments *net_fragments_create(void);
/* Frees it with all fragments. NULL is allowed. */
void net_fragments_destroy(struct net_fragments *fragments);

/*
 * Takes one fragment at the time @now_ns (CLOCK_MONOTONIC). True if a datagram is whole with it:
 * *@frame, valid until the next call, and *@length. If a datagram was given up, @answer is a frame
 * for the guest of *@answer_length bytes, otherwise that is 0.
 */
bool net_fragments_add(struct net_fragments *fragments, const struct net_packet *packet,
		       uint64_t now_ns, uint32_t gateway, const uint8_t **frame, size_t *length,
		       uint8_t answer[NET_ANSWER_MAX], size_t *answer_length);

/* Bytes that are held now. Any thread. */
size_t net_fragments_bytes(const struct net_fragments *fragments);
/* Datagrams that were given up since creation. Any thread. */
uint64_t net_fragments_dropped(const struct net_fragments *fragments);

#endif
