// SPDX-License-Identifier: GPL-2.0-only
/* The same refusal as that of symbiotic.ko. */
#include <symbiotic/unknown.c>
