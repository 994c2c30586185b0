// SPDX-License-Identifier: BSD-2-Clause
#include "devices/virtio/blk/blk_request.h"

#include <endian.h>
#include <errno.h>
#include <linux/virtio_blk.h>

/* Copies the first @bytes bytes, which exist, out of the out parts and removes them. */
static void parts_skip(struct virtio_chain *chain, uint64_t bytes)
{
	while (bytes) {
		struct iovec *first = &chain->iov[0];

		if (bytes < first->iov_len) {
			first->iov_base = (char *)first->iov_base + bytes;
			first->iov_len -= bytes;
			return;
		}
		bytes -= first->iov_len;
		chain->iov++;
		chain->iov_max--;
		chain->out_count--;
	}
}

/* Removes the last byte from the in parts: it is for the status. */
static uint8_t *parts_take_status(struct virtio_chain *chain)
{
	struct iovec *last = &chain->iov[chain->out_count + chain->in_count - 1];

	last->iov_len--;
	if (last->iov_len == 0)
		chain->in_count--;
	chain->in_bytes--;
	return (uint8_t *)last->iov_base + last->iov_len;
}

/* Whether [@sector, @sector + @bytes) is on the disk and consists of whole blocks. */
static bool range_good(const struct blk_image *image, uint64_t sector, uint64_t bytes)
{
	unsigned block = image->block_size / BLK_SECTOR;

	return bytes % image->block_size == 0 && sector % block == 0 && sector <= image->sectors &&
	       bytes / BLK_SECTOR <= image->sectors - sector;
}

static int parse_transfer(struct blk_request *request, const struct blk_image *image, bool write)
{
	struct virtio_chain *chain = &request->chain;
	uint64_t bytes = write ? chain->out_bytes : chain->in_bytes;

	if (!range_good(image, request->sector, bytes) || (write && image->readonly))
		return VIRTIO_BLK_S_IOERR;
	if (bytes == 0)
		return VIRTIO_BLK_S_OK;
	request->operation = (struct blk_operation){
		.kind = write ? BLK_WRITE : BLK_READ,
		.iov = chain->iov + (write ? 0 : chain->out_count),
		.count = write ? chain->out_count : chain->in_count,
		.offset = request->sector * BLK_SECTOR,
		.length = bytes,
	};
	if (!write)
		request->written += (uint32_t)bytes;
	return BLK_STATUS_PENDING;
}

/* Discard and write zeroes (5.2.6.1): one range each, as config space says. */
static int parse_range(struct blk_request *request, const struct blk_image *image)
{
	struct virtio_blk_discard_write_zeroes range;
	bool discard = request->type == VIRTIO_BLK_T_DISCARD;
	uint32_t flags, sectors;

	if (request->chain.out_bytes != sizeof(range))
		return request->chain.out_bytes % sizeof(range) ? VIRTIO_BLK_S_IOERR
								: VIRTIO_BLK_S_UNSUPP;
	virtio_chain_read(&request->chain, 0, &range, sizeof(range));
	flags = le32toh(range.flags);
	sectors = le32toh(range.num_sectors);
	request->sector = le64toh(range.sector);
	if (flags & (discard ? ~0u : ~(uint32_t)VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP))
		return VIRTIO_BLK_S_UNSUPP;
	if (image->readonly ||
	    sectors > (discard ? BLK_DISCARD_SECTORS_MAX : BLK_ZEROES_SECTORS_MAX) ||
	    !range_good(image, request->sector, (uint64_t)sectors * BLK_SECTOR))
		return VIRTIO_BLK_S_IOERR;
	if (sectors == 0)
		return VIRTIO_BLK_S_OK;
	request->operation = (struct blk_operation){
		.kind = discard ? BLK_DISCARD
			: flags ? BLK_ZERO_UNMAP
				: BLK_ZERO,
		.offset = request->sector * BLK_SECTOR,
		.length = (uint64_t)sectors * BLK_SECTOR,
	};
	return BLK_STATUS_PENDING;
}

static int parse_id(struct blk_request *request, const char *id)
{
	size_t copied = virtio_chain_write(&request->chain, 0, id, VIRTIO_BLK_ID_BYTES);

	if (copied < VIRTIO_BLK_ID_BYTES)
		return VIRTIO_BLK_S_IOERR;
	request->written += VIRTIO_BLK_ID_BYTES;
	return VIRTIO_BLK_S_OK;
}

int blk_request_parse(struct blk_request *request, const struct blk_image *image, bool discard,
		      const char *id)
{
	struct virtio_chain *chain = &request->chain;
	struct virtio_blk_outhdr header;

	if (chain->out_bytes < sizeof(header) || chain->in_bytes < 1)
		return -EINVAL;
	virtio_chain_read(chain, 0, &header, sizeof(header));
	parts_skip(chain, sizeof(header));
	chain->out_bytes -= sizeof(header);
	request->status = parts_take_status(chain);
	request->written = 1;
	request->type = le32toh(header.type);
	request->sector = le64toh(header.sector);
	switch (request->type) {
	case VIRTIO_BLK_T_IN:
		return parse_transfer(request, image, false);
	case VIRTIO_BLK_T_OUT:
		return parse_transfer(request, image, true);
	case VIRTIO_BLK_T_FLUSH:
		request->operation = (struct blk_operation){.kind = BLK_FLUSH};
		return BLK_STATUS_PENDING;
	case VIRTIO_BLK_T_GET_ID:
		return parse_id(request, id);
	case VIRTIO_BLK_T_DISCARD:
	case VIRTIO_BLK_T_WRITE_ZEROES:
		return discard ? parse_range(request, image) : VIRTIO_BLK_S_UNSUPP;
	default:
		return VIRTIO_BLK_S_UNSUPP;
	}
}
