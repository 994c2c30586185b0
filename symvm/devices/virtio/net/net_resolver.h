/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The host's name servers, as /etc/resolv.conf has them now. The jail lets no thread of the VMM
 * open a file, and a replaced file would not be the one that the jail allows. So a small process,
 * created before the jail closes, reads the file whenever it is asked. It takes no other input, has
 * no descriptor of the VM, and ends with the VMM.
 */
#ifndef SYMVM_DEVICES_VIRTIO_NET_RESOLVER_H
#define SYMVM_DEVICES_VIRTIO_NET_RESOLVER_H

#include <netinet/in.h>
#include <stdbool.h>

#include "util/error.h"

#define NET_RESOLV_CONF	  "/etc/resolv.conf"
#define NET_RESOLVERS_MAX 3u /* as many as resolv.conf(5) knows */

union net_resolver_address {
	sa_family_t family;
	struct sockaddr_in in4;
	struct sockaddr_in6 in6;
};

struct net_resolvers {
	unsigned count;
	union net_resolver_address servers[NET_RESOLVERS_MAX]; /* port 53 */
};

/*
 * Reads name servers from the file @path, by resolv.conf(5). A file that is missing or names none
 * gives none. Any thread.
 */
void net_resolvers_read(const char *path, struct net_resolvers *resolvers);

/*
 * Starts the process, which reads @path. Returns a descriptor for the two functions below; the
 * caller owns it, and closing it ends the process. Main thread, before the jail closes. -errno with
 * words.
 */
int net_resolver_start(const char *path, struct error *err);
/*
 * Asks; the descriptor becomes readable. False if the process is gone. I/O thread; does not wait.
 */
bool net_resolver_ask(int fd);
/* Takes an answer. False if there is none, or the process is gone. I/O thread; does not wait. */
bool net_resolver_take(int fd, struct net_resolvers *resolvers);

#endif
