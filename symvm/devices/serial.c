// SPDX-License-Identifier: BSD-2-Clause
/*
 * A 16550A UART at the first PC serial port. Registers and interrupt priorities follow National
 * Semiconductor's PC16550D data sheet. The line is infinitely fast: a written byte is sent at once,
 * and the transmitter is always empty.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "devices/chardev.h"
#include "machine/vm.h"
#include "util/container_of.h"
#include "util/serialize.h"

#define SERIAL_BASE 0x3f8
#define SERIAL_SIZE 8
#define FIFO_SIZE   16u
#define INPUT_SIZE  4096u

enum {
	REG_DATA = 0, /* RBR, THR; DLL with DLAB */
	REG_IER = 1,  /* DLM with DLAB */
	REG_IIR = 2,  /* FCR on write */
	REG_LCR = 3,
	REG_MCR = 4,
	REG_LSR = 5,
	REG_MSR = 6,
	REG_SCR = 7,
};

#define IER_RDI	 0x01
#define IER_THRI 0x02
#define IER_MSI	 0x08
#define IER_MASK 0x0f

#define IIR_NONE    0x01
#define IIR_MSI	    0x00
#define IIR_THRI    0x02
#define IIR_RDI	    0x04
#define IIR_TIMEOUT 0x0c
#define IIR_FIFO    0xc0

#define FCR_ENABLE  0x01
#define FCR_CLEAR_R 0x02
#define FCR_MASK    0xc9

#define LCR_DLAB 0x80

#define MCR_DTR	 0x01
#define MCR_RTS	 0x02
#define MCR_OUT1 0x04
#define MCR_OUT2 0x08
#define MCR_LOOP 0x10
#define MCR_MASK 0x1f

#define LSR_DR	 0x01
#define LSR_OE	 0x02
#define LSR_THRE 0x20
#define LSR_TEMT 0x40

#define MSR_DELTA 0x0f
#define MSR_CTS	  0x10
#define MSR_DSR	  0x20
#define MSR_RI	  0x40
#define MSR_DCD	  0x80

struct serial {
	struct device device;
	struct chardev *chardev;
	pthread_mutex_t lock;
	uint8_t ier, fcr, lcr, mcr, scr, dll, dlm;
	uint8_t msr_delta;
	bool overrun;
	bool modem_touched; /* the guest has written MCR since reset */
	bool thr_pending;   /* "transmitter empty" not yet seen */
	bool line;	    /* level of the interrupt line */
	uint8_t loop_fifo[FIFO_SIZE];
	unsigned loop_count;
	/* What the host sent. The guest sees the first FIFO_SIZE bytes as its FIFO. */
	uint8_t input[INPUT_SIZE];
	unsigned input_head, input_count;
	uint64_t accesses, interrupts;
};

/*
 * The host's bytes wait until the guest is ready to receive (DTR or RTS). Otherwise early input
 * would be lost when the guest's driver clears the FIFOs. A guest that never touches MCR gets the
 * bytes anyway.
 */
static bool host_input_visible(const struct serial *serial)
{
	if (serial->mcr & MCR_LOOP)
		return false;
	return !serial->modem_touched || (serial->mcr & (MCR_DTR | MCR_RTS));
}

static unsigned received(const struct serial *serial)
{
	unsigned depth = serial->fcr & FCR_ENABLE ? FIFO_SIZE : 1;
	unsigned count = serial->loop_count;

	if (host_input_visible(serial))
		count += serial->input_count;
	return count < depth ? count : depth;
}

static uint8_t modem_lines(const struct serial *serial)
{
	if (!(serial->mcr & MCR_LOOP))
		return MSR_CTS | MSR_DSR | MSR_DCD;
	return (serial->mcr & MCR_DTR ? MSR_DSR : 0) | (serial->mcr & MCR_RTS ? MSR_CTS : 0) |
	       (serial->mcr & MCR_OUT1 ? MSR_RI : 0) | (serial->mcr & MCR_OUT2 ? MSR_DCD : 0);
}

/* The most urgent enabled interrupt, as IIR shows it. */
static uint8_t interrupt_source(const struct serial *serial)
{
	static const unsigned triggers[4] = {1, 4, 8, 14};
	unsigned count = received(serial);

	if ((serial->ier & IER_RDI) && count) {
		if (!(serial->fcr & FCR_ENABLE) || count >= triggers[serial->fcr >> 6])
			return IIR_RDI;
		/* No time passes between bytes, so the character timeout is over at once. */
		return IIR_TIMEOUT;
	}
	if ((serial->ier & IER_THRI) && serial->thr_pending)
		return IIR_THRI;
	if ((serial->ier & IER_MSI) && (serial->msr_delta & MSR_DELTA))
		return IIR_MSI;
	return IIR_NONE;
}

/* OUT2 gates the interrupt on a PC; in loopback mode the pin is inactive. */
static void update_line(struct serial *serial)
{
	bool enabled = (serial->mcr & (MCR_OUT2 | MCR_LOOP)) == MCR_OUT2;
	bool level = enabled && interrupt_source(serial) != IIR_NONE;

	if (level == serial->line)
		return;
	serial->line = level;
	serial->interrupts += level;
	irq_set_line(&serial->device.vm->irq, IRQ_GSI_SERIAL, level);
}

static uint8_t read_data(struct serial *serial, bool *made_room)
{
	uint8_t value;

	if (serial->loop_count) {
		value = serial->loop_fifo[0];
		memmove(serial->loop_fifo, serial->loop_fifo + 1, --serial->loop_count);
		return value;
	}
	if (!host_input_visible(serial) || !serial->input_count)
		return 0;
	value = serial->input[serial->input_head];
	serial->input_head = (serial->input_head + 1) % INPUT_SIZE;
	serial->input_count--;
	*made_room = serial->input_count <= INPUT_SIZE / 2;
	return value;
}

static uint8_t read_register(struct serial *serial, unsigned offset, bool *made_room)
{
	uint8_t value;

	switch (offset) {
	case REG_DATA:
		return serial->lcr & LCR_DLAB ? serial->dll : read_data(serial, made_room);
	case REG_IER:
		return serial->lcr & LCR_DLAB ? serial->dlm : serial->ier;
	case REG_IIR:
		value = interrupt_source(serial);
		if (value == IIR_THRI)
			serial->thr_pending = false;
		return value | (serial->fcr & FCR_ENABLE ? IIR_FIFO : 0);
	case REG_LCR:
		return serial->lcr;
	case REG_MCR:
		return serial->mcr;
	case REG_LSR:
		value = LSR_THRE | LSR_TEMT | (received(serial) ? LSR_DR : 0) |
			(serial->overrun ? LSR_OE : 0);
		serial->overrun = false;
		return value;
	case REG_MSR:
		value = modem_lines(serial) | serial->msr_delta;
		serial->msr_delta = 0;
		return value;
	default:
		return serial->scr;
	}
}

/* Returns whether @value is sent to the host. */
static bool write_data(struct serial *serial, uint8_t value)
{
	/*
	 * The write withdraws the interrupt, and the sent byte raises it again. The line falls in
	 * between, for an edge-triggered pin.
	 */
	serial->thr_pending = false;
	if (serial->line && interrupt_source(serial) == IIR_NONE)
		update_line(serial);
	serial->thr_pending = true;
	if (!(serial->mcr & MCR_LOOP))
		return true;
	if (serial->loop_count < (serial->fcr & FCR_ENABLE ? FIFO_SIZE : 1))
		serial->loop_fifo[serial->loop_count++] = value;
	else
		serial->overrun = true;
	return false;
}

static void write_fifo_control(struct serial *serial, uint8_t value)
{
	unsigned visible;

	/* Turning the FIFOs on or off clears them (PC16550D 8.4). */
	if ((value ^ serial->fcr) & FCR_ENABLE)
		value |= FCR_CLEAR_R;
	if (value & FCR_CLEAR_R) {
		serial->loop_count = 0;
		visible = serial->modem_touched ? received(serial) : 0;
		serial->input_head = (serial->input_head + visible) % INPUT_SIZE;
		serial->input_count -= visible;
	}
	serial->fcr = value & FCR_ENABLE ? value & FCR_MASK : 0;
}

static void write_modem_control(struct serial *serial, uint8_t value)
{
	uint8_t before = modem_lines(serial);
	uint8_t changed;

	serial->mcr = value & MCR_MASK;
	serial->modem_touched = true;
	changed = before ^ modem_lines(serial);
	/* CTS, DSR and DCD have bits for any change; RI's bit reports only its trailing edge. */
	serial->msr_delta |= (changed & (MSR_CTS | MSR_DSR | MSR_DCD)) >> 4;
	if (changed & before & MSR_RI)
		serial->msr_delta |= MSR_RI >> 4;
}

/* Returns whether @value is sent to the host. */
static bool write_register(struct serial *serial, unsigned offset, uint8_t value)
{
	switch (offset) {
	case REG_DATA:
		if (!(serial->lcr & LCR_DLAB))
			return write_data(serial, value);
		serial->dll = value;
		break;
	case REG_IER:
		if (serial->lcr & LCR_DLAB) {
			serial->dlm = value;
			break;
		}
		/* Enabling the interrupt while the transmitter is empty raises it. */
		if ((value & ~serial->ier) & IER_THRI)
			serial->thr_pending = true;
		serial->ier = value & IER_MASK;
		break;
	case REG_IIR:
		write_fifo_control(serial, value);
		break;
	case REG_LCR:
		serial->lcr = value;
		break;
	case REG_MCR:
		write_modem_control(serial, value);
		break;
	case REG_SCR:
		serial->scr = value;
		break;
	default: /* LSR and MSR are read-only */
		break;
	}
	return false;
}

static void serial_access(void *opaque, uint64_t offset, void *data, unsigned length, bool is_write)
{
	struct serial *serial = opaque;
	uint8_t *bytes = data;
	bool made_room = false;

	for (unsigned i = 0; i < length; i++) {
		bool send = false;

		pthread_mutex_lock(&serial->lock);
		serial->accesses++;
		if (is_write)
			send = write_register(serial, (unsigned)offset + i, bytes[i]);
		else
			bytes[i] = read_register(serial, (unsigned)offset + i, &made_room);
		if (is_write && offset + i == REG_IIR)
			made_room = true; /* the write may have cleared the FIFO */
		update_line(serial);
		pthread_mutex_unlock(&serial->lock);
		if (send)
			chardev_write(serial->chardev, &bytes[i], 1, true);
	}
	if (made_room)
		chardev_resume(serial->chardev);
}

static size_t serial_room(void *opaque)
{
	struct serial *serial = opaque;
	size_t room;

	pthread_mutex_lock(&serial->lock);
	room = INPUT_SIZE - serial->input_count;
	pthread_mutex_unlock(&serial->lock);
	return room;
}

static void serial_input(void *opaque, const uint8_t *data, size_t length)
{
	struct serial *serial = opaque;

	pthread_mutex_lock(&serial->lock);
	for (size_t i = 0; i < length && serial->input_count < INPUT_SIZE; i++) {
		serial->input[(serial->input_head + serial->input_count) % INPUT_SIZE] = data[i];
		serial->input_count++;
	}
	update_line(serial);
	pthread_mutex_unlock(&serial->lock);
}

static void serial_quit(void *opaque)
{
	struct serial *serial = opaque;

	vm_end(serial->device.vm, VM_END_STOPPED);
}

static const struct chardev_ops serial_chardev_ops = {
	.room = serial_room,
	.input = serial_input,
	.quit = serial_quit,
};

static struct serial *to_serial(struct device *device)
{
	return container_of(device, struct serial, device);
}

static int serial_start(struct device *device, struct error *err)
{
	return chardev_start(to_serial(device)->chardev, device->vm->jail, err);
}

static void serial_reset(struct device *device)
{
	struct serial *serial = to_serial(device);

	pthread_mutex_lock(&serial->lock);
	serial->ier = 0;
	serial->fcr = 0;
	serial->lcr = 0;
	serial->mcr = 0;
	serial->scr = 0;
	serial->dll = 1; /* 115200 baud */
	serial->dlm = 0;
	serial->msr_delta = 0;
	serial->overrun = false;
	serial->modem_touched = false;
	serial->thr_pending = false;
	serial->loop_count = 0;
	update_line(serial);
	pthread_mutex_unlock(&serial->lock);
}

static void serial_destroy(struct device *device)
{
	struct serial *serial = to_serial(device);

	bus_remove(&device->vm->pio, SERIAL_BASE);
	chardev_close(serial->chardev);
	pthread_mutex_destroy(&serial->lock);
	free(serial);
}

static int serial_save(struct device *device, struct serialize_writer *writer)
{
	struct serial *serial = to_serial(device);

	pthread_mutex_lock(&serial->lock);
	serialize_put_u8(writer, serial->ier);
	serialize_put_u8(writer, serial->fcr);
	serialize_put_u8(writer, serial->lcr);
	serialize_put_u8(writer, serial->mcr);
	serialize_put_u8(writer, serial->scr);
	serialize_put_u8(writer, serial->dll);
	serialize_put_u8(writer, serial->dlm);
	serialize_put_u8(writer, serial->msr_delta);
	serialize_put_u8(writer, serial->overrun);
	serialize_put_u8(writer, serial->modem_touched);
	serialize_put_u8(writer, serial->thr_pending);
	serialize_put_u8(writer, (uint8_t)serial->loop_count);
	serialize_put_bytes(writer, serial->loop_fifo, serial->loop_count);
	serialize_put_u16(writer, (uint16_t)serial->input_count);
	for (unsigned i = 0; i < serial->input_count; i++)
		serialize_put_u8(writer, serial->input[(serial->input_head + i) % INPUT_SIZE]);
	pthread_mutex_unlock(&serial->lock);
	return writer->status;
}

static int load_locked(struct serial *serial, struct serialize_reader *reader)
{
	serial->ier = serialize_get_u8(reader) & IER_MASK;
	serial->fcr = serialize_get_u8(reader) & FCR_MASK;
	serial->lcr = serialize_get_u8(reader);
	serial->mcr = serialize_get_u8(reader) & MCR_MASK;
	serial->scr = serialize_get_u8(reader);
	serial->dll = serialize_get_u8(reader);
	serial->dlm = serialize_get_u8(reader);
	serial->msr_delta = serialize_get_u8(reader) & MSR_DELTA;
	serial->overrun = serialize_get_u8(reader) & 1;
	serial->modem_touched = serialize_get_u8(reader) & 1;
	serial->thr_pending = serialize_get_u8(reader) & 1;
	serial->loop_count = serialize_get_u8(reader);
	if (serial->loop_count > FIFO_SIZE) {
		serial->loop_count = 0;
		return -EINVAL;
	}
	serialize_get_bytes(reader, serial->loop_fifo, serial->loop_count);
	serial->input_head = 0;
	serial->input_count = serialize_get_u16(reader);
	if (serial->input_count > INPUT_SIZE) {
		serial->input_count = 0;
		return -EINVAL;
	}
	serialize_get_bytes(reader, serial->input, serial->input_count);
	return reader->status;
}

static int serial_load(struct device *device, struct serialize_reader *reader, uint32_t version)
{
	struct serial *serial = to_serial(device);
	int status;

	pthread_mutex_lock(&serial->lock);
	status = load_locked(serial, reader);
	if (status == 0)
		update_line(serial);
	pthread_mutex_unlock(&serial->lock);
	return status;
}

static void serial_describe(struct device *device, json_t *object)
{
	struct serial *serial = to_serial(device);

	pthread_mutex_lock(&serial->lock);
	json_object_set_new(object, "accesses", json_integer((json_int_t)serial->accesses));
	json_object_set_new(object, "interrupts", json_integer((json_int_t)serial->interrupts));
	pthread_mutex_unlock(&serial->lock);
	chardev_describe(serial->chardev, object);
}

static size_t serial_tail(struct device *device, char *out, size_t size)
{
	return chardev_tail(to_serial(device)->chardev, out, size);
}

static const struct device_ops serial_ops = {
	.name = "serial",
	.version = 1,
	.start = serial_start,
	.reset = serial_reset,
	.destroy = serial_destroy,
	.save = serial_save,
	.load = serial_load,
	.describe = serial_describe,
	.tail = serial_tail,
};

static int serial_create(struct vm *vm, const char *argument, struct error *err)
{
	struct serial *serial = calloc(1, sizeof(*serial));
	int status;

	if (!serial)
		return error_set(err, -ENOMEM, "serial port: out of memory");
	serial->device.vm = vm;
	pthread_mutex_init(&serial->lock, NULL);
	status = chardev_open("console", argument ? argument : "stdio", vm->io_loop, &vm->log,
			      &serial_chardev_ops, serial, &serial->chardev, err);
	if (status < 0)
		goto fail;
	if (chardev_has_socket(serial->chardev))
		vm->jail_needs.features |= JAIL_FEATURE_CONSOLE_SOCKET;
	status = bus_add(&vm->pio, SERIAL_BASE, SERIAL_SIZE, serial_access, serial);
	if (status < 0) {
		error_set_errno(err, status,
				"--console: cannot claim ports 0x%x to 0x%x (one "
				"console only)",
				SERIAL_BASE, SERIAL_BASE + SERIAL_SIZE - 1);
		goto fail;
	}
	device_add(vm, &serial->device, &serial_ops, "serial", true);
	serial_reset(&serial->device);
	return 0;
fail:
	chardev_close(serial->chardev);
	pthread_mutex_destroy(&serial->lock);
	free(serial);
	return status;
}

static const struct device_class serial_class = {
	.option = "console",
	.argument = "stdio|socket:PATH|file:PATH[,max=SIZE]|none",
	.help = "where the guest's first serial port goes (default: stdio; Ctrl-A x ends the VM)",
	.default_argument = "stdio",
	.create = serial_create,
};
DEVICE_CLASS(serial_class);
