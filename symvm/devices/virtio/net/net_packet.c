// SPDX-License-Identifier: BSD-2-Clause
#include "devices/virtio/net/net_packet.h"

#include <netinet/in.h>
#include <string.h>

#define TCP_HEADER	20u
#define TCP_CHECKSUM	16u
#define ICMP_HEADER	8u
#define ICMP_ECHO	8u
#define ICMP_ECHO_REPLY 0u
#define QUOTED		8u /* bytes of the packet's contents in an ICMP error */
#define MORE_FRAGMENTS	0x2000u
#define TTL		64u

/* The gateway of libslirp: 52:55 and its address 10.0.2.2. */
static const uint8_t gateway_mac[6] = {0x52, 0x55, 10, 0, 2, 2};

static uint16_t get16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static uint32_t get32(const uint8_t *at)
{
	return (uint32_t)get16(at) << 16 | get16(at + 2);
}

static void put16(uint8_t *at, uint16_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static void put32(uint8_t *at, uint32_t value)
{
	put16(at, (uint16_t)(value >> 16));
	put16(at + 2, (uint16_t)value);
}

static uint32_t sum_add(uint32_t sum, const uint8_t *data, size_t length)
{
	for (; length > 1; data += 2, length -= 2) {
		sum += get16(data);
		sum = (sum & 0xffff) + (sum >> 16);
	}
	return length ? sum + (uint32_t)(data[0] << 8) : sum;
}

static uint16_t sum_end(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

void net_ip_checksum(uint8_t *ip, size_t header)
{
	put16(ip + 10, 0);
	put16(ip + 10, sum_end(sum_add(0, ip, header)));
}

static void parse_ports(struct net_packet *packet)
{
	const uint8_t *inner = packet->ip + packet->header;
	uint32_t left = packet->length - packet->header;
	bool tcp = packet->protocol == IPPROTO_TCP;

	if (packet->offset || (!tcp && packet->protocol != IPPROTO_UDP) ||
	    left < (tcp ? TCP_HEADER : NET_UDP))
		return;
	packet->has_ports = true;
	packet->source_port = get16(inner);
	packet->destination_port = get16(inner + 2);
	packet->flags = tcp ? inner[13] : 0;
}

bool net_packet_parse(const uint8_t *frame, size_t length, struct net_packet *packet)
{
	const uint8_t *ip = frame + NET_ETHERNET;
	uint16_t fragment;

	*packet = (struct net_packet){.frame = frame, .ip = ip};
	if (length < NET_ETHERNET + NET_IPV4 || get16(frame + 12) != 0x0800 || ip[0] >> 4 != 4)
		return false;
	packet->header = (ip[0] & 15u) * 4u;
	packet->length = get16(ip + 2);
	if (packet->header < NET_IPV4 || packet->length < packet->header ||
	    packet->length > length - NET_ETHERNET)
		return false;
	packet->id = get16(ip + 4);
	fragment = get16(ip + 6);
	packet->more = fragment & MORE_FRAGMENTS;
	packet->offset = (fragment & 0x1fffu) * 8u;
	packet->protocol = ip[9];
	packet->source = get32(ip + 12);
	packet->destination = get32(ip + 16);
	parse_ports(packet);
	return true;
}

/* Ethernet and IP headers of an answer to the sender of @packet. */
static uint8_t *answer_begin(const struct net_packet *packet, uint32_t from, uint8_t protocol,
			     size_t contents, uint8_t *answer)
{
	uint8_t *ip = answer + NET_ETHERNET;

	memset(answer, 0, NET_ETHERNET + NET_IPV4);
	memcpy(answer, packet->frame + 6, 6);
	memcpy(answer + 6, gateway_mac, 6);
	put16(answer + 12, 0x0800);
	ip[0] = 0x45;
	put16(ip + 2, (uint16_t)(NET_IPV4 + contents));
	ip[8] = TTL;
	ip[9] = protocol;
	put32(ip + 12, from);
	put32(ip + 16, packet->source);
	net_ip_checksum(ip, NET_IPV4);
	return ip + NET_IPV4;
}

/* RFC 1122, 3.2.2: packets that must not be answered with an ICMP error. */
static bool answerable(const struct net_packet *packet)
{
	const uint8_t *inner = packet->ip + packet->header;
	bool icmp = packet->protocol == IPPROTO_ICMP;

	if (packet->offset || packet->destination == 0xffffffffu ||
	    packet->destination >> 28 == 14 || packet->source == 0 || (packet->frame[0] & 1) ||
	    (packet->frame[6] & 1))
		return false;
	return !icmp || (packet->length > packet->header &&
			 (inner[0] == ICMP_ECHO || inner[0] == ICMP_ECHO_REPLY));
}

size_t net_answer_icmp(const struct net_packet *packet, uint32_t from, uint8_t type, uint8_t code,
		       uint8_t answer[NET_ANSWER_MAX])
{
	uint32_t quoted = packet->header + QUOTED;
	uint8_t *icmp;

	if (!answerable(packet))
		return 0;
	if (quoted > packet->length)
		quoted = packet->length;
	icmp = answer_begin(packet, from, IPPROTO_ICMP, ICMP_HEADER + quoted, answer);
	memset(icmp, 0, ICMP_HEADER);
	icmp[0] = type;
	icmp[1] = code;
	memcpy(icmp + ICMP_HEADER, packet->ip, quoted);
	put16(icmp + 2, sum_end(sum_add(0, icmp, ICMP_HEADER + quoted)));
	return NET_ETHERNET + NET_IPV4 + ICMP_HEADER + quoted;
}

/* The sum of the pseudo header of TCP and UDP. */
static uint32_t pseudo_sum(const uint8_t *ip, uint8_t protocol, size_t length)
{
	return sum_add(protocol + (uint32_t)length, ip + 12, 8);
}

size_t net_answer_reset(const struct net_packet *packet, uint8_t answer[NET_ANSWER_MAX])
{
	const uint8_t *from = packet->ip + packet->header;
	uint32_t data, sequence = 0, acknowledged = 0;
	uint8_t *tcp, flags = NET_TCP_RST;

	if (!packet->has_ports || packet->protocol != IPPROTO_TCP || (packet->flags & NET_TCP_RST))
		return 0;
	if (packet->flags & NET_TCP_ACK) {
		sequence = get32(from + 8);
	} else {
		data = packet->length - packet->header - TCP_HEADER;
		acknowledged = get32(from + 4) + data + (packet->flags & 3u ? 1u : 0u);
		flags |= NET_TCP_ACK;
	}
	tcp = answer_begin(packet, packet->destination, IPPROTO_TCP, TCP_HEADER, answer);
	memset(tcp, 0, TCP_HEADER);
	put16(tcp, packet->destination_port);
	put16(tcp + 2, packet->source_port);
	put32(tcp + 4, sequence);
	put32(tcp + 8, acknowledged);
	tcp[12] = TCP_HEADER / 4 << 4;
	tcp[13] = flags;
	put16(tcp + TCP_CHECKSUM,
	      sum_end(sum_add(pseudo_sum(answer + NET_ETHERNET, IPPROTO_TCP, TCP_HEADER), tcp,
			      TCP_HEADER)));
	return NET_ETHERNET + NET_IPV4 + TCP_HEADER;
}

size_t net_udp_frame(uint8_t *frame, size_t length, const struct net_endpoint *from,
		     const struct net_endpoint *to)
{
	uint8_t *ip = frame + NET_ETHERNET, *udp = ip + NET_IPV4;
	uint16_t sum;

	memset(frame, 0, NET_UDP_FRAME(0));
	memcpy(frame, to->mac, 6);
	memcpy(frame + 6, from->mac, 6);
	put16(frame + 12, 0x0800);
	ip[0] = 0x45;
	put16(ip + 2, (uint16_t)(NET_IPV4 + NET_UDP + length));
	ip[8] = TTL;
	ip[9] = IPPROTO_UDP;
	put32(ip + 12, from->address);
	put32(ip + 16, to->address);
	net_ip_checksum(ip, NET_IPV4);
	put16(udp, from->port);
	put16(udp + 2, to->port);
	put16(udp + 4, (uint16_t)(NET_UDP + length));
	sum = sum_end(
		sum_add(pseudo_sum(ip, IPPROTO_UDP, NET_UDP + length), udp, NET_UDP + length));
	put16(udp + 6, sum ? sum : 0xffff);
	return NET_UDP_FRAME(length);
}

void net_packet_readdress(uint8_t *frame, const struct net_packet *packet, bool source,
			  uint32_t address)
{
	uint8_t *ip = frame + NET_ETHERNET, *at = ip + (source ? 12 : 16);
	uint8_t *checksum = ip + packet->header + TCP_CHECKSUM;
	uint32_t old = get32(at), sum;

	put32(at, address);
	net_ip_checksum(ip, packet->header);
	/* RFC 1624: subtracts the old value and adds the new one. */
	sum = (uint16_t)~get16(checksum);
	sum += (uint16_t) ~(old >> 16);
	sum += (uint16_t)~old;
	sum += address >> 16;
	sum += address & 0xffff;
	put16(checksum, sum_end(sum));
}
