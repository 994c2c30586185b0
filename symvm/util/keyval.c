// SPDX-License-Identifier: BSD-2-Clause
#include "util/keyval.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

int keyval_parse_number(const char *text, uint64_t *value)
{
	char *end;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	errno = 0;
	*value = strtoull(text, &end, 0);
	if (errno)
		return -ERANGE;
	return *end ? -EINVAL : 0;
}

int keyval_parse_size(const char *text, uint64_t *value)
{
	static const char suffixes[] = "KMGT";
	unsigned shift = 0;
	const char *suffix;
	uint64_t number;
	char *end;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	errno = 0;
	number = strtoull(text, &end, 0);
	if (errno)
		return -ERANGE;
	if (*end) {
		char upper = *end >= 'a' && *end <= 'z' ? (char)(*end - 32) : *end;

		suffix = strchr(suffixes, upper);
		if (!suffix)
			return -EINVAL;
		shift = 10 * (unsigned)(suffix - suffixes + 1);
		end++;
		if (strcasecmp(end, "iB") == 0 || strcasecmp(end, "B") == 0)
			end += strlen(end);
		if (*end)
			return -EINVAL;
	}
	if (shift && number > UINT64_MAX >> shift)
		return -ERANGE;
	*value = number << shift;
	return 0;
}

/* Takes the next comma-separated part off *@rest into a fresh string; ",," is a comma. */
static char *take_part(const char **rest)
{
	const char *from = *rest;
	char *part = malloc(strlen(from) + 1);
	char *to = part;

	if (!part)
		return NULL;
	while (*from) {
		if (*from == ',') {
			if (from[1] != ',')
				break;
			from++;
		}
		*to++ = *from++;
	}
	*to = '\0';
	*rest = *from ? from + 1 : from;
	return part;
}

void keyval_list_free(struct keyval_list *list)
{
	while (list->count)
		free(list->items[--list->count]);
}

static int append_item(const char *option, const struct keyval_field *field, const char *value,
		       struct error *err)
{
	struct keyval_list *list = field->value;

	if (list->count == KEYVAL_LIST_MAX)
		return error_set(err, -EINVAL, "--%s: %s is given more than %u times", option,
				 field->key, KEYVAL_LIST_MAX);
	list->items[list->count] = strdup(value);
	if (!list->items[list->count])
		return error_set(err, -ENOMEM, "--%s: out of memory", option);
	list->count++;
	return 0;
}

static int set_field(const char *option, const struct keyval_field *field, const char *value,
		     struct error *err)
{
	int status;

	if (field->type == KEYVAL_FLAG) {
		if (!value || strcmp(value, "on") == 0)
			*(bool *)field->value = true;
		else if (strcmp(value, "off") == 0)
			*(bool *)field->value = false;
		else
			return error_set(err, -EINVAL, "--%s: %s=%s: expected on or off", option,
					 field->key, value);
		return 0;
	}
	if (!value || !*value)
		return error_set(err, -EINVAL, "--%s: %s needs a value", option, field->key);
	if (field->type == KEYVAL_LIST)
		return append_item(option, field, value, err);
	if (field->type == KEYVAL_TEXT) {
		char *copy = strdup(value);

		if (!copy)
			return error_set(err, -ENOMEM, "--%s: out of memory", option);
		free(*(char **)field->value);
		*(char **)field->value = copy;
		return 0;
	}
	if (field->type == KEYVAL_SIZE)
		status = keyval_parse_size(value, field->value);
	else
		status = keyval_parse_number(value, field->value);
	if (status < 0)
		return error_set(err, -EINVAL, "--%s: %s=%s: %s", option, field->key, value,
				 status == -ERANGE ? "the number is too large" : "not a number");
	return 0;
}

static int parse_part(const char *option, char *part, bool first, const struct keyval_field *fields,
		      uint64_t *seen, struct error *err)
{
	char *value = strchr(part, '=');
	size_t length = value ? (size_t)(value - part) : strlen(part);
	const struct keyval_field *field;

	for (field = fields; field->key; field++)
		if (strlen(field->key) == length && strncmp(field->key, part, length) == 0)
			break;
	if (!field->key && first && !value && fields[0].type == KEYVAL_TEXT) {
		*seen |= 1;
		return set_field(option, &fields[0], part, err);
	}
	if (!field->key)
		return error_set(err, -EINVAL, "--%s: unknown key '%.*s'", option, (int)length,
				 part);
	if ((*seen & (1ull << (field - fields))) && !field->repeated_last &&
	    field->type != KEYVAL_LIST)
		return error_set(err, -EINVAL, "--%s: %s is given twice", option, field->key);
	*seen |= 1ull << (field - fields);
	return set_field(option, field, value ? value + 1 : NULL, err);
}

int keyval_parse(const char *option, const char *text, const struct keyval_field *fields,
		 struct error *err)
{
	const struct keyval_field *field;
	uint64_t seen = 0;
	bool first = true;
	int status = 0;

	while (text && *text && status == 0) {
		char *part = take_part(&text);

		if (!part)
			status = error_set(err, -ENOMEM, "--%s: out of memory", option);
		else if (*part)
			status = parse_part(option, part, first, fields, &seen, err);
		free(part);
		first = false;
	}
	for (field = fields; field->key && status == 0; field++)
		if (field->required && !(seen & (1ull << (field - fields))))
			status = error_set(err, -EINVAL, "--%s: %s=... is missing", option,
					   field->key);
	if (status < 0) {
		for (field = fields; field->key; field++) {
			if (field->type == KEYVAL_TEXT) {
				free(*(char **)field->value);
				*(char **)field->value = NULL;
			} else if (field->type == KEYVAL_LIST) {
				keyval_list_free(field->value);
			}
		}
	}
	return status;
}
