// SPDX-License-Identifier: BSD-2-Clause
/*
 * --net user: a network of its own for the guest, without privileges, by libslirp. The
 * guest gets 10.0.2.15 by DHCP; 10.0.2.2 is the host, 10.0.2.3 a name server.
 *
 * libslirp names the descriptors that it waits for anew each time. They live in an
 * epoll instance that is itself one source of the I/O loop, so that a wake-up serves all
 * that are ready, and only changes cost a system call.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "devices/virtio/net.h"
#include "devices/virtio/net_flow.h"
#include "devices/virtio/slirp.h"
#include "machine/vm.h"
#include "util/clock.h"
#include "util/option.h"

#define NETWORK	     0x0a000200u /* 10.0.2.0/24 */
#define NETWORK_MASK 0xffffff00u
#define HOST_ADDRESS (NETWORK | 2u)
#define NAME_SERVER  (NETWORK | 3u)
#define GUEST_FIRST  (NETWORK | 15u)
#define LOOPBACK     0x7f000001u

#define EVENTS_MAX 64
/*
 * Host and guest share the machine: there is no wire whose frame size matters, and a
 * large one saves most of the work per byte.
 */
#define MTU_DEFAULT 16384u
#define STATE_MAX   65536u

struct watched {
	uint32_t events; /* in the epoll instance; 0: not there */
	uint32_t wanted; /* in this round */
	uint32_t ready;
};

struct net_user {
	struct net_backend backend;
	struct slirp_calls lib;
	Slirp *slirp;
	struct event_loop *loop;
	struct event_source *poll_source;
	struct event_source *timer_source;
	int poll_fd; /* the epoll instance */
	int timer_fd;
	int64_t armed;		 /* when the timer fires, CLOCK_MONOTONIC; INT64_MAX: never */
	bool paused;		 /* the guest gives no receive buffers */
	struct watched *watched; /* indexed by descriptor */
	unsigned watched_count;
	unsigned forwards;
	unsigned sockets; /* that libslirp holds open, and how many it may */
	unsigned sockets_max;
	_Atomic uint64_t flows_refused;
	_Atomic uint64_t rounds;
	_Atomic uint64_t guest_errors;
};

/* libslirp's timers: only the one for IPv6 router advertisements, which is off. */
struct user_timer {
	SlirpTimerCb callback;
	void *opaque;
};

static int64_t now_ns(void *opaque)
{
	return (int64_t)clock_now_ns();
}

static ssize_t user_receive(const void *frame, size_t length, void *opaque)
{
	struct net_user *user = opaque;

	if (!net_receive(user->backend.net, NULL, frame, length) && !user->paused) {
		/* Bring no more from the host: TCP then slows down its sender. */
		user->paused = true;
		event_source_modify(user->poll_source, 0);
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

	user->sockets++;
}

/* @fd is about to be closed, and the number may come back as another socket. */
static void user_unregister(int fd, void *opaque)
{
	struct net_user *user = opaque;

	user->sockets -= user->sockets > 0;
	if (fd < 0 || (unsigned)fd >= user->watched_count)
		return;
	if (user->watched[fd].events)
		epoll_ctl(user->poll_fd, EPOLL_CTL_DEL, fd, NULL);
	user->watched[fd] = (struct watched){0};
}

static void user_notify(void *opaque)
{
	/* Called within slirp_input() only, and net_user_sent() follows that anyway. */
}

static const SlirpCb user_callbacks = {
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

static int user_add_poll(int fd, int events, void *opaque)
{
	struct watched *watched = watched_at(opaque, fd);

	if (!watched)
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

/* Brings the epoll instance in line with what is wanted. */
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

/* Arms the timer, unless it fires early enough already: too early only costs a round. */
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

/* After anything that may have changed what libslirp waits for. */
static void refresh(struct net_user *user)
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
	user->lib.pollfds_poll(user->slirp, 0, user_get_events, user);
	refresh(user);
	net_receive_flush(user->backend.net);
}

static void poll_ready(void *opaque, uint32_t events)
{
	struct net_user *user = opaque;
	struct epoll_event ready[EVENTS_MAX];
	int count = epoll_wait(user->poll_fd, ready, EVENTS_MAX, 0);

	if (count > 0)
		run_round(user, ready, count);
}

static void timer_ready(void *opaque, uint32_t events)
{
	struct net_user *user = opaque;
	uint64_t expirations;

	if (read(user->timer_fd, &expirations, sizeof(expirations)) < 0)
		return;
	user->armed = INT64_MAX;
	run_round(user, NULL, 0);
}

static void net_user_send(struct net_backend *backend, const uint8_t *frame, size_t length)
{
	struct net_user *user = (struct net_user *)backend;

	/*
	 * Every flow is a socket of ours. Without a limit a process in the guest could take all
	 * descriptors, and the control socket with them. libslirp ends idle flows in time.
	 */
	if (user->sockets >= user->sockets_max && net_flow_begins(frame, length)) {
		if (atomic_fetch_add(&user->flows_refused, 1) == 0)
			log_limited(&user->backend.vm->log, LOG_LEVEL_WARN,
				    "net: the guest has %u flows open, no more are taken",
				    user->sockets);
		return;
	}
	user->lib.input(user->slirp, frame, (int)length);
}

static void net_user_sent(struct net_backend *backend)
{
	struct net_user *user = (struct net_user *)backend;

	refresh(user);
	net_receive_flush(backend->net);
}

static void net_user_resume(struct net_backend *backend)
{
	struct net_user *user = (struct net_user *)backend;

	if (!user->paused)
		return;
	user->paused = false;
	event_source_modify(user->poll_source, EPOLLIN);
}

static void net_user_destroy(struct net_backend *backend)
{
	struct net_user *user = (struct net_user *)backend;

	event_source_remove(user->poll_source);
	event_source_remove(user->timer_source);
	if (user->slirp)
		user->lib.cleanup(user->slirp);
	if (user->poll_fd >= 0)
		close(user->poll_fd);
	if (user->timer_fd >= 0)
		close(user->timer_fd);
	free(user->watched);
	free(user);
}

static ssize_t state_append(const void *data, size_t length, void *opaque)
{
	state_put_bytes(opaque, data, length);
	return (ssize_t)length;
}

/* The DHCP leases. Connections of the guest do not outlive this process. */
static int net_user_save(struct net_backend *backend, struct state_writer *writer)
{
	struct net_user *user = (struct net_user *)backend;
	struct state_writer inner = {0};

	user->lib.state_save(user->slirp, state_append, &inner);
	if (inner.status < 0) {
		state_writer_free(&inner);
		return inner.status;
	}
	state_put_u32(writer, (uint32_t)user->lib.state_version());
	state_put_u32(writer, (uint32_t)inner.length);
	state_put_bytes(writer, inner.data, inner.length);
	state_writer_free(&inner);
	return writer->status;
}

static ssize_t state_take(void *data, size_t length, void *opaque)
{
	struct state_reader *reader = opaque;

	state_get_bytes(reader, data, length);
	return reader->status < 0 ? -1 : (ssize_t)length;
}

static int net_user_load(struct net_backend *backend, struct state_reader *reader)
{
	struct net_user *user = (struct net_user *)backend;
	uint32_t version = state_get_u32(reader);
	uint32_t length = state_get_u32(reader);
	struct state_reader inner = {.data = reader->data + reader->offset, .length = length};

	if (reader->status < 0 || length > STATE_MAX || length > reader->length - reader->offset ||
	    version != (uint32_t)user->lib.state_version())
		return -EINVAL;
	reader->offset += length;
	return user->lib.state_load(user->slirp, (int)version, state_take, &inner) < 0 ? -EINVAL
										       : 0;
}

static void net_user_describe(struct net_backend *backend, json_t *object)
{
	struct net_user *user = (struct net_user *)backend;

	json_object_set_new(object, "backend", json_string("user"));
	json_object_set_new(object, "forwards", json_integer(user->forwards));
	json_object_set_new(object, "rounds", json_integer((json_int_t)atomic_load(&user->rounds)));
	json_object_set_new(object, "flows_refused",
			    json_integer((json_int_t)atomic_load(&user->flows_refused)));
	json_object_set_new(object, "guest_errors",
			    json_integer((json_int_t)atomic_load(&user->guest_errors)));
}

static const struct net_backend_ops net_user_ops = {
	.send = net_user_send,
	.sent = net_user_sent,
	.resume = net_user_resume,
	.destroy = net_user_destroy,
	.save = net_user_save,
	.load = net_user_load,
	.describe = net_user_describe,
};

struct forward {
	bool udp;
	struct in_addr host, guest;
	uint16_t host_port, guest_port;
};

/* Takes a port number from 1 to 65535 that ends at @end. */
static int parse_port(const char *text, const char *end, uint16_t *port)
{
	unsigned value = 0;

	if (text == end || end - text > 5)
		return -EINVAL;
	for (; text < end; text++) {
		if (*text < '0' || *text > '9')
			return -EINVAL;
		value = value * 10 + (unsigned)(*text - '0');
	}
	if (value < 1 || value > 65535)
		return -EINVAL;
	*port = (uint16_t)value;
	return 0;
}

/* Takes "ADDRESS:PORT" that ends at @end; an empty address leaves @address alone. */
static int parse_endpoint(const char *text, const char *end, struct in_addr *address,
			  uint16_t *port)
{
	const char *colon = memchr(text, ':', (size_t)(end - text));
	char copy[INET_ADDRSTRLEN];
	size_t length;

	if (!colon)
		return -EINVAL;
	length = (size_t)(colon - text);
	if (length >= sizeof(copy))
		return -EINVAL;
	memcpy(copy, text, length);
	copy[length] = '\0';
	if (length && inet_pton(AF_INET, copy, address) != 1)
		return -EINVAL;
	return parse_port(colon + 1, end, port);
}

/*
 * "tcp:HOSTADDRESS:PORT-GUESTADDRESS:PORT"; without a host address only this host's
 * own processes can connect, without a guest address the first DHCP lease is meant.
 */
static int parse_forward(const char *text, struct forward *forward, struct error *err)
{
	const char *host = strchr(text, ':');
	const char *dash = host ? strchr(host, '-') : NULL;

	*forward = (struct forward){
		.host.s_addr = htonl(LOOPBACK),
		.guest.s_addr = htonl(GUEST_FIRST),
		.udp = strncmp(text, "udp:", 4) == 0,
	};
	if ((!forward->udp && strncmp(text, "tcp:", 4) != 0) || !dash ||
	    parse_endpoint(host + 1, dash, &forward->host, &forward->host_port) < 0 ||
	    parse_endpoint(dash + 1, dash + strlen(dash), &forward->guest, &forward->guest_port) <
		    0)
		return error_set(
			err, -EINVAL,
			"--net: forward=%s: expected tcp|udp:[ADDRESS]:PORT-[ADDRESS]:PORT "
			"with ports from 1 to 65535",
			text);
	return 0;
}

static int add_forwards(struct net_user *user, const struct option_list *texts, struct error *err)
{
	for (unsigned i = 0; i < texts->count; i++) {
		struct forward forward;
		int status = parse_forward(texts->items[i], &forward, err);

		if (status < 0)
			return status;
		errno = EIO;
		if (user->lib.add_hostfwd(user->slirp, forward.udp, forward.host, forward.host_port,
					  forward.guest, forward.guest_port) < 0)
			return error_set_errno(err, -errno, "--net: forward=%s: cannot listen",
					       texts->items[i]);
		user->forwards++;
	}
	return 0;
}

static int open_network(struct net_user *user, const struct net_parameters *parameters,
			struct error *err)
{
	const SlirpConfig config = {
		.version = 1,
		.in_enabled = true,
		.vnetwork.s_addr = htonl(NETWORK),
		.vnetmask.s_addr = htonl(NETWORK_MASK),
		.vhost.s_addr = htonl(HOST_ADDRESS),
		.vnameserver.s_addr = htonl(NAME_SERVER),
		.vdhcp_start.s_addr = htonl(GUEST_FIRST),
		.if_mtu = parameters->mtu,
		.if_mru = parameters->mtu,
	};

	int status = slirp_load(&user->lib, err);

	if (status < 0)
		return status;
	user->poll_fd = epoll_create1(EPOLL_CLOEXEC);
	user->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (user->poll_fd < 0 || user->timer_fd < 0)
		return error_set_errno(err, -errno, "--net: cannot create the user network");
	user->slirp = user->lib.new(&config, &user_callbacks, user);
	user->poll_source = event_loop_add(user->loop, user->poll_fd, EPOLLIN, poll_ready, user);
	user->timer_source = event_loop_add(user->loop, user->timer_fd, EPOLLIN, timer_ready, user);
	if (!user->slirp || !user->poll_source || !user->timer_source)
		return error_set(err, -ENOMEM, "--net: cannot create the user network");
	return 0;
}

static int create_user(struct vm *vm, const struct option_list *forwards,
		       const struct net_parameters *parameters, struct net_backend **backend,
		       struct error *err)
{
	struct net_user *user = calloc(1, sizeof(*user));
	int status;

	if (!user)
		return error_set(err, -ENOMEM, "--net: out of memory");
	user->backend.ops = &net_user_ops;
	user->loop = vm->io_loop;
	user->poll_fd = -1;
	user->timer_fd = -1;
	user->armed = INT64_MAX;
	user->sockets_max = net_flow_limit();
	status = open_network(user, parameters, err);
	if (status == 0)
		status = add_forwards(user, forwards, err);
	if (status < 0) {
		net_user_destroy(&user->backend);
		return status;
	}
	refresh(user);
	*backend = &user->backend;
	return 0;
}

static int net_user_create(struct vm *vm, const char *argument, struct net_parameters *parameters,
			   struct net_backend **backend, struct error *err)
{
	struct option_list forwards = {0};
	uint64_t mtu = MTU_DEFAULT;
	char *mac = NULL;
	const struct option_field fields[] = {
		{.key = "forward", .type = OPTION_LIST, .value = &forwards},
		{.key = "mac", .type = OPTION_TEXT, .value = &mac},
		{.key = "mtu", .type = OPTION_NUMBER, .value = &mtu},
		{0},
	};
	int status = option_parse("net", argument, fields, err);

	if (status < 0)
		return status;
	status = net_parse_mac(mac, parameters->mac, err);
	if (status == 0 && (mtu < NET_MTU_MIN || mtu > NET_MTU_MAX))
		status = error_set(err, -EINVAL, "--net: mtu=%llu: expected %u to %u",
				   (unsigned long long)mtu, NET_MTU_MIN, NET_MTU_MAX);
	parameters->mtu = (uint16_t)mtu;
	/* libslirp made the frames a moment ago: the guest need not verify their checksums. */
	parameters->features = 1ull << VIRTIO_NET_F_GUEST_CSUM;
	if (status == 0)
		status = create_user(vm, &forwards, parameters, backend, err);
	option_list_free(&forwards);
	free(mac);
	return status;
}

static const struct net_backend_class net_user_class = {
	.name = "user",
	.create = net_user_create,
};
NET_BACKEND_CLASS(net_user_class);
