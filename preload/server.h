/* SPDX-License-Identifier: BSD-2-Clause */
/* The control socket of a VMM's VM, with symvm's protocol and place (symvm/control/state_dir.h). */
#ifndef PRELOAD_SERVER_H
#define PRELOAD_SERVER_H

#include "util/error.h"
#include "vm.h"

struct preload_server;

/* The variable that names the VM, and the name without it. */
#define PRELOAD_NAME_VARIABLE "SYMVM_PRELOAD_NAME"
#define PRELOAD_NAME_DEFAULT  "vm-%d" /* the process */

/*
 * Claims the name, listens, and starts the threads that serve @vm. They block all signals. On
 * failure nothing is left: -errno with words. The thread that created the VM.
 */
int preload_server_start(struct preload_vm *vm, struct preload_server **server, struct error *err);
/* From now on the server is one for @vm. The thread that created it. */
void preload_server_set_vm(struct preload_server *server, struct preload_vm *vm);
/* Removes the socket and the name. The process ends: threads are left as they are. NULL is allowed.
 */
void preload_server_end(struct preload_server *server);

#endif
