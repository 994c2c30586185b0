// SPDX-License-Identifier: BSD-2-Clause
#include "devices/virtio/net/net_policy.h"

#include <netinet/in.h>

#include "devices/virtio/net/net_dns.h"

#define DHCP_SERVER 67u

void net_policy_forward(struct net_policy *policy, const struct net_forward *forward)
{
	if (!forward->udp || policy->udp_count == KEYVAL_LIST_MAX)
		return;
	policy->udp[policy->udp_count].guest = ntohl(forward->guest.s_addr);
	policy->udp[policy->udp_count++].port = forward->guest_port;
}

static bool is_forwarded(const struct net_policy *policy, uint32_t guest, uint16_t port)
{
	for (unsigned i = 0; i < policy->udp_count; i++)
		if (policy->udp[i].guest == guest && policy->udp[i].port == port)
			return true;
	return false;
}

static bool is_peer(const struct net_policy *policy, const struct net_peer *peer)
{
	for (unsigned i = 0; i < NET_PEERS; i++) {
		const struct net_peer *known = &policy->peers[i];

		if (known->guest == peer->guest && known->address == peer->address &&
		    known->guest_port == peer->guest_port && known->port == peer->port)
			return true;
	}
	return false;
}

void net_policy_incoming(struct net_policy *policy, const struct net_packet *packet)
{
	const struct net_peer peer = {.guest = packet->destination,
				      .address = packet->source,
				      .guest_port = packet->destination_port,
				      .port = packet->source_port};

	if (packet->protocol != IPPROTO_UDP || !packet->has_ports ||
	    !is_forwarded(policy, peer.guest, peer.guest_port) || is_peer(policy, &peer))
		return;
	policy->peers[policy->peer_next] = peer;
	policy->peer_next = (policy->peer_next + 1) % NET_PEERS;
}

static bool is_forward_answer(const struct net_policy *policy, const struct net_packet *packet)
{
	const struct net_peer peer = {.guest = packet->source,
				      .address = packet->destination,
				      .guest_port = packet->source_port,
				      .port = packet->destination_port};

	return packet->protocol == IPPROTO_UDP && packet->has_ports &&
	       is_forwarded(policy, peer.guest, peer.guest_port) && is_peer(policy, &peer);
}

static bool is_dhcp(const struct net_policy *policy, const struct net_packet *packet)
{
	return packet->protocol == IPPROTO_UDP && packet->destination_port == DHCP_SERVER &&
	       (packet->destination == policy->host || packet->destination == INADDR_BROADCAST);
}

/*
 * Addresses that lead to this host's own services, or to its link: 10.0.2.2, which libslirp
 * translates to the host; 127/8; "this host" (0/8); and 169.254/16, which no router may forward
 * (RFC 3927) and where clouds offer the credentials of their machines.
 */
static bool is_local(const struct net_policy *policy, uint32_t address)
{
	return address == policy->host || address == INADDR_BROADCAST || address >> 24 == 127 ||
	       address >> 24 == 0 || address >> 16 == 0xa9fe;
}

static enum net_verdict judge_name_server(const struct net_policy *policy,
					  const struct net_packet *packet)
{
	if (packet->protocol == IPPROTO_ICMP)
		return NET_PASS;
	return !policy->restricted && packet->has_ports && packet->destination_port == NET_DNS_PORT
		       ? NET_DNS
		       : NET_REFUSE;
}

enum net_verdict net_policy_judge(const struct net_policy *policy, const struct net_packet *packet)
{
	if (packet->destination == policy->name_server)
		return judge_name_server(policy, packet);
	/* libslirp itself answers these, and resets segments that belong to no connection. */
	if (is_dhcp(policy, packet) ||
	    (packet->protocol == IPPROTO_ICMP && packet->destination == policy->host) ||
	    (packet->protocol == IPPROTO_TCP && packet->has_ports &&
	     !net_begins_connection(packet)))
		return NET_PASS;
	if (is_forward_answer(policy, packet))
		return NET_PASS;
	if (policy->restricted || (!policy->host_loopback && is_local(policy, packet->destination)))
		return NET_REFUSE;
	return NET_PASS;
}
