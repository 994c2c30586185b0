// SPDX-License-Identifier: BSD-2-Clause
/*
 * The user network before libslirp: any frames of the guest through the packet parser, the
 * fragments, the policy, the bounds of flows and the answers. In the end libslirp gets a whole
 * packet within its frame.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "devices/virtio/net/net_flow.h"
#include "devices/virtio/net/net_fragments.h"
#include "devices/virtio/net/net_policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HOST	    0x0a000202u
#define NAME_SERVER 0x0a000203u

static struct net_flows flows;
static volatile uint8_t sum;

static void look(const uint8_t *data, size_t length)
{
	for (size_t i = 0; i < length; i++)
		sum += data[i];
}

static void answer(const struct net_packet *packet)
{
	uint8_t frame[NET_ANSWER_MAX];
	struct net_packet back;
	size_t length = net_answer_icmp(packet, HOST, NET_UNREACHABLE, NET_CODE_PROHIBITED, frame);

	look(frame, length);
	if (length &&
	    (!net_packet_parse(frame, length, &back) || back.destination != packet->source))
		abort();
	length = net_answer_reset(packet, frame);
	look(frame, length);
	if (length && (!net_packet_parse(frame, length, &back) || !back.has_ports))
		abort();
}

static void whole(struct net_policy *policy, const uint8_t *frame, size_t length,
		  const struct net_packet *packet)
{
	enum net_verdict verdict = net_policy_judge(policy, packet);
	uint8_t *copy;

	if (packet->length > length - NET_ETHERNET || net_packet_is_fragment(packet))
		abort();
	if (verdict == NET_PASS && policy->restricted && packet->protocol == 6 &&
	    packet->has_ports && net_begins_connection(packet))
		abort();
	if (verdict == NET_PASS && !policy->host_loopback && packet->destination >> 24 == 127 &&
	    !(packet->protocol == 6 && packet->has_ports && !net_begins_connection(packet)))
		abort();
	net_policy_incoming(policy, packet);
	if (!net_flows_full(&flows, packet) && net_flow_kind(packet) != NET_FLOW_NONE) {
		struct net_flow flow = net_flows_opened(&flows, net_flow_kind(packet), packet);

		if (flow.port & 1)
			net_flows_closed(&flows, &flow);
	}
	answer(packet);
	if (packet->protocol != 6 || !packet->has_ports)
		return;
	copy = malloc(length);
	memcpy(copy, frame, length);
	net_packet_readdress(copy, packet, sum & 1, HOST);
	free(copy);
}

/* One frame in memory of its own size. */
static void one_frame(struct net_policy *policy, struct net_fragments *fragments,
		      const uint8_t *data, size_t length, uint64_t now)
{
	uint8_t *frame = malloc(length), given[NET_ANSWER_MAX];
	const uint8_t *out = frame;
	struct net_packet packet;
	size_t given_length = 0;

	memcpy(frame, data, length);
	if (length >= NET_ETHERNET && net_packet_parse(frame, length, &packet)) {
		if (!net_packet_is_fragment(&packet)) {
			whole(policy, frame, length, &packet);
		} else if (net_fragments_add(fragments, &packet, now, HOST, &out, &length, given,
					     &given_length)) {
			if (!net_packet_parse(out, length, &packet))
				abort();
			whole(policy, out, length, &packet);
		}
		look(given, given_length);
	}
	free(frame);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct net_policy policy = {.host = HOST, .name_server = NAME_SERVER};
	struct net_fragments *fragments = net_fragments_create();
	struct net_forward forward;
	struct error err;
	uint64_t now = 0;

	if (!fragments || net_flows_init(&flows, NET_FLOWS_MIN, &err) < 0 ||
	    net_forward_parse("udp::9-:7", 0x0a00020f, &forward, &err) < 0)
		abort();
	net_policy_forward(&policy, &forward);
	if (size) {
		policy.host_loopback = data[0] & 1;
		policy.restricted = data[0] & 2;
	}
	/* Frames with their length in front, and the time that passed. */
	for (size_t at = 1; at + 3 <= size;) {
		size_t length = (size_t)(data[at] << 8 | data[at + 1]);

		now += (uint64_t)data[at + 2] << 26;
		at += 3;
		length = length < size - at ? length : size - at;
		one_frame(&policy, fragments, data + at, length, now);
		at += length;
	}
	if (net_fragments_bytes(fragments) > NET_DATAGRAMS * 70000ull)
		abort();
	net_fragments_destroy(fragments);
	net_flows_free(&flows);
	return 0;
}
