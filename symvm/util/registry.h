/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tables that assemble themselves: each device, service or command puts one
 * pointer to its constant ops table into a linker section, and whoever needs
 * the list walks the section. Adding one touches no other file.
 */
#ifndef SYMVM_UTIL_REGISTRY_H
#define SYMVM_UTIL_REGISTRY_H

/* Places a pointer to @object (of const type @type) into the table @section. */
#define SECTION_ENTRY(section_name, type, object)       \
	static const type *const section_entry_##object \
		__attribute__((section(#section_name), used)) = &(object)

/* Declares a table, once per file that walks it. Weak: a table may be empty. */
#define SECTION_DECLARE(section_name, type)                                      \
	extern const type *const __start_##section_name[] __attribute__((weak)); \
	extern const type *const __stop_##section_name[] __attribute__((weak))

/* Walks a table; @it is a `const type *const *`. */
#define SECTION_FOR_EACH(section_name, it) \
	for (it = __start_##section_name; it < __stop_##section_name; it++)

#endif
