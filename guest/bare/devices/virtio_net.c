// SPDX-License-Identifier: BSD-2-Clause
/* virtio-net on the user network: an ARP request for 10.0.2.2. */
#include "virtio.h"

#define HEADER 12

static uint8_t sent[HEADER + 60], received[2048];

static void frame_make(const uint8_t *mac)
{
	static const uint8_t arp[] = {0x08, 0x06, 0, 1, 8, 0, 6, 4, 0, 1};
	uint8_t *frame = sent + HEADER;

	memset(frame, 0xff, 6);
	memcpy(frame + 6, mac, 6);
	memcpy(frame + 12, arp, sizeof(arp));
	memcpy(frame + 22, mac, 6);
	memcpy(frame + 28, "\x0a\x00\x02\x0f", 4);
	memcpy(frame + 38, "\x0a\x00\x02\x02", 4);
}

static bool is_reply(const uint8_t *mac)
{
	const uint8_t *frame = received + HEADER;

	return memcmp(frame, mac, 6) == 0 && frame[12] == 8 && frame[13] == 6 && frame[21] == 2 &&
	       memcmp(frame + 28, "\x0a\x00\x02\x02", 4) == 0;
}

static void net(void)
{
	const struct part out = {sent, sizeof(sent), false};
	const struct part in = {received, sizeof(received), true};
	struct virtio device;
	uint8_t mac[6];
	bool good = false;

	if (!check(virtio_find(&device, VIRTIO_NET, 0), "virtio-net is there") ||
	    !check(virtio_start(&device, 1ull << 5), "its driver starts"))
		return;
	for (unsigned i = 0; i < 6; i++)
		mac[i] = read8(device.config + i);
	check(!(mac[0] & 1) && (mac[0] | mac[1] | mac[2]), "a MAC address, %02x:%02x:%02x...",
	      mac[0], mac[1], mac[2]);
	frame_make(mac);
	virtio_queue_add(&device, 0, &in, 1);
	check(virtio_request(&device, 1, &out, 1) >= 0, "an ARP request left");
	/* The first frame may be another one, such as a router advertisement. */
	for (unsigned i = 0; i < 5 && !good; i++) {
		if (virtio_queue_wait(&device, 0) < 0)
			break;
		good = is_reply(mac);
		if (!good)
			virtio_queue_add(&device, 0, &in, 1);
	}
	check(good, "the gateway answered");
}
TEST("virtio-net", net);

/* Each from a port of its own: the user network opens a socket on the host for each. */
static void datagram_make(uint16_t port)
{
	static const uint8_t header[] = {0x08, 0x00, 0x45, 0,  0, 46, 0,  0,  0, 0, 64,
					 17,   0,    0,	   10, 0, 2,  15, 10, 0, 2, 2};
	uint8_t *ip = sent + HEADER + 14;
	uint32_t sum = 0;

	memset(sent, 0, sizeof(sent));
	memcpy(sent + HEADER, "\x52\x55\x0a\x00\x02\x02", 6);
	memcpy(sent + HEADER + 12, header, sizeof(header));
	for (unsigned i = 0; i < 20; i += 2)
		sum += (uint32_t)ip[i] << 8 | ip[i + 1];
	sum = (sum & 0xffff) + (sum >> 16);
	ip[10] = (uint8_t)(~sum >> 8);
	ip[11] = (uint8_t)~sum;
	ip[20] = (uint8_t)(port >> 8);
	ip[21] = (uint8_t)port;
	ip[23] = 9;
	ip[25] = 26; /* UDP length; no checksum */
}

/* A guest that opens as many flows as it can. The VM must stay manageable. */
static void flood(void)
{
	const struct part out = {sent, sizeof(sent), false};
	unsigned flows = (unsigned)option_number("flows", 100), answered = 0;
	struct virtio device;
	uint8_t mac[6];

	if (!check(virtio_find(&device, VIRTIO_NET, 0), "virtio-net is there") ||
	    !check(virtio_start(&device, 1ull << 5), "its driver starts"))
		return;
	for (unsigned i = 0; i < 6; i++)
		mac[i] = read8(device.config + i);
	frame_make(mac);
	for (unsigned i = 0; i < flows; i++) {
		datagram_make((uint16_t)(10000 + i));
		answered += virtio_request(&device, 1, &out, 1) >= 0;
	}
	check(answered == flows, "%u datagrams left", flows);
	print("# flood: done\n");
	while (!(in8(PORT_POWER + 3) & 1))
		delay_us(10000);
	check(true, "the power button was pressed");
}
TEST("virtio-net-flood", flood);
