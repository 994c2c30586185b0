// SPDX-License-Identifier: BSD-2-Clause
/* Finds what is on a block device, by libblkid, which is loaded if a VM spills to a device. */
#include <blkid/blkid.h>
#include <errno.h>
#include <stdio.h>

#include "swap/spill/spill_file.h"
#include "util/dlopen.h"

#define BLKID_LIBRARY "libblkid.so.1"

/* Versions of clang-format wrap this differently. */
/* clang-format off */
#define BLKID_FUNCTIONS(X) \
	X(new_probe) \
	X(free_probe) \
	X(probe_set_device) \
	X(probe_enable_superblocks) \
	X(probe_set_superblocks_flags) \
	X(probe_enable_partitions) \
	X(do_safeprobe) \
	X(probe_lookup_value)
/* clang-format on */

struct blkid_calls {
#define BLKID_POINTER(name) __typeof__(&blkid_##name) name;
	BLKID_FUNCTIONS(BLKID_POINTER)
#undef BLKID_POINTER
};

static int calls_load(struct blkid_calls *calls, struct error *err)
{
	static const struct dlopen_function functions[] = {
#define BLKID_ENTRY(name) {"blkid_" #name, offsetof(struct blkid_calls, name)},
		BLKID_FUNCTIONS(BLKID_ENTRY)
#undef BLKID_ENTRY
	};

	return dlopen_load(BLKID_LIBRARY, functions, sizeof(functions) / sizeof(functions[0]),
			   calls, "--swap: spill on a block device", err);
}

/* Names what was found; several formats at once count as found, too. */
static void signature_describe(const struct blkid_calls *blkid, blkid_probe probe, int found,
			       char *text, size_t size)
{
	const char *name = NULL;

	if (found == -2)
		name = "several formats";
	else if (blkid->probe_lookup_value(probe, "TYPE", &name, NULL) < 0 &&
		 blkid->probe_lookup_value(probe, "PTTYPE", &name, NULL) < 0)
		name = "an unnamed format";
	snprintf(text, size, "%s", name);
}

int spill_signature_find(int fd, char *text, size_t size, struct error *err)
{
	struct blkid_calls blkid;
	blkid_probe probe;
	int status = calls_load(&blkid, err), found;

	text[0] = '\0';
	if (status < 0)
		return status;
	probe = blkid.new_probe();
	if (!probe)
		return error_set(err, -ENOMEM, "--swap: out of memory");
	if (blkid.probe_set_device(probe, fd, 0, 0) < 0) {
		blkid.free_probe(probe);
		return error_set(err, -EIO, "--swap: libblkid cannot look at the spill device");
	}
	blkid.probe_enable_superblocks(probe, 1);
	blkid.probe_set_superblocks_flags(probe, BLKID_SUBLKS_TYPE | BLKID_SUBLKS_BADCSUM);
	blkid.probe_enable_partitions(probe, 1);
	found = blkid.do_safeprobe(probe); /* 0: found, 1: nothing, -1: error, -2: ambivalent */
	if (found == 0 || found == -2)
		signature_describe(&blkid, probe, found, text, size);
	blkid.free_probe(probe);
	return found == -1 ? error_set(err, -EIO, "--swap: libblkid cannot read the spill device")
			   : 0;
}
