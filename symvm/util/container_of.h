/* SPDX-License-Identifier: BSD-2-Clause */
/* From a member to the structure that it is part of. */
#ifndef SYMVM_UTIL_CONTAINER_OF_H
#define SYMVM_UTIL_CONTAINER_OF_H

#include <stddef.h>

/*
 * The structure @type whose member @member is at @pointer, which must not be NULL. The compiler
 * refuses a @pointer that does not point to the member's type. Any thread.
 */
#define container_of(pointer, type, member)                                                   \
	({                                                                                    \
		_Static_assert(__builtin_types_compatible_p(__typeof__(*(pointer)),           \
							    __typeof__(((type *)0)->member)), \
			       "not a pointer to this member");                               \
		(type *)(void *)((char *)(pointer)-offsetof(type, member));                   \
	})

#endif
