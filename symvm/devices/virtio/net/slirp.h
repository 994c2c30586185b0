/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libslirp, loaded when a VM asks for a user-mode network. It needs GLib, and together they would
 * cost a VM without such a network half of its start time and of its private memory.
 */
#ifndef SYMVM_DEVICES_VIRTIO_NET_SLIRP_H
#define SYMVM_DEVICES_VIRTIO_NET_SLIRP_H

#include <slirp/libslirp.h>

#include "util/error.h"

/* The functions of libslirp that are used, by the names without its prefix. */
#define SLIRP_FUNCTIONS(each)                                                     \
	each(new) each(cleanup) each(input) each(pollfds_fill) each(pollfds_poll) \
		each(add_hostfwd) each(state_save) each(state_load) each(state_version)

struct slirp_calls {
#define SLIRP_POINTER(name) typeof(slirp_##name) *name;
	SLIRP_FUNCTIONS(SLIRP_POINTER)
#undef SLIRP_POINTER
};

/*
 * Fills in @calls; the library stays loaded until the process ends. Main thread, before the jail
 * closes. -ENOENT if the library or one of its functions is missing.
 */
int slirp_load(struct slirp_calls *calls, struct error *err);

#endif
