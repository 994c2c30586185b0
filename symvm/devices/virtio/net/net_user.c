// SPDX-License-Identifier: BSD-2-Clause
/*
 * --net user: a network of its own for the guest, without privileges, by libslirp. The guest gets
 * 10.0.2.15 by DHCP; 10.0.2.2 is the host, 10.0.2.3 a name server.
 *
 * libslirp names the descriptors that it waits for again in each round. They are in an epoll
 * instance, which is one source of the I/O loop. So one wake-up serves all descriptors that are
 * ready, and only changes cost a system call.
 *
 * A frame of the guest passes these stages: fragments are put together (net_fragments.h),
 * net_policy.h judges the packet, queries for names are relayed by net_dns.h, and the limits of
 * net_flow.h apply. Only then libslirp gets it.
 */
#include "devices/virtio/net/net_user.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "machine/vm.h"
#include "util/clock.h"
#include "util/container_of.h"

#define EVENTS_MAX 64
#define STATE_MAX  65536u

/* libslirp's timers: only the one for IPv6 router advertisements, which is off. */
struct user_timer {
	SlirpTimerCb callback;
	void *opaque;
};

static int64_t now_ns(void *opaque)
{
	return (int64_t)clock_now_ns();
}

static void guest_send(void *opaque, const uint8_t *frame, size_t length)
{
	struct net_user *user = opaque;

	if (!net_receive(user->backend.net, NULL, frame, length) && !user->paused) {
		/* Stops the host's side: TCP then slows down its sender. */
		user->paused = true;
		event_source_modify(user->poll_source, 0);
	}
}

void net_user_answer(void *opaque, const uint8_t *frame, size_t length)
{
	struct net_user *user = opaque;

	guest_send(user, frame, length);
	net_receive_flush(user->backend.net);
}

/* Answers of a name server by TCP get the address that the guest asked as their source. */
static const uint8_t *dns_answer(struct net_user *user, const uint8_t *frame, size_t length,
				 const struct net_packet *packet)
{
	if (packet->protocol != IPPROTO_TCP || !packet->has_ports ||
	    packet->source_port != NET_DNS_PORT || length > sizeof(user->frame) ||
	    packet->source != user->dns_servers[packet->destination_port])
		return frame;
	memcpy(user->frame, frame, length);
	net_packet_readdress(user->frame, packet, true, NAME_SERVER);
	return user->frame;
}

static ssize_t user_receive(const void *frame, size_t length, void *opaque)
{
	struct net_user *user = opaque;
	struct net_packet packet;

	if (net_packet_parse(frame, length, &packet)) {
		net_policy_incoming(&user->policy, &packet);
		guest_send(user, dns_answer(user, frame, length, &packet), length);
	} else {
		guest_send(user, frame, length);
	}
	return (ssize_t)length;
}

static void user_guest_error(const char *message, void *opaque)
{
	struct net_user *user = opaque;

	atomic_fetch_add(&user->guest_errors, 1);
	log_limited(&user->backend.vm->log, LOG_LEVEL_DEBUG, "net: %s", message);
}

static void *user_timer_new(SlirpTimerCb callback, void *callback_opaque, void *opaque)
{
	struct user_timer *timer = calloc(1, sizeof(*timer));

	if (timer) {
		timer->callback = callback;
		timer->opaque = callback_opaque;
	}
	return timer;
}

static void user_timer_free(void *timer, void *opaque)
{
	free(timer);
}

static void user_timer_mod(void *timer, int64_t expire_ms, void *opaque)
{
	/* Never armed: IPv6 is off. */
}

static struct watched *watched_at(struct net_user *user, int fd)
{
	unsigned count = user->watched_count ? user->watched_count : 64;
	struct watched *grown;

	if (fd < 0)
		return NULL;
	if ((unsigned)fd < user->watched_count)
		return &user->watched[fd];
	while (count <= (unsigned)fd)
		count *= 2;
	grown = realloc(user->watched, count * sizeof(*grown));
	if (!grown)
		return NULL;
	memset(grown + user->watched_count, 0, (count - user->watched_count) * sizeof(*grown));
	user->watched = grown;
	user->watched_count = count;
	return &grown[fd];
}

static void user_register(int fd, void *opaque)
{
	struct net_user *user = opaque;
	struct watched *watched = watched_at(user, fd);

	if (watched && watched->flow.kind == NET_FLOW_NONE)
		watched->flow = net_flows_opened(&user->flows, user->kind_now, user->packet_now);
}

/* @fd is about to be closed, and its number may be used again for another socket. */
static void user_unregister(int fd, void *opaque)
{
	struct net_user *user = opaque;

	if (fd < 0 || (unsigned)fd >= user->watched_count)
		return;
	if (user->watched[fd].events)
		epoll_ctl(user->poll_fd, EPOLL_CTL_DEL, fd, NULL);
	net_flows_closed(&user->flows, &user->watched[fd].flow);
	user->watched[fd] = (struct watched){0};
}

static void user_notify(void *opaque)
{
	/* Called only within slirp_input(), and net_user_sent() follows that anyway. */
}

const SlirpCb net_user_callbacks = {
	.send_packet = user_receive,
	.guest_error = user_guest_error,
	.clock_get_ns = now_ns,
	.timer_new = user_timer_new,
	.timer_free = user_timer_free,
	.timer_mod = user_timer_mod,
	.register_poll_fd = user_register,
	.unregister_poll_fd = user_unregister,
	.notify = user_notify,
};

static uint32_t to_epoll(int events)
{
	return (events & SLIRP_POLL_IN ? EPOLLIN : 0) | (events & SLIRP_POLL_OUT ? EPOLLOUT : 0) |
	       (events & SLIRP_POLL_PRI ? EPOLLPRI : 0) | EPOLLERR | EPOLLHUP;
}

static int from_epoll(uint32_t events)
{
	return (events & EPOLLIN ? SLIRP_POLL_IN : 0) | (events & EPOLLOUT ? SLIRP_POLL_OUT : 0) |
	       (events & EPOLLPRI ? SLIRP_POLL_PRI : 0) | (events & EPOLLERR ? SLIRP_POLL_ERR : 0) |
	       (events & EPOLLHUP ? SLIRP_POLL_HUP : 0);
}

static bool user_connections_full(const struct net_user *user)
{
	return user->flows.count[NET_FLOW_TCP] >= user->flows.most[NET_FLOW_TCP];
}

static int user_add_poll(int fd, int events, void *opaque)
{
	struct watched *watched = watched_at(opaque, fd);

	if (!watched)
		return -1;
	/* If all connections are taken, new ones wait in the host's queue. */
	if (watched->flow.kind == NET_FLOW_LISTEN && user_connections_full(opaque))
		return -1;
	watched->wanted = to_epoll(events);
	return fd;
}

static int user_get_events(int index, void *opaque)
{
	struct net_user *user = opaque;

	if (index < 0 || (unsigned)index >= user->watched_count)
		return 0;
	return from_epoll(user->watched[index].ready);
}

/* Updates the epoll instance to the descriptors and events that are wanted. */
static void update_watched(struct net_user *user)
{
	for (unsigned fd = 0; fd < user->watched_count; fd++) {
		struct watched *watched = &user->watched[fd];
		struct epoll_event event = {.events = watched->wanted, .data.fd = (int)fd};
		int operation = EPOLL_CTL_MOD;

		if (watched->wanted != watched->events) {
			if (!watched->wanted)
				operation = EPOLL_CTL_DEL;
			else if (!watched->events)
				operation = EPOLL_CTL_ADD;
			if (epoll_ctl(user->poll_fd, operation, (int)fd, &event) == 0 ||
			    !watched->wanted)
				watched->events = watched->wanted;
		}
		watched->wanted = 0;
		watched->ready = 0;
	}
}

/*
 * Arms the timer, unless it fires early enough already: a timer that fires too early only costs a
 * round.
 */
static void arm_timer(struct net_user *user, uint32_t timeout_ms)
{
	struct itimerspec timer = {0};
	int64_t deadline;

	if (timeout_ms == UINT32_MAX)
		return;
	deadline = now_ns(NULL) + (int64_t)(timeout_ms * NS_PER_MS);
	if (deadline >= user->armed)
		return;
	user->armed = deadline;
	timer.it_value = clock_timespec((uint64_t)deadline);
	timerfd_settime(user->timer_fd, TFD_TIMER_ABSTIME, &timer, NULL);
}

void net_user_refresh(struct net_user *user)
{
	uint32_t timeout_ms = UINT32_MAX;

	user->lib.pollfds_fill(user->slirp, &timeout_ms, user_add_poll, user);
	update_watched(user);
	arm_timer(user, timeout_ms);
}

/* One round: serves the descriptors that are ready and the timers that are due. */
static void run_round(struct net_user *user, struct epoll_event *events, int count)
{
	atomic_fetch_add_explicit(&user->rounds, 1, memory_order_relaxed);
	for (int i = 0; i < count; i++) {
		unsigned fd = (unsigned)events[i].data.fd;

		if (fd < user->watched_count)
			user->watched[fd].ready = events[i].events;
	}
	user->kind_now = NET_FLOW_TCP; /* forwards accept connections */
	user->packet_now = NULL;
	user->lib.pollfds_poll(user->slirp, 0, user_get_events, user);
	net_user_refresh(user);
	net_receive_flush(user->backend.net);
}

void net_user_poll_ready(void *opaque, uint32_t events)
{
	struct net_user *user = opaque;
	struct epoll_event ready[EVENTS_MAX];
	int count = epoll_wait(user->poll_fd, ready, EVENTS_MAX, 0);

	if (count > 0)
		run_round(user, ready, count);
}

void net_user_timer_ready(void *opaque, uint32_t events)
{
	struct net_user *user = opaque;
	uint64_t expirations;

	if (read(user->timer_fd, &expirations, sizeof(expirations)) < 0)
		return;
	user->armed = INT64_MAX;
	run_round(user, NULL, 0);
}

/* Reports to the guest that @packet cannot be delivered. */
static void packet_refuse(struct net_user *user, const struct net_packet *packet,
			  _Atomic uint64_t *count)
{
	uint8_t answer[NET_ANSWER_MAX];
	size_t length = packet->protocol == IPPROTO_TCP
				? net_answer_reset(packet, answer)
				: net_answer_icmp(packet, HOST_ADDRESS, NET_UNREACHABLE,
						  NET_CODE_PROHIBITED, answer);

	atomic_fetch_add_explicit(count, 1, memory_order_relaxed);
	if (length)
		guest_send(user, answer, length);
}

/* Gives libslirp a frame. @packet is in it; NULL if it is not IPv4. */
static void user_input(struct net_user *user, const uint8_t *frame, size_t length,
		       const struct net_packet *packet)
{
	if (packet && net_flows_full(&user->flows, packet)) {
		if (user->flows.refused == 0)
			log_limited(&user->backend.vm->log, LOG_LEVEL_WARN,
				    "net: the guest has reached its limit of flows; new ones are "
				    "refused (see 'symvm info')");
		packet_refuse(user, packet, &user->flows.refused);
		return;
	}
	user->packet_now = packet;
	user->kind_now = packet ? net_flow_kind(packet) : NET_FLOW_NONE;
	user->lib.input(user->slirp, frame, (int)length);
	user->packet_now = NULL;
}

/* To the name server. We relay UDP ourselves; libslirp carries TCP to the host's name server. */
static void user_dns(struct net_user *user, const uint8_t *frame, size_t length,
		     struct net_packet *packet)
{
	uint32_t *server = &user->dns_servers[packet->source_port];

	if (packet->protocol == IPPROTO_UDP) {
		net_dns_query(user->dns, packet);
		return;
	}
	if (net_begins_connection(packet))
		*server = net_dns_server(user->dns);
	if (*server == 0 || length > sizeof(user->frame)) {
		packet_refuse(user, packet, &user->refused);
		return;
	}
	memcpy(user->frame, frame, length);
	net_packet_readdress(user->frame, packet, false, *server);
	if (net_packet_parse(user->frame, length, packet))
		user_input(user, user->frame, length, packet);
}

/* Handles a whole packet. */
static void user_packet(struct net_user *user, const uint8_t *frame, size_t length,
			struct net_packet *packet)
{
	switch (net_policy_judge(&user->policy, packet)) {
	case NET_REFUSE:
		packet_refuse(user, packet, &user->refused);
		break;
	case NET_DNS:
		user_dns(user, frame, length, packet);
		break;
	default:
		/* The same port may query the host's name server directly. */
		if (packet->protocol == IPPROTO_TCP && packet->has_ports &&
		    packet->destination_port == NET_DNS_PORT && net_begins_connection(packet))
			user->dns_servers[packet->source_port] = 0;
		user_input(user, frame, length, packet);
	}
}

static struct net_user *to_user(struct net_backend *backend)
{
	return container_of(backend, struct net_user, backend);
}

static void net_user_send(struct net_backend *backend, const uint8_t *frame, size_t length)
{
	struct net_user *user = to_user(backend);
	uint8_t answer[NET_ANSWER_MAX];
	struct net_packet packet;
	size_t answer_length;

	if (!net_packet_parse(frame, length, &packet)) {
		/*
		 * ARP; libslirp drops the rest. A frame with a wrong IPv4 header is not a packet.
		 */
		if (frame[12] != 0x08 || frame[13] != 0x00)
			user_input(user, frame, length, NULL);
		return;
	}
	if (!net_packet_is_fragment(&packet)) {
		user_packet(user, frame, length, &packet);
		return;
	}
	if (net_fragments_add(user->fragments, &packet, clock_now_ns(), HOST_ADDRESS, &frame,
			      &length, answer, &answer_length) &&
	    net_packet_parse(frame, length, &packet))
		user_packet(user, frame, length, &packet);
	if (answer_length)
		guest_send(user, answer, answer_length);
}

static void net_user_sent(struct net_backend *backend)
{
	struct net_user *user = to_user(backend);

	net_user_refresh(user);
	net_receive_flush(backend->net);
}

static void net_user_resume(struct net_backend *backend)
{
	struct net_user *user = to_user(backend);

	if (!user->paused)
		return;
	user->paused = false;
	event_source_modify(user->poll_source, EPOLLIN);
}

static void net_user_destroy(struct net_backend *backend)
{
	struct net_user *user = to_user(backend);

	event_source_remove(user->poll_source);
	event_source_remove(user->timer_source);
	if (user->slirp)
		user->lib.cleanup(user->slirp);
	net_dns_destroy(user->dns);
	net_fragments_destroy(user->fragments);
	net_flows_free(&user->flows);
	free(user->dns_servers);
	if (user->poll_fd >= 0)
		close(user->poll_fd);
	if (user->timer_fd >= 0)
		close(user->timer_fd);
	free(user->watched);
	free(user);
}

static ssize_t state_append(const void *data, size_t length, void *opaque)
{
	serialize_put_bytes(opaque, data, length);
	return (ssize_t)length;
}

/* The DHCP leases. Connections of the guest do not survive this process. */
static int net_user_save(struct net_backend *backend, struct serialize_writer *writer)
{
	struct net_user *user = to_user(backend);
	struct serialize_writer inner = {0};

	user->lib.state_save(user->slirp, state_append, &inner);
	if (inner.status < 0) {
		serialize_writer_free(&inner);
		return inner.status;
	}
	serialize_put_u32(writer, (uint32_t)user->lib.state_version());
	serialize_put_u32(writer, (uint32_t)inner.length);
	serialize_put_bytes(writer, inner.data, inner.length);
	serialize_writer_free(&inner);
	return writer->status;
}

static ssize_t state_take(void *data, size_t length, void *opaque)
{
	struct serialize_reader *reader = opaque;

	serialize_get_bytes(reader, data, length);
	return reader->status < 0 ? -1 : (ssize_t)length;
}

static int net_user_load(struct net_backend *backend, struct serialize_reader *reader)
{
	struct net_user *user = to_user(backend);
	uint32_t version = serialize_get_u32(reader);
	uint32_t length = serialize_get_u32(reader);
	struct serialize_reader inner = {.data = reader->data + reader->offset, .length = length};

	if (reader->status < 0 || length > STATE_MAX || length > reader->length - reader->offset ||
	    version != (uint32_t)user->lib.state_version())
		return -EINVAL;
	reader->offset += length;
	return user->lib.state_load(user->slirp, (int)version, state_take, &inner) < 0 ? -EINVAL
										       : 0;
}

static void net_user_describe(struct net_backend *backend, json_t *object)
{
	struct net_user *user = to_user(backend);

	json_object_set_new(object, "backend", json_string("user"));
	json_object_set_new(object, "forwards", json_integer(user->forwards));
	json_object_set_new(object, "rounds", json_integer((json_int_t)atomic_load(&user->rounds)));
	json_object_set_new(object, "refused",
			    json_integer((json_int_t)atomic_load(&user->refused)));
	json_object_set_new(object, "fragments_bytes",
			    json_integer((json_int_t)net_fragments_bytes(user->fragments)));
	json_object_set_new(object, "fragments_dropped",
			    json_integer((json_int_t)net_fragments_dropped(user->fragments)));
	net_flows_describe(&user->flows, object);
	if (user->dns)
		net_dns_describe(user->dns, object);
	json_object_set_new(object, "guest_errors",
			    json_integer((json_int_t)atomic_load(&user->guest_errors)));
}

const struct net_backend_ops net_user_ops = {
	.send = net_user_send,
	.sent = net_user_sent,
	.resume = net_user_resume,
	.destroy = net_user_destroy,
	.save = net_user_save,
	.load = net_user_load,
	.describe = net_user_describe,
};
