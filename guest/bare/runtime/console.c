// SPDX-License-Identifier: BSD-2-Clause
/* The serial console by polling, TAP, and the functions that compilers expect. */
#include "runtime.h"

#include <stdarg.h>

static unsigned checks;
static unsigned failures;

void *memcpy(void *to, const void *from, size_t length)
{
	void *start = to;

	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(length) : : "memory");
	return start;
}

void *memset(void *to, int value, size_t length)
{
	void *start = to;

	__asm__ volatile("rep stosb" : "+D"(to), "+c"(length) : "a"(value) : "memory");
	return start;
}

int memcmp(const void *left, const void *right, size_t length)
{
	const uint8_t *a = left, *b = right;

	for (; length; length--, a++, b++)
		if (*a != *b)
			return *a - *b;
	return 0;
}

static void put(char c)
{
	/* A hostile guest may have changed the UART in any way, so this wait has an end. */
	for (unsigned i = 0; i < 10000 && !(in8(PORT_COM1 + 5) & 0x20); i++)
		pause();
	out8(PORT_COM1, (uint8_t)c);
}

static void put_number(uint64_t value, unsigned base, unsigned width, char pad)
{
	char digits[24];
	unsigned count = 0;

	do {
		digits[count++] = "0123456789abcdef"[value % base];
		value /= base;
	} while (value);
	for (; width > count; width--)
		put(pad);
	while (count)
		put(digits[--count]);
}

static void vprint(const char *format, va_list args)
{
	for (; *format; format++) {
		unsigned width = 0;
		bool wide = false;
		char pad = ' ';
		int64_t number;

		if (*format != '%') {
			put(*format);
			continue;
		}
		format++;
		if (*format == '0')
			pad = *format++;
		while (*format >= '0' && *format <= '9')
			width = width * 10 + (unsigned)(*format++ - '0');
		for (; *format == 'l'; format++)
			wide = true;
		switch (*format) {
		case 's':
			for (const char *text = va_arg(args, const char *); *text; text++)
				put(*text);
			break;
		case 'c':
			put((char)va_arg(args, int));
			break;
		case 'd':
			number = wide ? va_arg(args, int64_t) : va_arg(args, int);
			if (number < 0)
				put('-');
			put_number(number < 0 ? -(uint64_t)number : (uint64_t)number, 10, width,
				   pad);
			break;
		case 'u':
		case 'x':
			put_number(wide ? va_arg(args, uint64_t) : va_arg(args, unsigned),
				   *format == 'x' ? 16 : 10, width, pad);
			break;
		default:
			put(*format);
		}
	}
}

void print(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vprint(format, args);
	va_end(args);
}

bool check(bool good, const char *format, ...)
{
	va_list args;

	failures += !good;
	print("%sok %u - ", good ? "" : "not ", ++checks);
	va_start(args, format);
	vprint(format, args);
	va_end(args);
	print("\n");
	return good;
}

void power_off(void)
{
	if (checks)
		print("1..%u\n", checks);
	for (;;)
		out8(PORT_POWER, 0x20 | 5 << 2);
}
