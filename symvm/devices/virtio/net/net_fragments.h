/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fragments of the guest, put together before libslirp sees them: it keeps as many as it gets.
 * At most NET_DATAGRAMS datagrams are under way; one more ends the oldest, of which the guest is
 * told. One thread.
 */
#ifndef SYMVM_DEVICES_VIRTIO_NET_FRAGMENTS_H
#define SYMVM_DEVICES_VIRTIO_NET_FRAGMENTS_H

#include "devices/virtio/net/net.h"
#include "devices/virtio/net/net_packet.h"

#define NET_DATAGRAMS	     16u
#define NET_FRAGMENT_SECONDS 30u /* then a datagram is given up */

struct net_fragments;

/* NULL: out of memory. */
struct net_fragments *net_fragments_create(void);
void net_fragments_destroy(struct net_fragments *fragments);

/*
 * Takes one fragment at the time @now_ns. True: with it a datagram is whole: *@frame, valid until
 * the next call, and *@length. @answer: a frame for the guest where a datagram was given up, of
 * *@answer_length bytes, else 0.
 */
bool net_fragments_add(struct net_fragments *fragments, const struct net_packet *packet,
		       uint64_t now_ns, uint32_t gateway, const uint8_t **frame, size_t *length,
		       uint8_t answer[NET_ANSWER_MAX], size_t *answer_length);

/* Bytes that are held, and datagrams that were given up since creation. */
size_t net_fragments_bytes(const struct net_fragments *fragments);
uint64_t net_fragments_dropped(const struct net_fragments *fragments);

#endif
