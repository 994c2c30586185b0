// SPDX-License-Identifier: BSD-2-Clause
/*
 * virtio-net (VIRTIO 1.2, 5.1): one receive and one transmit queue, mergeable receive buffers, no
 * control queue. A back end transports the frames.
 *
 * Frames that find no receive buffers are kept, up to a limit, and the back end is asked to stop.
 * The guest's next buffers first take the kept frames, and then the back end resumes. Kicks are
 * asked for only while frames wait.
 */
#include "devices/virtio/net/net.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "machine/vm.h"
#include "util/container_of.h"

#define RX_CHAINS_MAX 128u	 /* buffers that one frame may be spread over */
#define RX_PARTS_MAX  1024u	 /* their descriptors */
#define TX_BUDGET     256u	 /* frames before other devices have their turn */
#define RX_BUDGET     512u	 /* the same for frames that waited for buffers */
#define RX_LOOKS      16u	 /* looks at buffers that arrive meanwhile */
#define BACKLOG_MAX   (4u << 20) /* bytes kept for a guest that gives no buffers */

struct backlog_frame {
	STAILQ_ENTRY(backlog_frame) next;
	struct virtio_net_hdr_v1 header;
	size_t length;
	uint8_t data[];
};

struct net_device {
	struct virtio_device virtio;
	struct net_backend *backend;
	bool quiesced; /* no access to guest memory */

	struct iovec tx_iov[VIRTIO_QUEUE_SIZE_MAX];
	uint8_t tx_frame[NET_FRAME_MAX];
	struct iovec rx_iov[RX_PARTS_MAX];
	struct virtio_chain rx_chains[RX_CHAINS_MAX];

	STAILQ_HEAD(, backlog_frame) backlog;
	size_t backlog_bytes;

	_Atomic uint64_t tx_frames, tx_bytes, tx_dropped;
	_Atomic uint64_t rx_frames, rx_bytes, rx_dropped, rx_delayed;
};

REGISTRY_DECLARE(symvm_net_backends, struct net_backend_class);

uint64_t net_features(const struct net_device *net)
{
	return net->virtio.features;
}

struct virtio_device *net_virtio(struct net_device *net)
{
	return &net->virtio;
}

/*
 * Takes as many buffers as @length bytes need. Returns their number, 0 if the guest has not given
 * enough, or a negative value if the queue is broken or the buffers are too many or too small for
 * one frame.
 */
static int take_buffers(struct net_device *net, struct virtio_queue *queue, size_t length)
{
	bool mergeable = virtio_device_has_feature(&net->virtio, VIRTIO_NET_F_MRG_RXBUF);
	unsigned limit = mergeable ? RX_CHAINS_MAX : 1;
	unsigned count = 0, parts = 0;
	size_t room = 0;

	while (room < length) {
		struct virtio_chain *chain = &net->rx_chains[count];
		int status;

		if (count == limit || parts == RX_PARTS_MAX) {
			virtio_queue_unpop(queue, count);
			return -EMSGSIZE;
		}
		chain->iov = net->rx_iov + parts;
		chain->iov_max = RX_PARTS_MAX - parts;
		status = virtio_queue_pop(queue, chain);
		if (status < 0)
			return status;
		if (status == 0) {
			virtio_queue_unpop(queue, count);
			return 0;
		}
		parts += chain->out_count + chain->in_count;
		room += chain->in_bytes;
		count++;
	}
	return (int)count;
}

/* Gives the guest a frame. 0: done; -EAGAIN: no buffers; other: the frame cannot be given. */
static int deliver(struct net_device *net, const struct virtio_net_hdr_v1 *from,
		   const uint8_t *frame, size_t length)
{
	struct virtio_queue *queue = &net->virtio.queues[NET_QUEUE_RX];
	struct virtio_net_hdr_v1 header = {.gso_type = VIRTIO_NET_HDR_GSO_NONE};
	size_t done = 0, total = NET_HEADER_SIZE + length;
	int count;

	if (!queue->enabled)
		return -ENOTCONN;
	count = take_buffers(net, queue, total);
	if (count <= 0)
		return count ? count : -EAGAIN;
	if (from)
		header = *from;
	else if (virtio_device_has_feature(&net->virtio, VIRTIO_NET_F_GUEST_CSUM))
		header.flags = VIRTIO_NET_HDR_F_DATA_VALID;
	header.num_buffers = (uint16_t)count;
	for (int i = 0; i < count; i++) {
		const struct virtio_chain *chain = &net->rx_chains[i];
		size_t offset = 0;

		if (done < NET_HEADER_SIZE) {
			offset = virtio_chain_write(chain, 0, (uint8_t *)&header + done,
						    NET_HEADER_SIZE - done);
			done += offset;
		}
		if (done >= NET_HEADER_SIZE && offset < chain->in_bytes) {
			size_t copied = done - NET_HEADER_SIZE;
			size_t more = virtio_chain_write(chain, offset, frame + copied,
							 length - copied);

			offset += more;
			done += more;
		}
		virtio_queue_push(queue, chain, (uint32_t)offset);
	}
	atomic_fetch_add_explicit(&net->rx_frames, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&net->rx_bytes, length, memory_order_relaxed);
	return 0;
}

/*
 * Asks for a kick as soon as the guest adds to the buffers that it has given so far. True if it has
 * added some meanwhile. virtio_queue_notify_enable() would not do, because it reports buffers that
 * are there but too few for a frame.
 */
static bool wait_for_buffers(struct virtio_queue *queue)
{
	/* A queue that failed gives no more buffers, whatever its index says. */
	if (!queue->used || atomic_load(&queue->device->failed))
		return false;
	if (queue->event_idx)
		__atomic_store_n((uint16_t *)(void *)&queue->used->ring[queue->size],
				 queue->avail_seen, __ATOMIC_RELEASE);
	else
		__atomic_store_n(&queue->used->flags, 0, __ATOMIC_RELEASE);
	atomic_thread_fence(memory_order_seq_cst);
	return __atomic_load_n(&queue->avail->idx, __ATOMIC_ACQUIRE) != queue->avail_seen;
}

static void backlog_append(struct net_device *net, const struct virtio_net_hdr_v1 *header,
			   const uint8_t *frame, size_t length)
{
	struct backlog_frame *entry = NULL;

	if (net->backlog_bytes + length <= BACKLOG_MAX)
		entry = malloc(sizeof(*entry) + length);
	if (!entry) {
		atomic_fetch_add(&net->rx_dropped, 1);
		return;
	}
	entry->header = header ? *header : (struct virtio_net_hdr_v1){0};
	entry->length = length;
	memcpy(entry->data, frame, length);
	STAILQ_INSERT_TAIL(&net->backlog, entry, next);
	net->backlog_bytes += length;
	atomic_fetch_add(&net->rx_delayed, 1);
}

static void backlog_remove_first(struct net_device *net)
{
	struct backlog_frame *entry = STAILQ_FIRST(&net->backlog);

	STAILQ_REMOVE_HEAD(&net->backlog, next);
	net->backlog_bytes -= entry->length;
	free(entry);
}

static void backlog_clear(struct net_device *net)
{
	while (!STAILQ_EMPTY(&net->backlog))
		backlog_remove_first(net);
}

bool net_receive(struct net_device *net, const struct virtio_net_hdr_v1 *header,
		 const uint8_t *frame, size_t length)
{
	struct virtio_queue *queue = &net->virtio.queues[NET_QUEUE_RX];
	unsigned looks = RX_LOOKS;
	int status = -EAGAIN;

	if (!atomic_load(&net->virtio.active) || atomic_load(&net->virtio.failed) ||
	    length < NET_FRAME_MIN || length > NET_FRAME_MAX) {
		atomic_fetch_add(&net->rx_dropped, 1);
		return true;
	}
	while (!net->quiesced && STAILQ_EMPTY(&net->backlog) && looks--) {
		status = deliver(net, header, frame, length);
		if (status != -EAGAIN || !wait_for_buffers(queue))
			break;
		/* A guest that changes its index all the time must not keep us here. */
		if (!looks)
			virtio_queue_again(queue);
	}
	if (status == -EAGAIN)
		backlog_append(net, header, frame, length);
	else if (status < 0)
		atomic_fetch_add(&net->rx_dropped, 1);
	return STAILQ_EMPTY(&net->backlog);
}

void net_receive_flush(struct net_device *net)
{
	struct virtio_queue *queue = &net->virtio.queues[NET_QUEUE_RX];

	if (atomic_load(&net->virtio.active) && !net->quiesced && queue->enabled)
		virtio_queue_flush(queue);
}

/* Gives the guest the frames that waited for buffers, as far as its buffers and @budget allow. */
static void backlog_deliver(struct net_device *net, unsigned *budget)
{
	struct backlog_frame *entry;

	while ((entry = STAILQ_FIRST(&net->backlog)) && *budget) {
		int status = deliver(net, &entry->header, entry->data, entry->length);

		(*budget)--;
		if (status == -EAGAIN)
			return;
		if (status < 0)
			atomic_fetch_add(&net->rx_dropped, 1);
		backlog_remove_first(net);
	}
}

/* The guest gave receive buffers. Kicks are useful only while frames wait for them. */
static void rx_notified(struct net_device *net, struct virtio_queue *queue)
{
	bool delayed = !STAILQ_EMPTY(&net->backlog);
	unsigned budget = RX_BUDGET;

	virtio_queue_notify_disable(queue);
	do
		backlog_deliver(net, &budget);
	while (!STAILQ_EMPTY(&net->backlog) && budget && wait_for_buffers(queue));
	virtio_queue_flush(queue);
	/* Without a look at the buffers, kicks may be off. */
	if (!STAILQ_EMPTY(&net->backlog) && !budget)
		virtio_queue_again(queue);
	if (delayed && STAILQ_EMPTY(&net->backlog))
		net->backend->ops->resume(net->backend);
}

static void send_frame(struct net_device *net, const struct virtio_chain *chain)
{
	const struct net_backend_ops *ops = net->backend->ops;
	size_t length;

	if (chain->out_bytes < NET_HEADER_SIZE + NET_FRAME_MIN ||
	    chain->out_bytes > NET_HEADER_SIZE + NET_FRAME_MAX) {
		atomic_fetch_add(&net->tx_dropped, 1);
		return;
	}
	length = (size_t)chain->out_bytes - NET_HEADER_SIZE;
	if (ops->send_chain) {
		ops->send_chain(net->backend, chain);
	} else {
		virtio_chain_read(chain, NET_HEADER_SIZE, net->tx_frame, length);
		ops->send(net->backend, net->tx_frame, length);
	}
	atomic_fetch_add_explicit(&net->tx_frames, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&net->tx_bytes, length, memory_order_relaxed);
}

static void tx_notified(struct net_device *net, struct virtio_queue *queue)
{
	struct virtio_chain chain = {.iov = net->tx_iov, .iov_max = VIRTIO_QUEUE_SIZE_MAX};
	unsigned budget = TX_BUDGET;
	bool more;

	do {
		virtio_queue_notify_disable(queue);
		while (budget && virtio_queue_pop(queue, &chain) > 0) {
			send_frame(net, &chain);
			virtio_queue_push(queue, &chain, 0);
			budget--;
		}
		virtio_queue_flush(queue);
		more = budget == 0 || virtio_queue_notify_enable(queue);
	} while (more && budget);
	if (net->backend->ops->sent)
		net->backend->ops->sent(net->backend);
	/* Kicks stay off until the rest has had its turn. */
	if (more)
		virtio_queue_again(queue);
}

static struct net_device *to_net(struct virtio_device *virtio)
{
	return container_of(virtio, struct net_device, virtio);
}

static void net_notified(struct virtio_device *virtio, struct virtio_queue *queue)
{
	struct net_device *net = to_net(virtio);

	if (queue->index == NET_QUEUE_RX)
		rx_notified(net, queue);
	else
		tx_notified(net, queue);
}

static int net_activate(struct virtio_device *virtio)
{
	struct net_device *net = to_net(virtio);
	const struct net_backend_ops *ops = net->backend->ops;

	net->quiesced = false;
	return ops->activate ? ops->activate(net->backend) : 0;
}

static void net_resume(struct virtio_device *virtio)
{
	int status = net_activate(virtio);

	if (status < 0)
		virtio_device_fail(virtio, "its back end did not start again: %s",
				   strerror(-status));
}

static void net_quiesce(struct virtio_device *virtio)
{
	struct net_device *net = to_net(virtio);
	const struct net_backend_ops *ops = net->backend->ops;

	net->quiesced = true;
	if (ops->quiesce)
		ops->quiesce(net->backend);
}

static void net_reset(struct virtio_device *virtio)
{
	struct net_device *net = to_net(virtio);
	bool delayed = !STAILQ_EMPTY(&net->backlog);

	backlog_clear(net);
	if (delayed)
		net->backend->ops->resume(net->backend);
}

static void net_destroy(struct virtio_device *virtio)
{
	struct net_device *net = to_net(virtio);

	net->backend->ops->destroy(net->backend);
	backlog_clear(net);
	free(net);
}

static int net_save(struct virtio_device *virtio, struct serialize_writer *writer)
{
	struct net_device *net = to_net(virtio);
	const struct net_backend_ops *ops = net->backend->ops;

	/* Frames that wait for buffers are not part of the state: a network may lose them. */
	return ops->save ? ops->save(net->backend, writer) : writer->status;
}

static int net_load(struct virtio_device *virtio, struct serialize_reader *reader, uint32_t version)
{
	struct net_device *net = to_net(virtio);
	const struct net_backend_ops *ops = net->backend->ops;

	return ops->load ? ops->load(net->backend, reader) : reader->status;
}

static void net_describe(struct virtio_device *virtio, json_t *object)
{
	struct net_device *net = to_net(virtio);
	const struct {
		const char *name;
		_Atomic uint64_t *value;
	} counters[] = {
		{"tx_frames", &net->tx_frames},	  {"tx_bytes", &net->tx_bytes},
		{"tx_dropped", &net->tx_dropped}, {"rx_frames", &net->rx_frames},
		{"rx_bytes", &net->rx_bytes},	  {"rx_dropped", &net->rx_dropped},
		{"rx_delayed", &net->rx_delayed},
	};

	for (size_t i = 0; i < sizeof(counters) / sizeof(counters[0]); i++)
		json_object_set_new(object, counters[i].name,
				    json_integer((json_int_t)atomic_load(counters[i].value)));
	if (net->backend->ops->describe)
		net->backend->ops->describe(net->backend, object);
}

static const struct virtio_ops net_ops = {
	.name = "virtio-net",
	.id = VIRTIO_ID_NET,
	.class_code = 0x020000,
	.version = 1,
	.activate = net_activate,
	.notified = net_notified,
	.quiesce = net_quiesce,
	.resume = net_resume,
	.reset = net_reset,
	.destroy = net_destroy,
	.save = net_save,
	.load = net_load,
	.describe = net_describe,
};

static const struct net_backend_class *find_class(const char *argument, const char **rest,
						  struct error *err)
{
	size_t length = strcspn(argument, ",");
	const struct net_backend_class *const *it;

	*rest = argument + length + (argument[length] == ',');
	REGISTRY_FOR_EACH(symvm_net_backends, it) {
		if (strlen((*it)->name) == length && strncmp((*it)->name, argument, length) == 0)
			return *it;
	}
	error_set(err, -EINVAL, "--net: '%.*s' is not a kind of network (user, tap)", (int)length,
		  argument);
	return NULL;
}

static int create_device(struct vm *vm, struct net_device *net,
			 const struct net_parameters *parameters, struct error *err)
{
	struct virtio_net_config space = {
		.status = VIRTIO_NET_S_LINK_UP,
		.max_virtqueue_pairs = 1,
		.mtu = parameters->mtu,
	};
	struct virtio_device_config config = {
		.ops = &net_ops,
		.name = "net",
		.features = parameters->features | 1ull << VIRTIO_NET_F_MAC |
			    1ull << VIRTIO_NET_F_STATUS | 1ull << VIRTIO_NET_F_MRG_RXBUF,
		.queue_count = 2,
		.queue_size = NET_QUEUE_SIZE,
		.space = &space,
		.space_size = sizeof(space),
	};
	int status;

	if (parameters->mac_made)
		net_mac_make(vm->config.name, virtio_device_count(vm, &net_ops), space.mac);
	else
		memcpy(space.mac, parameters->mac, sizeof(space.mac));
	if (parameters->mtu)
		config.features |= 1ull << VIRTIO_NET_F_MTU;
	status = virtio_device_create(vm, &net->virtio, &config, err);
	if (status < 0)
		return status;
	for (unsigned i = 0; i < 2; i++)
		net->virtio.queues[i].external = parameters->external;
	return 0;
}

static int net_create(struct vm *vm, const char *argument, struct error *err)
{
	struct net_parameters parameters = {0};
	const struct net_backend_class *class;
	struct net_device *net;
	const char *rest;
	int status;

	class = find_class(argument ? argument : "user", &rest, err);
	if (!class)
		return -EINVAL;
	net = calloc(1, sizeof(*net));
	if (!net)
		return error_set(err, -ENOMEM, "--net: out of memory");
	STAILQ_INIT(&net->backlog);
	status = class->create(vm, rest, &parameters, &net->backend, err);
	if (status < 0) {
		free(net);
		return status;
	}
	net->backend->net = net;
	net->backend->vm = vm;
	status = create_device(vm, net, &parameters, err);
	if (status < 0) {
		net->backend->ops->destroy(net->backend);
		free(net);
	}
	return status;
}

static const struct device_class net_class = {
	.option = "net",
	.argument = "user[,forward=tcp:ADDRESS:PORT-:GUESTPORT]...[,host-loopback=yes|no]"
		    "[,restrict=yes|no][,flows=COUNT]|tap,name=NAME[,vhost=on|off|auto]"
		    " [,mac=MAC][,mtu=BYTES]",
	.help = "adds a network interface",
	.order = 110,
	.create = net_create,
};
DEVICE_CLASS(net_class);
