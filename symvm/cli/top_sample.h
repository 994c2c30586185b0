/* SPDX-License-Identifier: BSD-2-Clause */
/* The answers of a VM that a view (top_model.h) is made of. */
#ifndef SYMVM_CLI_TOP_SAMPLE_H
#define SYMVM_CLI_TOP_SAMPLE_H

#include <jansson.h>

#include "util/error.h"

/*
 * Asks the VM @name for info, memory, memory_use and ps, each within CLIENT_TIMEOUT_MS. On success
 * *@sample is a new reference. If the VM does not answer info, -errno with words. Words for the
 * other questions that were not answered are in the sample's "errors". One thread.
 */
int top_sample_take(const char *name, json_t **sample, struct error *err);

#endif
