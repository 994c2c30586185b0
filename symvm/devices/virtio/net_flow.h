/* SPDX-License-Identifier: BSD-2-Clause */
/* What a frame of the guest may make the user network open. */
#ifndef SYMVM_DEVICES_VIRTIO_NET_FLOW_H
#define SYMVM_DEVICES_VIRTIO_NET_FLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Whether @frame (Ethernet, @length bytes, the guest's) can begin a flow, for which the host would
 * need a socket: the first segment of a TCP connection, anything else in IPv4 that is not TCP,
 * and every fragment. Any thread.
 */
bool net_flow_begins(const uint8_t *frame, size_t length);

/* How many sockets a guest may hold open: half of the process's descriptors, 4096 at most. */
unsigned net_flow_limit(void);

#endif
