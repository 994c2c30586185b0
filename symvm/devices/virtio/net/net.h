/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Between the virtio-net device and the back end that transports its frames: user-mode network,
 * tap. Everything runs on vm->io_loop's thread unless it says otherwise.
 */
#ifndef SYMVM_DEVICES_VIRTIO_NET_H
#define SYMVM_DEVICES_VIRTIO_NET_H

#include <linux/virtio_net.h>

#include "devices/virtio/core/virtio.h"
#include "util/registry.h"

#define NET_HEADER_SIZE ((size_t)sizeof(struct virtio_net_hdr_v1))
#define NET_FRAME_MIN	14u		    /* the Ethernet header */
#define NET_FRAME_MAX	(65535u + 14u + 4u) /* an IP packet, Ethernet header, VLAN tag */
#define NET_MTU_MIN	576u
#define NET_MTU_MAX	65520u
#define NET_QUEUE_SIZE	256u
#define NET_QUEUE_RX	0u
#define NET_QUEUE_TX	1u

struct net_device;
struct net_backend;

struct net_backend_ops {
	/*
	 * A frame from the guest, by one of the two functions. send() gets a private copy without
	 * header. send_chain() gets the checked chain, header first, which the guest may still
	 * change.
	 */
	void (*send)(struct net_backend *backend, const uint8_t *frame, size_t length);
	void (*send_chain)(struct net_backend *backend, const struct virtio_chain *chain);
	/* The batch that send() was called for is over. Optional. */
	void (*sent)(struct net_backend *backend);
	/* Frames may be received again, after net_receive() returned false. */
	void (*resume)(struct net_backend *backend);
	/* The driver is ready, or the VM continues after a save. Optional. */
	int (*activate)(struct net_backend *backend);
	/* Stop touching guest memory until activate(). Optional. */
	void (*quiesce)(struct net_backend *backend);
	/* Main thread, nothing runs any more. */
	void (*destroy)(struct net_backend *backend);
	int (*save)(struct net_backend *backend, struct serialize_writer *writer);
	int (*load)(struct net_backend *backend, struct serialize_reader *reader);
	/* Optional. Any thread. */
	void (*describe)(struct net_backend *backend, json_t *object);
};

/* Embedded in each back end's own structure. */
struct net_backend {
	const struct net_backend_ops *ops;
	struct net_device *net;
	struct vm *vm;
};

/* What a back end says about the device in front of it. */
struct net_parameters {
	uint64_t features; /* VIRTIO_NET_F_* beyond MAC, STATUS and MRG_RXBUF */
	uint8_t mac[6];
	bool mac_made; /* none was given: net_mac_make() makes one */
	uint16_t mtu;  /* 0: not shown to the guest */
	bool external; /* the queues are served by vhost */
};

struct net_backend_class {
	const char *name; /* "user": --net user,... */
	/*
	 * Creates a back end from the @argument that follows its name. Sets those of @parameters
	 * (zeroed) that it knows. Main thread. On failure -errno with words.
	 */
	int (*create)(struct vm *vm, const char *argument, struct net_parameters *parameters,
		      struct net_backend **backend, struct error *err);
};
#define NET_BACKEND_CLASS(object) \
	REGISTRY_ENTRY(symvm_net_backends, struct net_backend_class, object)

/*
 * Gives the guest one frame. @header may be NULL (a whole frame with valid checksums). A frame that
 * does not fit into the guest's ring is kept for later. Then this returns false, and the back end
 * should bring no more until resume(). While the driver is not ready, frames are dropped.
 */
bool net_receive(struct net_device *net, const struct virtio_net_hdr_v1 *header,
		 const uint8_t *frame, size_t length);
/* Publishes the frames that net_receive() gave the guest, with at most one interrupt. */
void net_receive_flush(struct net_device *net);

/* The negotiated features: valid while the driver is ready. */
uint64_t net_features(const struct net_device *net);
/* The virtio device in front of the back end: for its queues, its log and its failures. */
struct virtio_device *net_virtio(struct net_device *net);

/*
 * Takes mac=: "52:54:00:12:34:56", or NULL if it was not given. -EINVAL with words for a multicast
 * address, zero, or other text. Any thread.
 */
int net_parse_mac(const char *text, struct net_parameters *parameters, struct error *err);
/*
 * Makes the address of interface number @index of the VM @name: 52:54:00 and three bytes that
 * depend on both and on this host (machine-id(5)). So it is the same at the next start, and
 * different on another host of the same network. Main thread.
 */
void net_mac_make(const char *name, unsigned index, uint8_t mac[6]);

#endif
