/* SPDX-License-Identifier: BSD-2-Clause */
/* Moved to machine/report.h; this file goes when nothing includes it any more. */
#include "machine/report.h"
#define control_report report
#define CONTROL_REPORT REPORT
