/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * IPv4 in Ethernet frames of the user network: parsed, answered, readdressed. RFC 791, 768, 792,
 * 9293. Any thread; nothing here keeps a state.
 */
#ifndef SYMVM_DEVICES_VIRTIO_NET_PACKET_H
#define SYMVM_DEVICES_VIRTIO_NET_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NET_ETHERNET	    14u
#define NET_IPV4	    20u /* bytes of a header without options */
#define NET_UDP		    8u
#define NET_ANSWER_MAX	    128u /* the longest frame that net_answer_*() make */
#define NET_UDP_FRAME(n)    (NET_ETHERNET + NET_IPV4 + NET_UDP + (n))
#define NET_TCP_SYN	    0x02u
#define NET_TCP_RST	    0x04u
#define NET_TCP_ACK	    0x10u
#define NET_UNREACHABLE	    3u /* ICMP types ... */
#define NET_TIME_EXCEEDED   11u
#define NET_CODE_FRAGMENTS  1u	/* ... and codes: a datagram's fragments did not all come */
#define NET_CODE_PROHIBITED 13u /* administratively */

/* A packet in a frame of the guest. Addresses and ports are in the host's order. */
struct net_packet {
	const uint8_t *frame; /* where it was parsed from */
	const uint8_t *ip;
	uint32_t length; /* of the whole IP packet, header included */
	uint32_t header; /* of its header */
	uint32_t source, destination;
	uint8_t protocol;
	uint16_t id;
	bool more;	 /* fragments follow */
	uint32_t offset; /* of this fragment, bytes; 0 and !more: not a fragment */
	bool has_ports;	 /* a whole packet or its first fragment, TCP or UDP, long enough */
	uint16_t source_port, destination_port;
	uint8_t flags; /* TCP's, if has_ports */
};

/* False if it is not IPv4, or no host would take it. @frame must outlive @packet. */
bool net_packet_parse(const uint8_t *frame, size_t length, struct net_packet *packet);

static inline bool net_packet_is_fragment(const struct net_packet *packet)
{
	return packet->more || packet->offset;
}

/*
 * Makes the frame that answers @packet: an ICMP error from the address @from. Returns its length,
 * or 0 if there must be no answer (to a later fragment, an ICMP error, a broadcast).
 */
size_t net_answer_icmp(const struct net_packet *packet, uint32_t from, uint8_t type, uint8_t code,
		       uint8_t answer[NET_ANSWER_MAX]);
/* The same for TCP: a reset. 0 in answer to a reset, too. */
size_t net_answer_reset(const struct net_packet *packet, uint8_t answer[NET_ANSWER_MAX]);

/* One end of a datagram. */
struct net_endpoint {
	uint8_t mac[6];
	uint32_t address;
	uint16_t port;
};

/*
 * Puts headers in front of the @length bytes at frame + NET_UDP_FRAME(0). Returns the frame's
 * length.
 */
size_t net_udp_frame(uint8_t *frame, size_t length, const struct net_endpoint *from,
		     const struct net_endpoint *to);

/* Changes an address of the whole TCP packet in @frame, and its checksums. */
void net_packet_readdress(uint8_t *frame, const struct net_packet *packet, bool source,
			  uint32_t address);

/* Fills in the header's checksum. */
void net_ip_checksum(uint8_t *ip, size_t header);

#endif
