// SPDX-License-Identifier: BSD-2-Clause
#include "machine/symbiotic.h"
#include "machine/vm.h"

void symbiotic_log(struct vm *vm, enum sym_log_level level, const char *part, const char *message)
{
	static const enum log_level levels[] = {
		[SYM_LOG_ERROR] = LOG_LEVEL_ERROR,
		[SYM_LOG_WARN] = LOG_LEVEL_WARN,
		[SYM_LOG_INFO] = LOG_LEVEL_INFO,
		[SYM_LOG_DEBUG] = LOG_LEVEL_DEBUG,
	};

	log_limited(&vm->log, levels[level], "%s: %s", part, message);
}
