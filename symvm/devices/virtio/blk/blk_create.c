// SPDX-License-Identifier: BSD-2-Clause
/* Creates a virtio disk from an option --disk, and logs what the guest will see of the file. */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>

#include "devices/virtio/blk/blk.h"
#include "machine/vm.h"
#include "util/keyval.h"

#define BLK_QUEUES_MAX 16u

static struct virtio_blk_config blk_config(const struct blk *blk, unsigned queues)
{
	unsigned block = blk->image.block_size, physical = blk->image.physical_size;
	uint32_t alignment = physical / BLK_SECTOR;
	struct virtio_blk_config config = {
		.capacity = htole64(blk->image.sectors),
		.seg_max = htole32(BLK_SEGMENTS),
		.blk_size = htole32(block),
		.physical_block_exp = (uint8_t)__builtin_ctz(physical / block),
		.min_io_size = htole16((uint16_t)(physical / block)),
		.num_queues = htole16((uint16_t)queues),
	};

	if (blk->discard && blk->image.can_punch) {
		config.max_discard_sectors = htole32(BLK_DISCARD_SECTORS_MAX);
		config.max_discard_seg = htole32(1);
		/* Holes smaller than a page free nothing. */
		config.discard_sector_alignment = htole32(alignment > 8 ? alignment : 8);
	}
	if (blk->discard) {
		config.max_write_zeroes_sectors = htole32(BLK_ZEROES_SECTORS_MAX);
		config.max_write_zeroes_seg = htole32(1);
		config.write_zeroes_may_unmap = blk->image.can_punch;
	}
	return config;
}

static uint64_t blk_features(const struct blk *blk, unsigned queues)
{
	uint64_t features = 1ull << VIRTIO_BLK_F_SEG_MAX | 1ull << VIRTIO_BLK_F_BLK_SIZE |
			    1ull << VIRTIO_BLK_F_FLUSH | 1ull << VIRTIO_BLK_F_TOPOLOGY;

	if (blk->image.readonly)
		features |= 1ull << VIRTIO_BLK_F_RO;
	if (blk->discard)
		features |= 1ull << VIRTIO_BLK_F_WRITE_ZEROES;
	/* A guest that discards wants to free space, and accepts that this may delay its users. */
	if (blk->discard && blk->image.can_punch)
		features |= 1ull << VIRTIO_BLK_F_DISCARD;
	if (queues > 1)
		features |= 1ull << VIRTIO_BLK_F_MQ;
	return features;
}

/* Has @loop call the disk when operations completed. */
static int blk_watch(struct blk *blk, struct event_loop *loop, struct error *err)
{
	int fds[BLK_ENGINE_FDS];
	unsigned count = blk_engine_fds(blk->engine, fds);

	for (unsigned i = 0; i < count; i++) {
		blk->engine_sources[i] = event_loop_add(loop, fds[i], EPOLLIN, blk_engine_ready,
							blk);
		if (!blk->engine_sources[i])
			return error_set_errno(err, -ENOMEM, "disk: event loop");
	}
	return 0;
}

/* The engine and the memory for requests. */
static int blk_prepare(struct blk *blk, struct vm *vm, unsigned depth, bool ring, struct error *err)
{
	int status;

	blk->requests_size = depth * BLK_REQUEST_SIZE;
	blk->requests = mmap(NULL, blk->requests_size, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (blk->requests == MAP_FAILED) {
		blk->requests = NULL;
		return error_set_errno(err, -ENOMEM, "disk");
	}
	status = blk_engine_create(blk->image.fd, depth, &blk->image.access, ring,
				   blk_operation_done, blk, &blk->engine, err);
	if (status < 0)
		return status;
	if (ring && !blk_engine_has_ring(blk->engine))
		log_warn(&vm->log, "disks: this host does not have io_uring; I/O will be slower");
	return blk_watch(blk, vm->io_loop, err);
}

struct blk_options {
	char *path, *serial, *format;
	bool readonly, direct, discard, ring;
	uint64_t queues;
};

/* If the guest sees something other than the file on the host, the user is told. */
static void differences_tell(const struct blk *blk, const struct blk_options *options)
{
	const struct blk_image *image = &blk->image;
	const char *name = blk->virtio.device.name;
	struct log *log = &blk->virtio.vm->log;
	uint64_t cut = image->bytes - image->sectors * BLK_SECTOR;

	if (cut)
		log_warn(log,
			 "%s (%s): the guest does not see its last %llu bytes: a disk has whole "
			 "blocks of %u bytes",
			 name, blk->path, (unsigned long long)cut, image->block_size);
	if (image->block_size != BLK_SECTOR)
		log_warn(log,
			 "%s (%s): the guest sees blocks of %u bytes, as the device has them; a "
			 "partition table made for blocks of %u bytes does not fit",
			 name, blk->path, image->block_size, BLK_SECTOR);
	if (image->access.direct && image->access.offset_align > image->block_size)
		log_info(log,
			 "%s (%s): requests that are not whole blocks of %u bytes are slow: direct "
			 "I/O has to read and write around them",
			 name, blk->path, image->access.offset_align);
	if (image->readonly)
		log_info(log, "%s (%s): read-only", name, blk->path);
	if (options->discard && !image->readonly && !image->can_punch)
		log_info(log, "%s (%s): no discard: the host cannot punch holes into it", name,
			 blk->path);
}

static int options_parse(const char *argument, struct blk_options *options, struct error *err)
{
	const struct keyval_field fields[] = {
		{"path", KEYVAL_TEXT, &options->path, true, false},
		{"readonly", KEYVAL_FLAG, &options->readonly, false, false},
		{"serial", KEYVAL_TEXT, &options->serial, false, false},
		{"direct", KEYVAL_FLAG, &options->direct, false, false},
		{"discard", KEYVAL_FLAG, &options->discard, false, false},
		{"format", KEYVAL_TEXT, &options->format, false, false},
		{"io-uring", KEYVAL_FLAG, &options->ring, false, false},
		{"queues", KEYVAL_NUMBER, &options->queues, false, false},
		{0},
	};
	int status = keyval_parse("disk", argument, fields, err);

	if (status < 0)
		return status;
	if (options->queues < 1 || options->queues > BLK_QUEUES_MAX)
		return error_set(err, -EINVAL, "--disk: queues=%llu is not from 1 to %u",
				 (unsigned long long)options->queues, BLK_QUEUES_MAX);
	if (options->format && strcmp(options->format, "raw") != 0)
		return error_set(err, -EINVAL, "--disk: format=%s: there is only raw",
				 options->format);
	if (options->serial && strlen(options->serial) > VIRTIO_BLK_ID_BYTES)
		return error_set(err, -EINVAL, "--disk: serial=%s is longer than %d characters",
				 options->serial, VIRTIO_BLK_ID_BYTES);
	return 0;
}

static int blk_device_create(struct blk *blk, struct vm *vm, unsigned queues, struct error *err)
{
	const struct virtio_blk_config space = blk_config(blk, queues);
	const struct virtio_device_config config = {
		.ops = &blk_ops,
		.name = "disk",
		.features = blk_features(blk, queues),
		.queue_count = queues,
		.queue_size = BLK_QUEUE_SIZE,
		.space = &space,
		.space_size = sizeof(space),
	};

	return virtio_device_create(vm, &blk->virtio, &config, err);
}

static int blk_make(struct vm *vm, const struct blk_options *options, struct error *err)
{
	struct blk *blk = calloc(1, sizeof(*blk));
	const struct blk_image_options image = {
		.readonly = options->readonly,
		.direct = options->direct,
		.any_format = options->format != NULL,
	};
	unsigned queues = (unsigned)options->queues;
	int status;

	if (!blk)
		return error_set(err, -ENOMEM, "--disk: out of memory");
	blk->discard = options->discard && !options->readonly;
	/* Not a string: padded with zeroes, and the last byte may be used. */
	memcpy(blk->id, options->serial ? options->serial : "",
	       options->serial ? strlen(options->serial) : 0);
	blk->virtio.vm = vm;
	blk->image.fd = -1;
	blk->path = strdup(options->path);
	status = blk->path ? blk_image_open(&blk->image, options->path, &image, err)
			   : error_set(err, -ENOMEM, "--disk: out of memory");
	if (status == 0)
		status = blk_prepare(blk, vm, queues * BLK_QUEUE_SIZE, options->ring, err);
	if (status == 0)
		status = blk_device_create(blk, vm, queues, err);
	if (status < 0)
		blk_free(blk);
	else
		differences_tell(blk, options);
	return status;
}

static int blk_create(struct vm *vm, const char *argument, struct error *err)
{
	struct blk_options options = {.discard = true, .ring = true, .queues = 1};
	int status = options_parse(argument, &options, err);

	if (status == 0)
		status = blk_make(vm, &options, err);
	free(options.path);
	free(options.serial);
	free(options.format);
	return status;
}

static const struct device_class blk_class = {
	.option = "disk",
	.argument = "path=FILE[,readonly][,serial=TEXT][,direct][,discard=on|off][,queues=N]"
		    "[,format=raw][,io-uring=on|off]",
	.help = "a disk on a raw image file or block device",
	.order = 110,
	.create = blk_create,
};
DEVICE_CLASS(blk_class);
