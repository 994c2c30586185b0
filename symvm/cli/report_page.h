/* SPDX-License-Identifier: BSD-2-Clause */
/* A view of top_model.h as a page for a browser. */
#ifndef SYMVM_CLI_REPORT_PAGE_H
#define SYMVM_CLI_REPORT_PAGE_H

#include <jansson.h>

#include "util/error.h"

/*
 * Writes @view (borrowed) to @path, which is replaced, as one HTML page with SVG charts: no script,
 * and nothing that a browser would load. It is well-formed XML, too. Each text from the VM passes
 * text_escape(), and then its marks are escaped. The errno of the file, with words. Any thread.
 */
int report_page_write(json_t *view, const char *path, struct error *err);

#endif
