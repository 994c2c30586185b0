// SPDX-License-Identifier: GPL-2.0-only
/*
 * The block device over a window. It is synchronous: a request is done when submit_bio() returns.
 * The swap code is told so, and uses it.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/bio.h>
#include <linux/highmem.h>
#include <linux/module.h>
#include <linux/pagemap.h>
#include "internal.h"

#define SYMSWAP_SLOT_SECTORS (PAGE_SIZE >> SECTOR_SHIFT)

static int symswap_major;

/* Copies @length bytes at @position, at most a page. They may cross into a second slot. */
static int symswap_transfer(struct symswap_device *device, u64 position, void *buffer,
			    unsigned int length, bool write)
{
	while (length) {
		u64 slot = position >> PAGE_SHIFT;
		unsigned int offset = offset_in_page(position);
		unsigned int part = min_t(unsigned int, length, PAGE_SIZE - offset);
		int error;

		if (slot >= device->slots)
			return -EIO;
		error = write ? symswap_slot_write(device, slot, offset, buffer, part)
			      : symswap_slot_read(device, slot, offset, buffer, part);
		if (error)
			return error;
		position += part;
		buffer += part;
		length -= part;
	}
	return 0;
}

static int symswap_transfer_page(struct symswap_device *device, struct page *page,
				 unsigned int offset, unsigned int length, u64 position, bool write)
{
	void *buffer;
	int error;

	if (write)
		symswap_verdict_out(device, position >> PAGE_SHIFT);
	else
		symswap_verdict_ask(device, position >> PAGE_SHIFT);
	/* x86-64 has no high memory: this maps nothing, so the transfer may sleep. */
	buffer = kmap_local_page(page);
	error = symswap_transfer(device, position, buffer + offset, length, write);
	kunmap_local(buffer);
	return error;
}

static void symswap_discard(struct symswap_device *device, sector_t sector, unsigned int bytes)
{
	u64 slot = DIV_ROUND_UP_ULL((u64)sector, SYMSWAP_SLOT_SECTORS);
	u64 end = (((u64)sector << SECTOR_SHIFT) + bytes) >> PAGE_SHIFT;

	for (; slot < end && slot < device->slots; slot++)
		symswap_slot_free(device, slot);
}

static void symswap_submit_bio(struct bio *bio)
{
	struct symswap_device *device = bio->bi_bdev->bd_disk->private_data;
	struct bvec_iter iterator;
	struct bio_vec vector;
	int error = 0;

	switch (bio_op(bio)) {
	case REQ_OP_READ:
	case REQ_OP_WRITE:
		break;
	case REQ_OP_DISCARD:
		symswap_discard(device, bio->bi_iter.bi_sector, bio->bi_iter.bi_size);
		bio_endio(bio);
		return;
	case REQ_OP_FLUSH:
		bio_endio(bio);
		return;
	default:
		bio->bi_status = BLK_STS_NOTSUPP;
		bio_endio(bio);
		return;
	}
	bio_for_each_segment(vector, bio, iterator)
	{
		error = symswap_transfer_page(
			device, vector.bv_page, vector.bv_offset, vector.bv_len,
			(u64)iterator.bi_sector << SECTOR_SHIFT, op_is_write(bio_op(bio)));
		if (error)
			break;
	}
	if (error)
		bio->bi_status = errno_to_blk_status(error);
	bio_endio(bio);
}

/* The kernel holds locks here, so this must not sleep. */
static void symswap_free_notify(struct block_device *bdev, unsigned long slot)
{
	struct symswap_device *device = bdev->bd_disk->private_data;

	if (slot < device->slots)
		symswap_slot_free(device, slot);
}

#ifdef SYM_HAS_RW_PAGE
/* Swap recognizes a synchronous device by this operation, before there is a flag for it. */
static int symswap_rw_page(struct block_device *bdev, sector_t sector, struct page *page,
			   enum req_op op)
{
	struct symswap_device *device = bdev->bd_disk->private_data;
	int error;

	if (PageTransHuge(page))
		return -EOPNOTSUPP; /* a bio comes instead */
	error = symswap_transfer_page(device, page, 0, PAGE_SIZE, (u64)sector << SECTOR_SHIFT,
				      op_is_write(op));
	if (error)
		return error; /* a bio comes instead, and reports it */
	page_endio(page, op_is_write(op), 0);
	return 0;
}
#endif

static const struct block_device_operations symswap_operations = {
	.owner = THIS_MODULE,
	.submit_bio = symswap_submit_bio,
	.swap_slot_free_notify = symswap_free_notify,
#ifdef SYM_HAS_RW_PAGE
	.rw_page = symswap_rw_page,
#endif
};

/* Later, swap recognizes one by a flag: first of the queue, then of the queue's limits. */
static struct gendisk *symswap_disk_synchronous(struct gendisk *disk)
{
#ifdef QUEUE_FLAG_SYNCHRONOUS
	if (!IS_ERR_OR_NULL(disk))
		blk_queue_flag_set(QUEUE_FLAG_SYNCHRONOUS, disk->queue);
#endif
	return disk;
}

#ifndef SYM_HAS_BLK_LIMITS
static struct gendisk *symswap_disk_alloc(void)
{
	struct gendisk *disk = blk_alloc_disk(NUMA_NO_NODE);

	if (!disk)
		return ERR_PTR(-ENOMEM);
	blk_queue_logical_block_size(disk->queue, PAGE_SIZE);
	blk_queue_physical_block_size(disk->queue, PAGE_SIZE);
	blk_queue_max_discard_sectors(disk->queue, UINT_MAX);
	disk->queue->limits.discard_granularity = PAGE_SIZE;
	blk_queue_flag_set(QUEUE_FLAG_NONROT, disk->queue);
	blk_queue_flag_clear(QUEUE_FLAG_ADD_RANDOM, disk->queue);
	return symswap_disk_synchronous(disk);
}
#else
static struct gendisk *symswap_disk_alloc(void)
{
	struct queue_limits limits = {
		.logical_block_size = PAGE_SIZE,
		.physical_block_size = PAGE_SIZE,
		.max_hw_discard_sectors = UINT_MAX,
		.discard_granularity = PAGE_SIZE,
#ifdef BLK_FEAT_SYNCHRONOUS
		.features = BLK_FEAT_SYNCHRONOUS,
#endif
	};

	return symswap_disk_synchronous(blk_alloc_disk(&limits, NUMA_NO_NODE));
}
#endif

/* symswap_block_add - /dev/symswapN for @device, whose window is open. 0 or an errno. */
int symswap_block_add(struct symswap_device *device)
{
	struct gendisk *disk = symswap_disk_alloc();
	int error;

	if (IS_ERR(disk))
		return PTR_ERR(disk);
	disk->major = symswap_major;
	disk->first_minor = device->index;
	disk->minors = 1;
	disk->flags |= GENHD_FL_NO_PART;
	disk->fops = &symswap_operations;
	disk->private_data = device;
	snprintf(disk->disk_name, sizeof(disk->disk_name), SYMSWAP_NAME "%u", device->index);
	set_capacity(disk, device->slots * SYMSWAP_SLOT_SECTORS);
	device->disk = disk;
	error = device_add_disk(NULL, disk, symswap_groups);
	if (error) {
		put_disk(disk);
		return error;
	}
	pr_info("%s: %llu MiB in memory of the VMM\n", disk->disk_name,
		device->slots >> (20 - PAGE_SHIFT));
	return 0;
}

void symswap_block_remove(struct symswap_device *device)
{
	del_gendisk(device->disk);
	put_disk(device->disk);
}

int __init symswap_block_start(void)
{
	symswap_major = register_blkdev(0, SYMSWAP_NAME);
	return symswap_major < 0 ? symswap_major : 0;
}

void symswap_block_stop(void)
{
	unregister_blkdev(symswap_major, SYMSWAP_NAME);
}
