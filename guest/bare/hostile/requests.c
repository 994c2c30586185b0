// SPDX-License-Identifier: BSD-2-Clause
/* Contents of requests, so similar to right ones that parsers continue to their ends. */
#include "hostile.h"

static void fill_blk(struct hostile *hostile, uint64_t at)
{
	static const uint32_t types[] = {0, 0, 0, 1, 1, 1, 4, 8, 11, 13, 13, 5};
	const uint64_t edges[] = {0, 2047, 2048, 4095, 4096, 1ull << 55, (1ull << 55) - 1, ~0ull};
	uint64_t sector = random_below(hostile, 2040);

	if (random_one_in(hostile, 3))
		sector = edges[random_below(hostile, sizeof(edges) / sizeof(edges[0]))];
	write32(at, random_one_in(hostile, 8)
			    ? (uint32_t)random_next(hostile)
			    : types[random_below(hostile, sizeof(types) / sizeof(types[0]))]);
	write32(at + 4, (uint32_t)random_next(hostile));
	write64(at + 8, sector);
	/* A discard's segment, if the data follow directly. */
	write64(at + 16, sector);
	write32(at + 24, (uint32_t)hostile_value(hostile));
	write32(at + 28, (uint32_t)random_below(hostile, 4));
}

/* The checksum of an IPv4 header without options, in place. */
static void seal_ipv4(uint64_t header)
{
	uint32_t sum = 0;

	write16(header + 10, 0);
	for (unsigned i = 0; i < 20; i += 2)
		sum += read16(header + i);
	sum = (sum & 0xffff) + (sum >> 16);
	write16(header + 10, (uint16_t) ~((sum & 0xffff) + (sum >> 16)));
}

/* An ARP request for 10.0.2.2. It gets an answer, so that frames come back. */
static void fill_arp(uint64_t frame)
{
	write16(frame + 12, 0x0608);
	write64(frame + 14, 0x0100040600080100ull);
	write32(frame + 28, 0x0f02000a);
	write32(frame + 38, 0x0202000a);
}

/* A virtio_net_hdr, then a frame for the user network: ARP, IPv4 (ICMP, TCP, UDP), IPv6. */
static void fill_net(struct hostile *hostile, uint64_t at)
{
	static const uint16_t kinds[] = {0x0608, 0x0008, 0x0008, 0x0008, 0xdd86};
	static const uint8_t protocols[] = {1, 6, 17, 2, 255};
	uint64_t frame = at + 12;

	write64(at, random_one_in(hostile, 2) ? 0 : random_next(hostile));
	write32(at + 8, random_one_in(hostile, 2) ? 0 : (uint32_t)random_next(hostile));
	write32(frame, 0x000a5552); /* libslirp's gateway */
	write16(frame + 4, 0x0202);
	write16(frame + 12, kinds[random_below(hostile, 5)]);
	write32(frame + 14, 0x45 | (uint32_t)random_below(hostile, 0x10000) << 16);
	if (random_one_in(hostile, 8))
		write8(frame + 14, (uint8_t)random_next(hostile));
	write16(frame + 16,
		(uint16_t)(random_below(hostile, 6) << 8)); /* total length, big-endian */
	if (!random_one_in(hostile, 4))
		write16(frame + 20, 0); /* no fragment */
	write8(frame + 23, protocols[random_below(hostile, 5)]);
	write32(frame + 26, 0x0f02000a);
	/* Only inside the user network: nothing leaves it. */
	write32(frame + 30, 0x0002000a | (uint32_t)random_below(hostile, 5) << 24);
	write16(frame + 36,
		(uint16_t)(random_one_in(hostile, 2) ? 0x4300 : random_below(hostile, 65536)));
	write16(frame + 38, (uint16_t)(random_below(hostile, 4) << 8));
	if (random_one_in(hostile, 3))
		fill_arp(frame);
	else if (!random_one_in(hostile, 4))
		seal_ipv4(frame + 14);
}

void request_fill(struct hostile *hostile, unsigned type, uint64_t address, uint64_t length)
{
	if (address < ARENA_START || address > arena_end() || length > arena_end() - address)
		return;
	for (uint64_t at = 0; at + 8 <= length && at < 64; at += 8)
		write64(address + at, random_next(hostile));
	if (length < 64)
		return;
	if (type == VIRTIO_BLOCK)
		fill_blk(hostile, address);
	else if (type == VIRTIO_NET)
		fill_net(hostile, address);
}
