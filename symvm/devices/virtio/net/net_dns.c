// SPDX-License-Identifier: BSD-2-Clause
/*
 * Relays DNS queries of the guest to the host's name servers.
 *
 * Each query under way has a socket of its own. If a server cannot be reached, or if the guest
 * repeats its query, the next server is tried. If none is left, the guest gets "server failure".
 * The list of servers is read again after a while by a process outside of the jail
 * (net_resolver.h); queries wait a bounded time for it.
 */
#include "devices/virtio/net/net_dns.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "devices/virtio/net/net_resolver.h"
#include "util/clock.h"

#define HEADER	    12u	  /* RFC 1035, 4.1.1 */
#define QUERY_MOST  1232u /* the longest query that is kept */
#define ANSWER_MOST 65507u
#define REFRESH_NS  NS_PER_SECOND
#define FLAG_ANSWER 0x80u /* in byte 2 */
#define FLAG_CUT    0x02u
#define CODE_FAILED 2u /* in byte 3 */

/* A query under way. */
struct query {
	struct net_dns *dns;
	bool used, waiting; /* until the host's name servers are read */
	int fd;		    /* -1: none */
	struct event_source *source;
	struct net_endpoint guest;
	uint64_t since_ns;
	unsigned tried; /* servers */
	uint16_t length;
	uint8_t data[QUERY_MOST];
};

struct net_dns {
	struct net_dns_config config;
	struct net_resolvers resolvers;
	int resolver_fd;
	struct event_source *resolver_source;
	bool asking, gone;
	uint64_t asked_ns, read_ns;
	struct query queries[NET_DNS_MOST];
	_Atomic uint64_t asked, answered, failed;
	uint8_t frame[NET_UDP_FRAME(ANSWER_MOST)];
};

static void query_close(struct query *query)
{
	if (query->source)
		event_source_remove(query->source);
	if (query->fd >= 0)
		close(query->fd);
	query->source = NULL;
	query->fd = -1;
}

static void query_end(struct query *query)
{
	query_close(query);
	query->used = query->waiting = false;
}

/* Gives the guest the @length bytes that follow the headers in dns->frame. */
static void answer_send(struct net_dns *dns, const struct query *query, size_t length)
{
	const struct net_endpoint from = {
		.mac = {0x52, 0x55, 10, 0, 2, 3},
		.address = dns->config.address,
		.port = NET_DNS_PORT,
	};

	dns->config.send(dns->config.opaque, dns->frame,
			 net_udp_frame(dns->frame, length, &from, &query->guest));
}

/* Ends a query with "server failure", so that the guest need not wait for its own time-out. */
static void query_fail(struct net_dns *dns, struct query *query)
{
	uint8_t *data = dns->frame + NET_UDP_FRAME(0);

	memcpy(data, query->data, query->length);
	data[2] |= FLAG_ANSWER;
	data[3] = (uint8_t)((data[3] & 0x70u) | CODE_FAILED);
	dns->failed++;
	answer_send(dns, query, query->length);
	query_end(query);
}

static uint16_t get16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

/* The end of the one question in @data; 0 if it has another form. */
static size_t question_end(const uint8_t *data, size_t length)
{
	size_t at = HEADER;

	if (get16(data + 4) != 1)
		return 0;
	while (at < length && data[at] && data[at] < 64)
		at += data[at] + 1u;
	return at + 5 <= length && data[at] == 0 ? at + 5 : 0;
}

/* An answer that is too long for a frame of the guest is cut, so that the guest asks by TCP. */
static size_t answer_cut(const struct net_dns *dns, uint8_t *data, size_t length)
{
	if (length + NET_IPV4 + NET_UDP <= dns->config.mtu)
		return length;
	length = question_end(data, length);
	if (length == 0) {
		memset(data + 4, 0, 2);
		length = HEADER;
	}
	data[2] |= FLAG_CUT;
	memset(data + 6, 0, 6);
	return length;
}

static void query_send(struct net_dns *dns, struct query *query);

static void answer_ready(void *opaque, uint32_t events)
{
	struct query *query = opaque;
	struct net_dns *dns = query->dns;
	uint8_t *data = dns->frame + NET_UDP_FRAME(0);
	ssize_t length = recv(query->fd, data, ANSWER_MOST, MSG_DONTWAIT);

	if (length < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (length < 0) {
		/* No server listens there (ECONNREFUSED): try the next one. */
		query_send(dns, query);
		return;
	}
	/* Any other answer may be a forger's guess. */
	if ((size_t)length < HEADER || memcmp(data, query->data, 2) != 0)
		return;
	dns->answered++;
	answer_send(dns, query, answer_cut(dns, data, (size_t)length));
	query_end(query);
}

/* Sends the query to the server at @number of the known ones. False if that is impossible. */
static bool query_send_to(struct net_dns *dns, struct query *query, unsigned number)
{
	union net_resolver_address *server = &dns->resolvers.servers[number];
	socklen_t size = server->family == AF_INET ? sizeof(server->in4) : sizeof(server->in6);

	if (dns->config.port) {
		if (server->family == AF_INET)
			server->in4.sin_port = htons(dns->config.port);
		else
			server->in6.sin6_port = htons(dns->config.port);
	}
	query->fd = socket(server->family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (query->fd < 0 || connect(query->fd, (struct sockaddr *)server, size) < 0 ||
	    send(query->fd, query->data, query->length, MSG_NOSIGNAL) < 0)
		return false;
	query->source = event_loop_add(dns->config.loop, query->fd, EPOLLIN, answer_ready, query);
	return query->source != NULL;
}

/* Sends the query to the next server that was not tried; if there is none, the query fails. */
static void query_send(struct net_dns *dns, struct query *query)
{
	query->waiting = false;
	while (query->tried < dns->resolvers.count) {
		query_close(query);
		if (query_send_to(dns, query, query->tried++))
			return;
	}
	query_fail(dns, query);
}

static void resolver_gone(struct net_dns *dns)
{
	if (!dns->gone && dns->config.log)
		log_error(dns->config.log,
			  "net: the process that reads %s is gone: the name servers stay as they "
			  "are",
			  dns->config.path);
	dns->gone = true;
	dns->asking = false;
	event_source_modify(dns->resolver_source, 0);
}

/* Sends the queries that waited for the name servers. */
static void waiting_send(struct net_dns *dns)
{
	for (unsigned i = 0; i < NET_DNS_MOST; i++)
		if (dns->queries[i].used && dns->queries[i].waiting)
			query_send(dns, &dns->queries[i]);
}

static void resolver_ready(void *opaque, uint32_t events)
{
	struct net_dns *dns = opaque;

	if (net_resolver_take(dns->resolver_fd, &dns->resolvers)) {
		dns->asking = false;
		dns->read_ns = clock_now_ns();
	} else if (events & (EPOLLHUP | EPOLLERR)) {
		resolver_gone(dns);
	} else {
		return;
	}
	waiting_send(dns);
}

/*
 * Whether the name servers are being read. If the process hangs (a dead network file system under
 * /etc), queries wait for it no longer than REFRESH_NS.
 */
static bool servers_refresh(struct net_dns *dns)
{
	uint64_t now = clock_now_ns();

	if (dns->gone)
		return false;
	if (dns->asking)
		return now - dns->asked_ns < REFRESH_NS;
	if (dns->read_ns && now - dns->read_ns < REFRESH_NS)
		return false;
	if (!net_resolver_ask(dns->resolver_fd)) {
		resolver_gone(dns);
		return false;
	}
	dns->asking = true;
	dns->asked_ns = now;
	return true;
}

/*
 * A slot for @packet: the same query asked again; else a free slot; else the oldest query: of the
 * same port if that port has too many, otherwise of all.
 */
static struct query *query_find(struct net_dns *dns, const struct net_packet *packet,
				const uint8_t *data, bool *again)
{
	struct query *oldest = NULL, *oldest_of_port = NULL, *unused = NULL;
	unsigned of_port = 0;

	*again = false;
	for (unsigned i = 0; i < NET_DNS_MOST; i++) {
		struct query *query = &dns->queries[i];
		bool same = query->used && query->guest.port == packet->source_port &&
			    query->guest.address == packet->source;

		if (!query->used) {
			unused = unused ? unused : query;
			continue;
		}
		if (same && memcmp(query->data, data, 2) == 0) {
			*again = true;
			return query;
		}
		if (!oldest || query->since_ns < oldest->since_ns)
			oldest = query;
		if (same && (!oldest_of_port || query->since_ns < oldest_of_port->since_ns))
			oldest_of_port = query;
		of_port += same;
	}
	if (of_port >= NET_DNS_PER_PORT)
		return oldest_of_port;
	return unused ? unused : oldest;
}

static void query_begin(struct net_dns *dns, struct query *query, const struct net_packet *packet,
			const uint8_t *data, size_t length)
{
	if (query->used)
		query_fail(dns, query);
	query->used = true;
	query->tried = 0;
	query->since_ns = clock_now_ns();
	query->guest.address = packet->source;
	query->guest.port = packet->source_port;
	memcpy(query->guest.mac, packet->frame + 6, 6);
	query->length = (uint16_t)length;
	memcpy(query->data, data, length);
}

void net_dns_query(struct net_dns *dns, const struct net_packet *packet)
{
	const uint8_t *udp = packet->ip + packet->header, *data = udp + NET_UDP;
	uint32_t length = get16(udp + 4);
	struct query *query;
	bool again;

	dns->asked++;
	if (length > packet->length - packet->header || length < NET_UDP + HEADER ||
	    length > NET_UDP + QUERY_MOST) {
		dns->failed++;
		return;
	}
	length -= NET_UDP;
	query = query_find(dns, packet, data, &again);
	if (again && query->waiting)
		return;
	/* A guest that asks again has got no answer from the server that was tried. */
	if (again && query->tried >= dns->resolvers.count)
		query->tried = 0;
	if (!again)
		query_begin(dns, query, packet, data, length);
	if (servers_refresh(dns))
		query->waiting = true;
	else
		query_send(dns, query);
}

uint32_t net_dns_server(struct net_dns *dns)
{
	servers_refresh(dns);
	for (unsigned i = 0; i < dns->resolvers.count; i++)
		if (dns->resolvers.servers[i].family == AF_INET)
			return ntohl(dns->resolvers.servers[i].in4.sin_addr.s_addr);
	return 0;
}

void net_dns_describe(const struct net_dns *dns, json_t *object)
{
	json_object_set_new(object, "dns_queries", json_integer((json_int_t)dns->asked));
	json_object_set_new(object, "dns_answers", json_integer((json_int_t)dns->answered));
	json_object_set_new(object, "dns_failed", json_integer((json_int_t)dns->failed));
}

struct net_dns *net_dns_create(const struct net_dns_config *config, struct error *err)
{
	struct net_dns *dns = calloc(1, sizeof(*dns));

	if (!dns) {
		error_set(err, -ENOMEM, "--net: out of memory");
		return NULL;
	}
	dns->config = *config;
	for (unsigned i = 0; i < NET_DNS_MOST; i++)
		dns->queries[i] = (struct query){.dns = dns, .fd = -1};
	net_resolvers_read(config->path, &dns->resolvers);
	if (dns->resolvers.count == 0 && config->log)
		log_warn(config->log,
			 "net: %s names no name server: names do not resolve in the guest until it "
			 "does",
			 config->path);
	dns->resolver_fd = net_resolver_start(config->path, err);
	if (dns->resolver_fd >= 0)
		dns->resolver_source = event_loop_add(config->loop, dns->resolver_fd, EPOLLIN,
						      resolver_ready, dns);
	if (!dns->resolver_source) {
		if (dns->resolver_fd >= 0)
			error_set(err, -ENOMEM, "--net: out of memory");
		net_dns_destroy(dns);
		return NULL;
	}
	return dns;
}

void net_dns_destroy(struct net_dns *dns)
{
	if (!dns)
		return;
	for (unsigned i = 0; i < NET_DNS_MOST; i++)
		query_end(&dns->queries[i]);
	if (dns->resolver_source)
		event_source_remove(dns->resolver_source);
	if (dns->resolver_fd >= 0)
		close(dns->resolver_fd);
	free(dns);
}
