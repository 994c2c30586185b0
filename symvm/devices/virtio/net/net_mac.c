// SPDX-License-Identifier: BSD-2-Clause
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "devices/virtio/net/net.h"

#define MACHINE_ID "/etc/machine-id"

int net_parse_mac(const char *text, struct net_parameters *parameters, struct error *err)
{
	uint8_t *mac = parameters->mac, all = 0;
	int end = 0;

	parameters->mac_made = !text;
	if (!text)
		return 0;
	if (strspn(text, "0123456789abcdefABCDEF:") != 17 || strlen(text) != 17 ||
	    sscanf(text, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx%n", &mac[0], &mac[1], &mac[2],
		   &mac[3], &mac[4], &mac[5], &end) != 6 ||
	    end != 17)
		return error_set(err, -EINVAL,
				 "--net: mac=%s: expected six bytes as "
				 "52:54:00:12:34:56",
				 text);
	for (unsigned i = 0; i < 6; i++)
		all |= mac[i];
	if (!all || (mac[0] & 1))
		return error_set(err, -EINVAL, "--net: mac=%s: not the address of one station",
				 text);
	return 0;
}

void net_mac_make(const char *name, unsigned index, uint8_t mac[6])
{
	static const uint8_t prefix[3] = {0x52, 0x54, 0x00}; /* locally administered */
	char machine[64] = "", text[256];
	int fd = open(MACHINE_ID, O_RDONLY | O_CLOEXEC);
	XXH64_hash_t hash;

	if (fd >= 0) {
		if (read(fd, machine, sizeof(machine) - 1) < 0)
			machine[0] = '\0';
		close(fd);
	}
	snprintf(text, sizeof(text), "%s %u %s", name, index, machine);
	hash = XXH3_64bits(text, strlen(text));
	memcpy(mac, prefix, sizeof(prefix));
	memcpy(mac + 3, &hash, 3);
}
