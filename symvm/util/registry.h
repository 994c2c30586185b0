/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tables that assemble themselves. Each device, service or command puts one pointer to its
 * constant ops table into a linker section. The code that needs the list walks the section, so
 * adding an entry touches no other file.
 */
#ifndef SYMVM_UTIL_REGISTRY_H
#define SYMVM_UTIL_REGISTRY_H

/* Places a pointer to @object (of const type @type) into @table (a linker section). */
#define REGISTRY_ENTRY(table, type, object)              \
	static const type *const registry_entry_##object \
		__attribute__((section(#table), used)) = &(object)

/* Declares a table, once per file that walks it. Weak: a table may be empty. */
#define REGISTRY_DECLARE(table, type)                                     \
	extern const type *const __start_##table[] __attribute__((weak)); \
	extern const type *const __stop_##table[] __attribute__((weak))

/* Walks a table; @it is a `const type *const *`. */
#define REGISTRY_FOR_EACH(table, it) for (it = __start_##table; it < __stop_##table; it++)

#endif
