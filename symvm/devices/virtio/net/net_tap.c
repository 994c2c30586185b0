// SPDX-License-Identifier: BSD-2-Clause
/*
 * --net tap: the host's interface of that name, which must exist or which we may create. Frames
 * carry the virtio header (IFF_VNET_HDR), so checksums and segmentation are left to the side that
 * needs them. Either we carry the frames, or the kernel does (vhost-net).
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "devices/virtio/net/net.h"
#include "devices/virtio/core/vhost_kernel.h"
#include "machine/vm.h"
#include "util/container_of.h"
#include "util/keyval.h"

#define RECEIVE_BUDGET 64u /* frames before other devices have their turn */
#define VHOST_COUNT    2u

#define FEATURES                                                             \
	(1ull << VIRTIO_NET_F_CSUM | 1ull << VIRTIO_NET_F_GUEST_CSUM |       \
	 1ull << VIRTIO_NET_F_GUEST_TSO4 | 1ull << VIRTIO_NET_F_GUEST_TSO6 | \
	 1ull << VIRTIO_NET_F_GUEST_ECN | 1ull << VIRTIO_NET_F_HOST_TSO4 |   \
	 1ull << VIRTIO_NET_F_HOST_TSO6 | 1ull << VIRTIO_NET_F_HOST_ECN)

struct net_tap {
	struct net_backend backend;
	int fd;
	char name[IFNAMSIZ];
	struct event_source *source;
	bool paused;	     /* the guest gives no receive buffers */
	struct vhost *vhost; /* NULL: we carry the frames */
	_Atomic uint64_t send_errors;
	uint8_t frame[NET_HEADER_SIZE + NET_FRAME_MAX];
};

static void tap_ready(void *opaque, uint32_t events)
{
	struct net_tap *tap = opaque;
	bool room = true;

	for (unsigned i = 0; i < RECEIVE_BUDGET && room; i++) {
		struct virtio_net_hdr_v1 header;
		ssize_t length = read(tap->fd, tap->frame, sizeof(tap->frame));

		if (length < 0 && (errno == EAGAIN || errno == EINTR))
			break;
		if (length < 0) {
			/* The interface is gone (EBADFD) or down (EIO): do not spin. */
			log_error(&tap->backend.vm->log, "net: %s: %s: receiving stopped",
				  tap->name, strerror(errno));
			event_source_remove(tap->source);
			tap->source = NULL;
			break;
		}
		if ((size_t)length < NET_HEADER_SIZE + NET_FRAME_MIN)
			continue;
		memcpy(&header, tap->frame, sizeof(header));
		room = net_receive(tap->backend.net, &header, tap->frame + NET_HEADER_SIZE,
				   (size_t)length - NET_HEADER_SIZE);
	}
	if (!room && tap->source) {
		tap->paused = true;
		event_source_modify(tap->source, 0);
	}
	net_receive_flush(tap->backend.net);
}

static struct net_tap *to_tap(struct net_backend *backend)
{
	return container_of(backend, struct net_tap, backend);
}

static void net_tap_send_chain(struct net_backend *backend, const struct virtio_chain *chain)
{
	struct net_tap *tap = to_tap(backend);

	/* The kernel copies each part once, and checks the header. */
	if (writev(tap->fd, chain->iov, (int)chain->out_count) < 0)
		atomic_fetch_add(&tap->send_errors, 1);
}

static void net_tap_resume(struct net_backend *backend)
{
	struct net_tap *tap = to_tap(backend);

	if (!tap->paused || !tap->source)
		return;
	tap->paused = false;
	event_source_modify(tap->source, EPOLLIN);
}

/* What the guest can receive decides which work the host's stack may leave undone. */
static int set_offloads(struct net_tap *tap)
{
	uint64_t features = net_features(tap->backend.net);
	unsigned offloads = 0;

	if (features & 1ull << VIRTIO_NET_F_GUEST_CSUM) {
		offloads |= TUN_F_CSUM;
		if (features & 1ull << VIRTIO_NET_F_GUEST_TSO4)
			offloads |= TUN_F_TSO4;
		if (features & 1ull << VIRTIO_NET_F_GUEST_TSO6)
			offloads |= TUN_F_TSO6;
		if ((offloads & (TUN_F_TSO4 | TUN_F_TSO6)) &&
		    (features & 1ull << VIRTIO_NET_F_GUEST_ECN))
			offloads |= TUN_F_TSO_ECN;
	}
	return ioctl(tap->fd, TUNSETOFFLOAD, offloads) < 0 ? -errno : 0;
}

static void net_tap_quiesce(struct net_backend *backend)
{
	struct net_tap *tap = to_tap(backend);

	if (tap->vhost && vhost_stop(tap->vhost) < 0)
		log_limited(&backend->vm->log, LOG_LEVEL_WARN,
			    "net: %s: vhost-net did not stop cleanly", tap->name);
}

static int net_tap_activate(struct net_backend *backend)
{
	struct net_tap *tap = to_tap(backend);
	int status = set_offloads(tap);

	if (status < 0 || !tap->vhost)
		return status;
	return vhost_start(tap->vhost, net_virtio(backend->net), VHOST_COUNT);
}

static void net_tap_destroy(struct net_backend *backend)
{
	struct net_tap *tap = to_tap(backend);

	event_source_remove(tap->source);
	vhost_close(tap->vhost);
	if (tap->fd >= 0)
		close(tap->fd);
	free(tap);
}

static void net_tap_describe(struct net_backend *backend, json_t *object)
{
	struct net_tap *tap = to_tap(backend);

	json_object_set_new(object, "backend", json_string("tap"));
	json_object_set_new(object, "interface", json_string(tap->name));
	json_object_set_new(object, "vhost", json_boolean(tap->vhost));
	json_object_set_new(object, "send_errors",
			    json_integer((json_int_t)atomic_load(&tap->send_errors)));
}

static const struct net_backend_ops net_tap_ops = {
	.send_chain = net_tap_send_chain,
	.resume = net_tap_resume,
	.activate = net_tap_activate,
	.quiesce = net_tap_quiesce,
	.destroy = net_tap_destroy,
	.describe = net_tap_describe,
};

/* Why the kernel gives no queue of the interface. */
static int interface_refused(const struct net_tap *tap, int status, bool existed, struct error *err)
{
	if (status == -EBUSY)
		return error_set(err, status, "--net: the interface %s is in use, by another VM",
				 tap->name);
	if (status == -EINVAL && existed)
		return error_set(err, status, "--net: the interface %s is not a tap device",
				 tap->name);
	if (status == -EPERM && !existed)
		return error_set(err, status,
				 "--net: there is no interface %s, and only root can create it: ip "
				 "tuntap add %s mode tap user %u",
				 tap->name, tap->name, (unsigned)geteuid());
	if (status == -EPERM)
		return error_set(err, status, "--net: the interface %s belongs to another user",
				 tap->name);
	return error_set_errno(err, status, "--net: cannot use the interface %s", tap->name);
}

/* Warns of conditions that will keep frames from being carried. */
static void interface_look(const struct net_tap *tap, bool existed, struct log *log)
{
	struct ifreq request = {0};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	memcpy(request.ifr_name, tap->name, sizeof(tap->name));
	if (!existed)
		log_warn(log,
			 "net: created the interface %s; it has no address and is not in a "
			 "bridge",
			 tap->name);
	else if (fd >= 0 && ioctl(fd, SIOCGIFFLAGS, &request) == 0 && !(request.ifr_flags & IFF_UP))
		log_warn(log, "net: the interface %s is down: ip link set %s up", tap->name,
			 tap->name);
	if (fd >= 0)
		close(fd);
}

static int open_tap(struct net_tap *tap, struct log *log, struct error *err)
{
	bool existed = if_nametoindex(tap->name) != 0;
	struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
	int header_size = (int)NET_HEADER_SIZE;

	memcpy(request.ifr_name, tap->name, sizeof(tap->name));
	tap->fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (tap->fd < 0)
		return error_set_errno(err, -errno,
				       "--net: cannot open /dev/net/tun (the host's module tun, "
				       "and access to that file)");
	if (ioctl(tap->fd, TUNSETIFF, &request) < 0)
		return interface_refused(tap, -errno, existed, err);
	interface_look(tap, existed, log);
	if (ioctl(tap->fd, TUNSETVNETHDRSZ, &header_size) < 0)
		return error_set_errno(err, -errno, "--net: %s: virtio headers", tap->name);
	return 0;
}

enum vhost_choice {
	VHOST_AUTO,
	VHOST_ON,
	VHOST_OFF,
};

static int open_vhost(struct vm *vm, struct net_tap *tap, enum vhost_choice choice,
		      struct error *err)
{
	struct error reason;
	int status;

	if (choice == VHOST_OFF)
		return 0;
	status = vhost_kernel_open_net(tap->fd, &tap->vhost, &reason);
	if (status < 0 && choice == VHOST_ON)
		return error_set(err, status, "%s", reason.text);
	if (status < 0)
		log_info(&vm->log, "net: symvm carries the frames of %s itself: %s", tap->name,
			 reason.text);
	return 0;
}

static int create_tap(struct vm *vm, const char *name, enum vhost_choice choice,
		      struct net_backend **backend, struct error *err)
{
	struct net_tap *tap = calloc(1, sizeof(*tap));
	int status;

	if (!tap)
		return error_set(err, -ENOMEM, "--net: out of memory");
	vm->jail_needs.features |= JAIL_FEATURE_NET_HOST;
	tap->backend.ops = &net_tap_ops;
	strcpy(tap->name, name);
	status = open_tap(tap, &vm->log, err);
	if (status == 0)
		status = open_vhost(vm, tap, choice, err);
	if (status == 0 && !tap->vhost) {
		tap->source = event_loop_add(vm->io_loop, tap->fd, EPOLLIN, tap_ready, tap);
		if (!tap->source)
			status = error_set(err, -ENOMEM, "--net: out of memory");
	}
	if (status < 0)
		net_tap_destroy(&tap->backend);
	else
		*backend = &tap->backend;
	return status;
}

static int parse_choice(const char *text, enum vhost_choice *choice, struct error *err)
{
	if (!text || strcmp(text, "auto") == 0)
		*choice = VHOST_AUTO;
	else if (strcmp(text, "on") == 0)
		*choice = VHOST_ON;
	else if (strcmp(text, "off") == 0)
		*choice = VHOST_OFF;
	else
		return error_set(err, -EINVAL, "--net: vhost=%s: expected on, off or auto", text);
	return 0;
}

static int net_tap_create(struct vm *vm, const char *argument, struct net_parameters *parameters,
			  struct net_backend **backend, struct error *err)
{
	char *name = NULL, *mac = NULL, *vhost = NULL;
	uint64_t mtu = 0;
	const struct keyval_field fields[] = {
		{.key = "name", .type = KEYVAL_TEXT, .value = &name, .required = true},
		{.key = "mac", .type = KEYVAL_TEXT, .value = &mac},
		{.key = "mtu", .type = KEYVAL_NUMBER, .value = &mtu},
		{.key = "vhost", .type = KEYVAL_TEXT, .value = &vhost},
		{0},
	};
	enum vhost_choice choice = VHOST_AUTO;
	int status = keyval_parse("net", argument, fields, err);

	if (status < 0)
		return status;
	if (strlen(name) >= IFNAMSIZ || strpbrk(name, "/% "))
		status = error_set(
			err, -EINVAL,
			"--net: name=%s: not a name of an interface (at most %d characters)", name,
			IFNAMSIZ - 1);
	if (status == 0 && mtu && (mtu < NET_MTU_MIN || mtu > NET_MTU_MAX))
		status = error_set(err, -EINVAL, "--net: mtu=%llu: expected %u to %u",
				   (unsigned long long)mtu, NET_MTU_MIN, NET_MTU_MAX);
	if (status == 0)
		status = net_parse_mac(mac, parameters, err);
	if (status == 0)
		status = parse_choice(vhost, &choice, err);
	if (status == 0)
		status = create_tap(vm, name, choice, backend, err);
	if (status == 0) {
		parameters->mtu = (uint16_t)mtu;
		parameters->features = FEATURES;
		parameters->external = to_tap(*backend)->vhost;
	}
	free(name);
	free(mac);
	free(vhost);
	return status;
}

static const struct net_backend_class net_tap_class = {
	.name = "tap",
	.create = net_tap_create,
};
NET_BACKEND_CLASS(net_tap_class);
