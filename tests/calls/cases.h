/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TESTS_BARE_SYMCALL_CASES_H
#define TESTS_BARE_SYMCALL_CASES_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include <cmocka.h>

#include "devices.h"
#include "machine.h"

/* Each test gets a machine of its own in *state. */
extern const struct CMUnitTest exit_tests[], kick_tests[], failure_tests[], page_tests[];
extern const size_t exit_test_count, kick_test_count, failure_test_count, page_test_count;

#endif
