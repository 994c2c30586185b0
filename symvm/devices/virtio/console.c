// SPDX-License-Identifier: BSD-2-Clause
/*
 * virtio-console (VIRTIO 1.2, 5.3) with one port, which the guest's kernel shows as /dev/hvc0. It
 * is faster than the serial port, where each byte costs an exit.
 *
 * If the host's reader is slow, a transmit request stays in the queue half written, and the guest
 * waits. Input is taken from the host only as far as the guest has given receive buffers.
 */
#include <errno.h>
#include <linux/virtio_console.h>
#include <stdlib.h>
#include <string.h>

#include "devices/chardev.h"
#include "devices/virtio/core/virtio.h"
#include "machine/vm.h"
#include "util/container_of.h"

#define QUEUE_SIZE     128u
#define QUEUE_RECEIVE  0u
#define QUEUE_TRANSMIT 1u
#define OUTPUT_PIECE   4096u
#define OUTPUT_BUDGET  (256u << 10) /* bytes before other devices have their turn */
#define REQUEST_COST   256u	    /* an empty request costs something, too */

struct console {
	struct virtio_device virtio;
	struct chardev *chardev;
	bool quiesced; /* no access to guest memory */
	/* Bytes of the transmit queue's first request that are written already. */
	uint64_t sent;
	struct iovec iov[QUEUE_SIZE];
};

enum transmitted {
	TRANSMIT_DONE,	 /* the queue is empty */
	TRANSMIT_SLOW,	 /* the reader is slow: console_writable() continues */
	TRANSMIT_BUDGET, /* there is more, but other devices have their turn first */
};

/* Writes one request from console->sent on. TRANSMIT_DONE if all of it is written. */
static enum transmitted transmit_one(struct console *console, const struct virtio_chain *chain,
				     size_t *budget)
{
	uint8_t piece[OUTPUT_PIECE];

	while (console->sent < chain->out_bytes) {
		size_t length, taken;

		if (*budget == 0)
			return TRANSMIT_BUDGET;
		length = virtio_chain_read(chain, console->sent, piece, sizeof(piece));
		taken = chardev_write(console->chardev, piece, length, false);
		console->sent += taken;
		*budget -= taken < *budget ? taken : *budget;
		if (taken < length)
			return TRANSMIT_SLOW;
	}
	return TRANSMIT_DONE;
}

/*
 * Writes the guest's output. A request that is not completely written stays in the queue. The guest
 * waits, and nothing is lost.
 */
static enum transmitted console_transmit(struct console *console, struct virtio_queue *queue,
					 size_t *budget)
{
	struct virtio_chain chain = {.iov = console->iov, .iov_max = QUEUE_SIZE};
	enum transmitted status = TRANSMIT_DONE;

	while (status == TRANSMIT_DONE && virtio_queue_pop(queue, &chain) > 0) {
		status = transmit_one(console, &chain, budget);
		if (status != TRANSMIT_DONE) {
			virtio_queue_unpop(queue, 1);
			break;
		}
		console->sent = 0;
		virtio_queue_push(queue, &chain, 0);
		*budget -= REQUEST_COST < *budget ? REQUEST_COST : *budget;
		if (*budget == 0)
			status = TRANSMIT_BUDGET;
	}
	virtio_queue_flush(queue);
	return status;
}

static struct console *to_console(struct virtio_device *virtio)
{
	return container_of(virtio, struct console, virtio);
}

static void console_notified(struct virtio_device *virtio, struct virtio_queue *queue)
{
	struct console *console = to_console(virtio);
	size_t budget = OUTPUT_BUDGET;
	enum transmitted status;

	/* Receive buffers were given: the host's side may continue to read. */
	if (queue->index == QUEUE_RECEIVE) {
		chardev_resume(console->chardev);
		return;
	}
	do {
		virtio_queue_notify_disable(queue);
		status = console_transmit(console, queue, &budget);
	} while (status == TRANSMIT_DONE && virtio_queue_notify_enable(queue));
	if (status == TRANSMIT_BUDGET)
		virtio_queue_again(queue);
}

static void console_writable(void *opaque)
{
	struct console *console = opaque;

	if (!console->quiesced)
		virtio_queue_run(&console->virtio.queues[QUEUE_TRANSMIT]);
}

static bool console_is_receiving(struct console *console)
{
	return atomic_load(&console->virtio.active) && !console->quiesced &&
	       console->virtio.queues[QUEUE_RECEIVE].enabled;
}

static size_t console_room(void *opaque)
{
	struct console *console = opaque;
	struct virtio_queue *queue = &console->virtio.queues[QUEUE_RECEIVE];
	struct virtio_chain chain = {.iov = console->iov, .iov_max = QUEUE_SIZE};
	size_t room;

	if (!console_is_receiving(console))
		return 0;
	while (virtio_queue_pop(queue, &chain) <= 0) {
		if (!virtio_queue_notify_enable(queue))
			return 0;
	}
	room = chain.in_bytes;
	virtio_queue_unpop(queue, 1);
	return room;
}

static void console_input(void *opaque, const uint8_t *data, size_t length)
{
	struct console *console = opaque;
	struct virtio_queue *queue = &console->virtio.queues[QUEUE_RECEIVE];
	struct virtio_chain chain = {.iov = console->iov, .iov_max = QUEUE_SIZE};
	size_t done = 0;

	while (done < length && console_is_receiving(console) &&
	       virtio_queue_pop(queue, &chain) > 0) {
		size_t step = virtio_chain_write(&chain, 0, data + done, length - done);

		virtio_queue_push(queue, &chain, (uint32_t)step);
		done += step;
	}
	if (console_is_receiving(console))
		virtio_queue_flush(queue);
}

static void console_quit(void *opaque)
{
	struct console *console = opaque;

	vm_end(console->virtio.vm, VM_END_STOPPED);
}

static const struct chardev_ops console_chardev_ops = {
	.room = console_room,
	.input = console_input,
	.writable = console_writable,
	.quit = console_quit,
};

static int console_activate(struct virtio_device *virtio)
{
	struct console *console = to_console(virtio);

	console->quiesced = false;
	return 0;
}

static void console_resume(struct virtio_device *virtio)
{
	console_activate(virtio);
}

static void console_quiesce(struct virtio_device *virtio)
{
	struct console *console = to_console(virtio);

	console->quiesced = true;
}

static void console_reset(struct virtio_device *virtio)
{
	struct console *console = to_console(virtio);

	console->sent = 0;
}

static int console_start(struct virtio_device *virtio, struct error *err)
{
	return chardev_start(to_console(virtio)->chardev, virtio->vm->jail, err);
}

static void console_destroy(struct virtio_device *virtio)
{
	struct console *console = to_console(virtio);

	chardev_close(console->chardev);
	free(console);
}

static int console_save(struct virtio_device *virtio, struct serialize_writer *writer)
{
	struct console *console = to_console(virtio);

	serialize_put_u64(writer, console->sent);
	return writer->status;
}

static int console_load(struct virtio_device *virtio, struct serialize_reader *reader,
			uint32_t version)
{
	struct console *console = to_console(virtio);

	console->sent = serialize_get_u64(reader);
	return reader->status;
}

static void console_describe(struct virtio_device *virtio, json_t *object)
{
	struct console *console = to_console(virtio);

	chardev_describe(console->chardev, object);
}

static const struct virtio_ops console_ops = {
	.name = "virtio-console",
	.id = VIRTIO_ID_CONSOLE,
	.class_code = 0x078000,
	.version = 1,
	.start = console_start,
	.activate = console_activate,
	.notified = console_notified,
	.quiesce = console_quiesce,
	.resume = console_resume,
	.reset = console_reset,
	.destroy = console_destroy,
	.save = console_save,
	.load = console_load,
	.describe = console_describe,
};

static const struct virtio_console_config console_space = {.max_nr_ports = 1};

static const struct virtio_device_config console_config = {
	.ops = &console_ops,
	.name = "console",
	.queue_count = 2,
	.queue_size = QUEUE_SIZE,
	.space = &console_space,
	.space_size = sizeof(console_space),
};

static int console_create(struct vm *vm, const char *argument, struct error *err)
{
	struct console *console = calloc(1, sizeof(*console));
	int status;

	if (!console)
		return error_set(err, -ENOMEM, "--virtio-console: out of memory");
	status = chardev_open("virtio-console", argument ? argument : "", vm->io_loop, &vm->log,
			      &console_chardev_ops, console, &console->chardev, err);
	if (status == 0 && chardev_has_socket(console->chardev))
		vm->jail_needs.features |= JAIL_FEATURE_CONSOLE_SOCKET;
	if (status == 0)
		status = virtio_device_create(vm, &console->virtio, &console_config, err);
	if (status < 0) {
		chardev_close(console->chardev);
		free(console);
	}
	return status;
}

static const struct device_class console_class = {
	.option = "virtio-console",
	.argument = "socket:PATH|file:PATH[,max=SIZE]|stdio",
	.help = "adds a virtio console (/dev/hvc0 in the guest)",
	.order = 140,
	.create = console_create,
};
DEVICE_CLASS(console_class);
