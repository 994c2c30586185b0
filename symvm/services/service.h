/* SPDX-License-Identifier: BSD-2-Clause */
/* Moved to machine/service.h; this file goes when nothing includes it any more. */
#include "machine/service.h"
