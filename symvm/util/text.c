// SPDX-License-Identifier: BSD-2-Clause
#include "util/text.h"

#include <langinfo.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#define CUT	    "..."
#define CUT_COLUMNS 3u

/* Characters that wcwidth() calls printable and that still mislead a reader. */
static const struct {
	uint32_t first, last;
} misleading[] = {
	{0x0080, 0x00a0},    /* C1 controls; no-break space */
	{0x00ad, 0x00ad},    /* soft hyphen */
	{0x034f, 0x034f},    /* grapheme joiner */
	{0x061c, 0x061c},    /* Arabic letter mark */
	{0x115f, 0x1160},    /* Hangul fillers: blank */
	{0x1680, 0x1680},    /* Ogham space */
	{0x17b4, 0x17b5},    /* Khmer vowels without a form */
	{0x180b, 0x180f},    /* Mongolian selectors and separator */
	{0x2000, 0x200f},    /* spaces, zero width, direction marks */
	{0x2028, 0x202f},    /* separators, direction overrides, narrow space */
	{0x205f, 0x206f},    /* spaces, joiners, isolates */
	{0x2800, 0x2800},    /* Braille blank */
	{0x3000, 0x3000},    /* ideographic space */
	{0x3164, 0x3164},    /* Hangul filler */
	{0xd800, 0xf8ff},    /* surrogates, private use */
	{0xfe00, 0xfe0f},    /* variation selectors */
	{0xfeff, 0xfeff},    /* byte order mark */
	{0xffa0, 0xffa0},    /* Hangul filler */
	{0xfff0, 0xffff},    /* annotations, non-characters */
	{0xe0000, 0x10ffff}, /* tags, selectors, private use */
};

static bool is_misleading(uint32_t character)
{
	for (size_t i = 0; i < sizeof(misleading) / sizeof(misleading[0]); i++)
		if (character >= misleading[i].first && character <= misleading[i].last)
			return true;
	return false;
}

/*
 * Takes one character of UTF-8 (RFC 3629: no overlong forms, no surrogates, up to U+10FFFF) from
 * @text. Returns its number of bytes, or 0 if there is none.
 */
static size_t take_utf8(const unsigned char *text, size_t length, uint32_t *character)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t bytes = text[0] < 0x80	? 1
		       : text[0] < 0xc2 ? 0
		       : text[0] < 0xe0 ? 2
		       : text[0] < 0xf0 ? 3
		       : text[0] < 0xf5 ? 4
					: 0;

	if (bytes == 0 || bytes > length)
		return 0;
	*character = bytes == 1 ? text[0] : text[0] & (0x7fu >> bytes);
	for (size_t i = 1; i < bytes; i++) {
		if ((text[i] & 0xc0) != 0x80)
			return 0;
		*character = *character << 6 | (text[i] & 0x3f);
	}
	if (*character < least[bytes] || *character > 0x10ffff ||
	    (*character >= 0xd800 && *character <= 0xdfff))
		return 0;
	return bytes;
}

static bool terminal_is_utf8(void)
{
	return strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
}

/*
 * Puts the safe form of the start of @text into @form. Returns how many bytes of @text it stands
 * for, and its columns.
 */
static size_t escape_one(char form[TEXT_ESCAPE_MAX + 1], const unsigned char *text, size_t length,
			 bool utf8, unsigned flags, size_t *columns)
{
	uint32_t character;
	size_t bytes = take_utf8(text, length, &character);
	int width = 1;

	if (bytes == 0 || character < ' ' || character == 0x7f) {
		*columns = (size_t)snprintf(form, TEXT_ESCAPE_MAX + 1, "\\x%02x", text[0]);
		return 1;
	}
	if (character == '\\' && !(flags & TEXT_KEEP_BACKSLASH)) {
		strcpy(form, "\\\\");
		*columns = 2;
		return 1;
	}
	if (character > 0x7f) {
		width = utf8 && !is_misleading(character) ? wcwidth((wchar_t)character) : -1;
		if (width <= 0) {
			*columns = (size_t)snprintf(form, TEXT_ESCAPE_MAX + 1, "\\u{%x}",
						    (unsigned)character);
			return bytes;
		}
	}
	memcpy(form, text, bytes);
	form[bytes] = '\0';
	*columns = (size_t)width;
	return bytes;
}

size_t text_escape(char *out, size_t size, const char *text, size_t length, size_t columns,
		   unsigned flags)
{
	bool utf8 = terminal_is_utf8();
	size_t used = 0, filled = 0, cut = 0, cut_filled = 0, done = 0;

	while (done < length) {
		char form[TEXT_ESCAPE_MAX + 1];
		size_t width, bytes, taken;

		taken = escape_one(form, (const unsigned char *)text + done, length - done, utf8,
				   flags, &width);
		bytes = strlen(form);
		/* The last place at which the mark of a cut still fits. */
		if (used + sizeof(CUT) <= size && filled + CUT_COLUMNS <= columns) {
			cut = used;
			cut_filled = filled;
		}
		if (used + bytes >= size || filled + width > columns) {
			strcpy(out + cut, CUT);
			return cut_filled + CUT_COLUMNS;
		}
		memcpy(out + used, form, bytes);
		used += bytes;
		filled += width;
		done += taken;
	}
	out[used] = '\0';
	return filled;
}

char *text_escape_new(const char *text, unsigned flags, size_t *columns)
{
	size_t length = strlen(text), filled;
	/* A byte becomes at most four, and a character of several at most ten. */
	size_t size = length * 5 + 16;
	char *out = malloc(size);

	if (!out)
		return NULL;
	filled = text_escape(out, size, text, length, SIZE_MAX, flags);
	if (columns)
		*columns = filled;
	return out;
}
