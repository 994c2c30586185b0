// SPDX-License-Identifier: BSD-2-Clause
#include "devices/virtio/net/net_fragments.h"

#include <stdlib.h>
#include <string.h>

#include "util/clock.h"

#define CONTENTS_MAX (65535u - NET_IPV4)
#define UNITS	     (65536u / 8u) /* fragments are at multiples of 8 bytes */
#define FRAME_SIZE   (NET_ETHERNET + 65536u)

struct datagram {
	bool used, first; /* the first fragment is there, with its header */
	uint32_t source, destination;
	uint8_t protocol;
	uint16_t id;
	uint64_t since_ns;
	uint32_t total;	   /* bytes of contents, 0: not known yet */
	uint32_t highest;  /* end of the bytes that are there */
	uint32_t received; /* units */
	uint8_t *frame;	   /* headers without options, then contents */
	uint8_t units[UNITS / 8];
};

struct net_fragments {
	struct datagram datagrams[NET_DATAGRAMS];
	uint8_t *whole; /* the last datagram that was put together */
	_Atomic size_t bytes;
	_Atomic uint64_t dropped;
};

struct net_fragments *net_fragments_create(void)
{
	return calloc(1, sizeof(struct net_fragments));
}

void net_fragments_destroy(struct net_fragments *fragments)
{
	if (!fragments)
		return;
	for (unsigned i = 0; i < NET_DATAGRAMS; i++)
		free(fragments->datagrams[i].frame);
	free(fragments->whole);
	free(fragments);
}

static void datagram_end(struct net_fragments *fragments, struct datagram *datagram)
{
	if (!datagram->used)
		return;
	fragments->bytes -= FRAME_SIZE;
	free(datagram->frame);
	*datagram = (struct datagram){0};
}

/*
 * Gives up a datagram, and informs its sender if possible (RFC 792: its first fragment is there).
 */
static void datagram_drop(struct net_fragments *fragments, struct datagram *datagram,
			  uint32_t gateway, uint8_t *answer, size_t *answer_length)
{
	struct net_packet packet;

	fragments->dropped++;
	if (datagram->first && net_packet_parse(datagram->frame, FRAME_SIZE, &packet))
		*answer_length = net_answer_icmp(&packet, gateway, NET_TIME_EXCEEDED,
						 NET_CODE_FRAGMENTS, answer);
	datagram_end(fragments, datagram);
}

static struct datagram *datagram_find(struct net_fragments *fragments,
				      const struct net_packet *packet)
{
	for (unsigned i = 0; i < NET_DATAGRAMS; i++) {
		struct datagram *datagram = &fragments->datagrams[i];

		if (datagram->used && datagram->id == packet->id &&
		    datagram->source == packet->source &&
		    datagram->destination == packet->destination &&
		    datagram->protocol == packet->protocol)
			return datagram;
	}
	return NULL;
}

/* The datagram that began first. If several began at the same time, any of them will do. */
static struct datagram *datagram_oldest(struct net_fragments *fragments)
{
	struct datagram *oldest = &fragments->datagrams[0];

	for (unsigned i = 1; i < NET_DATAGRAMS; i++) {
		struct datagram *datagram = &fragments->datagrams[i];

		if (!datagram->used || (oldest->used && datagram->since_ns < oldest->since_ns))
			oldest = datagram;
	}
	return oldest;
}

static struct datagram *datagram_begin(struct net_fragments *fragments, struct datagram *datagram,
				       const struct net_packet *packet, uint64_t now_ns)
{
	uint8_t *frame = calloc(1, FRAME_SIZE);

	if (!frame)
		return NULL;
	*datagram = (struct datagram){
		.used = true,
		.source = packet->source,
		.destination = packet->destination,
		.protocol = packet->protocol,
		.id = packet->id,
		.since_ns = now_ns,
		.frame = frame,
	};
	fragments->bytes += FRAME_SIZE;
	return datagram;
}

/* From the first fragment, without options: the headers of the whole datagram. */
static void take_header(struct datagram *datagram, const struct net_packet *packet)
{
	uint8_t *ip = datagram->frame + NET_ETHERNET;
	uint32_t length = packet->length - packet->header + NET_IPV4;

	memcpy(datagram->frame, packet->frame, NET_ETHERNET + NET_IPV4);
	ip[0] = 0x45;
	ip[2] = (uint8_t)(length >> 8);
	ip[3] = (uint8_t)length;
	ip[6] = ip[7] = 0;
	net_ip_checksum(ip, NET_IPV4);
	datagram->first = true;
}

/* False if the fragment contradicts those that are there, or is too long. */
static bool take_contents(struct datagram *datagram, const struct net_packet *packet)
{
	uint32_t length = packet->length - packet->header, end = packet->offset + length;

	if (length == 0 || end > CONTENTS_MAX || (packet->more && length % 8) ||
	    (datagram->total && end > datagram->total) ||
	    (!packet->more &&
	     (end < datagram->highest || (datagram->total && end != datagram->total))))
		return false;
	memcpy(datagram->frame + NET_ETHERNET + NET_IPV4 + packet->offset,
	       packet->ip + packet->header, length);
	for (uint32_t unit = packet->offset / 8; unit < (end + 7) / 8; unit++) {
		datagram->received += !(datagram->units[unit / 8] >> unit % 8 & 1);
		datagram->units[unit / 8] |= (uint8_t)(1u << unit % 8);
	}
	if (end > datagram->highest)
		datagram->highest = end;
	if (!packet->more)
		datagram->total = end;
	if (packet->offset == 0)
		take_header(datagram, packet);
	return true;
}

/* Takes out the frame of a whole datagram. Returns its length. */
static size_t datagram_take(struct net_fragments *fragments, struct datagram *datagram)
{
	uint8_t *ip = datagram->frame + NET_ETHERNET;
	uint32_t length = NET_IPV4 + datagram->total;

	ip[2] = (uint8_t)(length >> 8);
	ip[3] = (uint8_t)length;
	net_ip_checksum(ip, NET_IPV4);
	free(fragments->whole);
	fragments->whole = datagram->frame;
	datagram->frame = NULL;
	datagram_end(fragments, datagram);
	return NET_ETHERNET + length;
}

bool net_fragments_add(struct net_fragments *fragments, const struct net_packet *packet,
		       uint64_t now_ns, uint32_t gateway, const uint8_t **frame, size_t *length,
		       uint8_t answer[NET_ANSWER_MAX], size_t *answer_length)
{
	struct datagram *datagram = datagram_find(fragments, packet);

	*answer_length = 0;
	if (datagram && now_ns - datagram->since_ns > NET_FRAGMENT_SECONDS * NS_PER_SECOND) {
		datagram_drop(fragments, datagram, gateway, answer, answer_length);
		datagram = NULL;
	}
	if (!datagram) {
		datagram = datagram_oldest(fragments);
		if (datagram->used)
			datagram_drop(fragments, datagram, gateway, answer, answer_length);
		datagram = datagram_begin(fragments, datagram, packet, now_ns);
	}
	if (!datagram)
		return false;
	if (!take_contents(datagram, packet)) {
		datagram_drop(fragments, datagram, gateway, answer, answer_length);
		return false;
	}
	if (!datagram->first || !datagram->total || datagram->received != (datagram->total + 7) / 8)
		return false;
	*length = datagram_take(fragments, datagram);
	*frame = fragments->whole;
	return true;
}

size_t net_fragments_bytes(const struct net_fragments *fragments)
{
	return fragments->bytes;
}

uint64_t net_fragments_dropped(const struct net_fragments *fragments)
{
	return fragments->dropped;
}
