/* SPDX-License-Identifier: BSD-2-Clause */
/* The report of a panic: what is known about the guest, as text for people. */
#ifndef SYMVM_SERVICES_PANIC_REPORT_H
#define SYMVM_SERVICES_PANIC_REPORT_H

#include <stddef.h>

#include "services/panic_facts.h"

#define PANIC_REPORT_MAX (512u << 10) /* bytes */

/*
 * Makes the text, of at most PANIC_REPORT_MAX bytes. Its first line says that the kernel panicked,
 * and the kernel's own words. All text of the guest is escaped (util/text.h), each line of it in
 * one row. @time: an RFC 3339 time. The caller frees *@text. Any thread. -ENOMEM.
 */
int panic_report_make(const struct panic_facts *facts, const char *time, char **text,
		      size_t *length);

#endif
