// SPDX-License-Identifier: BSD-2-Clause
/* --net user: parses its option, and creates what the option asks for. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>

#include "devices/virtio/net/net_forward.h"
#include "devices/virtio/net/net_resolver.h"
#include "devices/virtio/net/net_user.h"
#include "machine/vm.h"
#include "util/keyval.h"

/*
 * Host and guest share the machine: there is no wire whose frame size matters, and a
 * large one saves most of the work per byte.
 */
#define MTU_DEFAULT 16384u

static int parse_forwards(struct net_forward *forwards, const struct keyval_list *texts,
			  struct net_policy *policy, struct error *err)
{
	int status = 0;

	for (unsigned i = 0; i < texts->count && status == 0; i++) {
		status = net_forward_parse(texts->items[i], GUEST_FIRST, &forwards[i], err);
		if (status == 0)
			net_policy_forward(policy, &forwards[i]);
	}
	return status;
}

static int add_forwards(struct net_user *user, const struct net_forward *forwards,
			const struct keyval_list *texts, struct error *err)
{
	user->kind_now = NET_FLOW_LISTEN;
	for (unsigned i = 0; i < texts->count; i++) {
		const struct net_forward *forward = &forwards[i];

		errno = EIO;
		if (user->lib.add_hostfwd(user->slirp, forward->udp, forward->host,
					  forward->host_port, forward->guest,
					  forward->guest_port) < 0)
			return error_set_errno(err, -errno, "--net: forward=%s: cannot listen",
					       texts->items[i]);
		user->forwards++;
	}
	return 0;
}

/*
 * net_policy decides. libslirp's own switches only back it up. With UDP forwards they stay off,
 * because they would block the guest's answers.
 */
static int open_network(struct net_user *user, const struct net_parameters *parameters,
			struct error *err)
{
	bool strict = user->policy.udp_count == 0;
	const SlirpConfig config = {
		.version = 3,
		.restricted = strict && user->policy.restricted,
		.in_enabled = true,
		.vnetwork.s_addr = htonl(NETWORK_ADDRESS),
		.vnetmask.s_addr = htonl(NETWORK_MASK),
		.vhost.s_addr = htonl(HOST_ADDRESS),
		.vnameserver.s_addr = htonl(NAME_SERVER),
		.vdhcp_start.s_addr = htonl(GUEST_FIRST),
		.if_mtu = parameters->mtu,
		.if_mru = parameters->mtu,
		.disable_host_loopback = strict && !user->policy.host_loopback,
		.disable_dns = true, /* net_dns does it */
	};
	int status = slirp_load(&user->lib, err);

	if (status < 0)
		return status;
	user->poll_fd = epoll_create1(EPOLL_CLOEXEC);
	user->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (user->poll_fd < 0 || user->timer_fd < 0)
		return error_set_errno(err, -errno, "--net: cannot create the user network");
	user->slirp = user->lib.new(&config, &net_user_callbacks, user);
	user->poll_source = event_loop_add(user->loop, user->poll_fd, EPOLLIN, net_user_poll_ready,
					   user);
	user->timer_source = event_loop_add(user->loop, user->timer_fd, EPOLLIN,
					    net_user_timer_ready, user);
	user->fragments = net_fragments_create();
	user->dns_servers = calloc(65536, sizeof(*user->dns_servers));
	if (!user->slirp || !user->poll_source || !user->timer_source || !user->fragments ||
	    !user->dns_servers)
		return error_set(err, -ENOMEM, "--net: cannot create the user network");
	return 0;
}

static int open_dns(struct net_user *user, struct vm *vm, const struct net_parameters *parameters,
		    struct error *err)
{
	const struct net_dns_config config = {
		.loop = user->loop,
		.log = &vm->log,
		.path = NET_RESOLV_CONF,
		.address = NAME_SERVER,
		.mtu = parameters->mtu,
		.send = net_user_answer,
		.opaque = user,
	};

	if (user->policy.restricted)
		return 0;
	user->dns = net_dns_create(&config, err);
	return user->dns ? 0 : -ENOMEM;
}

struct user_options {
	struct keyval_list forwards;
	uint64_t mtu, flows;
	char *mac, *host_loopback, *restricted;
};

static int create_user(struct vm *vm, const struct user_options *options,
		       const struct net_policy *policy, const struct net_parameters *parameters,
		       struct net_backend **backend, struct error *err)
{
	struct net_forward forwards[KEYVAL_LIST_MAX];
	struct net_user *user = calloc(1, sizeof(*user));
	int status;

	if (!user)
		return error_set(err, -ENOMEM, "--net: out of memory");
	vm->jail_needs.features |= JAIL_FEATURE_NET_USER;
	user->backend.ops = &net_user_ops;
	user->loop = vm->io_loop;
	user->poll_fd = -1;
	user->timer_fd = -1;
	user->armed = INT64_MAX;
	user->policy = *policy;
	status = net_flows_init(&user->flows, options->flows, err);
	if (status == 0)
		status = parse_forwards(forwards, &options->forwards, &user->policy, err);
	if (status == 0)
		status = open_network(user, parameters, err);
	if (status == 0)
		status = add_forwards(user, forwards, &options->forwards, err);
	if (status == 0)
		status = open_dns(user, vm, parameters, err);
	if (status < 0) {
		net_user_ops.destroy(&user->backend);
		return status;
	}
	net_user_refresh(user);
	*backend = &user->backend;
	return 0;
}

/* Reads "yes" or "no"; without either, @value stays. */
static int parse_yes(const char *key, const char *text, bool *value, struct error *err)
{
	if (!text)
		return 0;
	*value = strcmp(text, "yes") == 0;
	return *value || strcmp(text, "no") == 0
		       ? 0
		       : error_set(err, -EINVAL, "--net: %s=%s: expected yes or no", key, text);
}

static int options_check(const struct user_options *options, struct net_policy *policy,
			 struct net_parameters *parameters, struct error *err)
{
	int status = net_parse_mac(options->mac, parameters, err);

	if (status == 0 && (options->mtu < NET_MTU_MIN || options->mtu > NET_MTU_MAX))
		status = error_set(err, -EINVAL, "--net: mtu=%llu: expected %u to %u",
				   (unsigned long long)options->mtu, NET_MTU_MIN, NET_MTU_MAX);
	if (status == 0)
		status = parse_yes("host-loopback", options->host_loopback, &policy->host_loopback,
				   err);
	if (status == 0)
		status = parse_yes("restrict", options->restricted, &policy->restricted, err);
	parameters->mtu = (uint16_t)options->mtu;
	/* libslirp made the frames a moment ago: the guest need not verify their checksums. */
	parameters->features = 1ull << VIRTIO_NET_F_GUEST_CSUM;
	return status;
}

static int net_user_create(struct vm *vm, const char *argument, struct net_parameters *parameters,
			   struct net_backend **backend, struct error *err)
{
	struct user_options options = {.mtu = MTU_DEFAULT, .flows = NET_FLOWS_TCP};
	struct net_policy policy = {.host = HOST_ADDRESS, .name_server = NAME_SERVER};
	const struct keyval_field fields[] = {
		{.key = "forward", .type = KEYVAL_LIST, .value = &options.forwards},
		{.key = "mac", .type = KEYVAL_TEXT, .value = &options.mac},
		{.key = "mtu", .type = KEYVAL_NUMBER, .value = &options.mtu},
		{.key = "flows", .type = KEYVAL_NUMBER, .value = &options.flows},
		{.key = "host-loopback", .type = KEYVAL_TEXT, .value = &options.host_loopback},
		{.key = "restrict", .type = KEYVAL_TEXT, .value = &options.restricted},
		{0},
	};
	int status = keyval_parse("net", argument, fields, err);

	if (status < 0)
		return status;
	status = options_check(&options, &policy, parameters, err);
	if (status == 0)
		status = create_user(vm, &options, &policy, parameters, backend, err);
	keyval_list_free(&options.forwards);
	free(options.mac);
	free(options.host_loopback);
	free(options.restricted);
	return status;
}

static const struct net_backend_class net_user_class = {
	.name = "user",
	.create = net_user_create,
};
NET_BACKEND_CLASS(net_user_class);
