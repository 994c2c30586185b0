// SPDX-License-Identifier: BSD-2-Clause
#include "devices/virtio/net/net_flow.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "devices/virtio/net/net_policy.h"
#include "util/u64.h"

#define PORTS	   65536u
#define PINGS_MOST 64u

/* Half of the process's descriptors: the process needs the rest itself. */
static unsigned descriptors_spare(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur / 2 > 2 * NET_FLOWS_MAX)
		return 2 * NET_FLOWS_MAX;
	return (unsigned)(limit.rlim_cur / 2);
}

int net_flows_init(struct net_flows *flows, uint64_t tcp, struct error *err)
{
	unsigned all = descriptors_spare();

	*flows = (struct net_flows){0};
	if (tcp < NET_FLOWS_MIN || tcp > NET_FLOWS_MAX)
		return error_set(err, -EINVAL, "--net: flows=%llu: expected %u to %u",
				 (unsigned long long)tcp, NET_FLOWS_MIN, NET_FLOWS_MAX);
	flows->most[NET_FLOW_TCP] = (unsigned)u64_min(tcp, all / 2);
	flows->most[NET_FLOW_UDP] = (unsigned)u64_min(tcp, all / 4);
	flows->most[NET_FLOW_ICMP] = (unsigned)u64_min(PINGS_MOST, all / 16);
	flows->udp = calloc(PORTS, sizeof(*flows->udp));
	return flows->udp ? 0 : error_set(err, -ENOMEM, "--net: out of memory");
}

void net_flows_free(struct net_flows *flows)
{
	free(flows->udp);
	flows->udp = NULL;
}

enum net_flow_kind net_flow_kind(const struct net_packet *packet)
{
	switch (packet->protocol) {
	case IPPROTO_TCP:
		return packet->has_ports && net_begins_connection(packet) ? NET_FLOW_TCP
									  : NET_FLOW_NONE;
	case IPPROTO_UDP:
		return packet->has_ports ? NET_FLOW_UDP : NET_FLOW_NONE;
	case IPPROTO_ICMP:
		return NET_FLOW_ICMP;
	default:
		return NET_FLOW_NONE;
	}
}

bool net_flows_full(const struct net_flows *flows, const struct net_packet *packet)
{
	enum net_flow_kind kind = net_flow_kind(packet);

	if (kind == NET_FLOW_NONE || flows->count[kind] < flows->most[kind])
		return false;
	/* libslirp has one socket for everything that a port of the guest sends. */
	return kind != NET_FLOW_UDP || flows->udp[packet->source_port] != packet->source;
}

struct net_flow net_flows_opened(struct net_flows *flows, enum net_flow_kind kind,
				 const struct net_packet *packet)
{
	struct net_flow flow = {.kind = (uint8_t)kind};

	flows->count[kind]++;
	if (kind == NET_FLOW_UDP && packet) {
		flow.address = packet->source;
		flow.port = packet->source_port;
		flows->udp[flow.port] = flow.address;
	}
	return flow;
}

void net_flows_closed(struct net_flows *flows, const struct net_flow *flow)
{
	if (flow->kind == NET_FLOW_NONE)
		return;
	flows->count[flow->kind]--;
	if (flow->kind == NET_FLOW_UDP && flows->udp[flow->port] == flow->address)
		flows->udp[flow->port] = 0;
}

void net_flows_describe(const struct net_flows *flows, json_t *object)
{
	unsigned tcp = flows->count[NET_FLOW_TCP];

	json_object_set_new(object, "flows_tcp", json_integer(tcp));
	json_object_set_new(object, "flows_tcp_most", json_integer(flows->most[NET_FLOW_TCP]));
	json_object_set_new(object, "flows_tcp_buffers",
			    json_integer((json_int_t)tcp * NET_FLOW_BUFFERS));
	json_object_set_new(object, "flows_udp", json_integer(flows->count[NET_FLOW_UDP]));
	json_object_set_new(object, "flows_udp_most", json_integer(flows->most[NET_FLOW_UDP]));
	json_object_set_new(object, "flows_icmp", json_integer(flows->count[NET_FLOW_ICMP]));
	json_object_set_new(object, "flows_refused", json_integer((json_int_t)flows->refused));
}
