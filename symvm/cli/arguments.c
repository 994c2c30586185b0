// SPDX-License-Identifier: BSD-2-Clause
/*
 * The parser of all subcommands' arguments. getopt_long(3) finds the options; a table of long
 * options is made for it from the command's table. Each value is checked by its type and limits,
 * and then stored: in the request, in the caller's structure, or by the argument's own function. An
 * error is worded here, with the command and the argument.
 */
#include "cli/arguments.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/arguments_help.h"
#include "util/keyval.h"
#include "util/word_list.h"

#define KEY_HELP  256
#define KEY_FIRST 257 /* of the options, by their position in the table */

struct parsing {
	const struct arguments *table;
	const char *command;
	void *input;
	json_t *request;
	struct error *err;
	size_t words; /* number of positional arguments so far */
};

static bool has_value(const struct argument *argument)
{
	return argument->type != ARGUMENT_FLAG &&
	       (argument->type != ARGUMENT_CUSTOM || argument->metavar);
}

static size_t count_of(const struct argument *list)
{
	size_t count = 0;

	while (list && list[count].name)
		count++;
	return count;
}

/* "--budget" or "NAME", for messages. */
static const char *dashes(const struct parsing *parsing, const struct argument *argument)
{
	const struct argument *words = parsing->table->words;

	return words && argument >= words && argument < words + count_of(words) ? "" : "--";
}

static int put_in_request(struct parsing *parsing, const struct argument *argument, json_t *value)
{
	json_t *array;

	if (!argument->repeated)
		return json_object_set_new(parsing->request, argument->key, value);
	array = json_object_get(parsing->request, argument->key);
	if (!array) {
		array = json_array();
		json_object_set_new(parsing->request, argument->key, array);
	}
	return json_array_append_new(array, value);
}

static int store_number(struct parsing *parsing, const struct argument *argument, uint64_t number)
{
	if (argument->key)
		put_in_request(parsing, argument,
			       argument->type == ARGUMENT_FLAG ? json_true()
							       : json_integer((json_int_t)number));
	else /* x86 is little-endian, and the maximum fits */
		memcpy((char *)parsing->input + argument->offset, &number, argument->size);
	return 0;
}

static int store_text(struct parsing *parsing, const struct argument *argument, const char *text)
{
	char **member;
	char *copy;

	if (argument->key)
		return put_in_request(parsing, argument, json_string(text)) == 0
			       ? 0
			       : error_set(parsing->err, -EINVAL, "%s%s: '%s' is not UTF-8",
					   dashes(parsing, argument), argument->name, text);
	member = (char **)((char *)parsing->input + argument->offset);
	if (!argument->copy) {
		memcpy(member, &text, sizeof(text));
		return 0;
	}
	copy = strdup(text);
	if (!copy)
		return error_set(parsing->err, -ENOMEM, "%s: out of memory", parsing->command);
	free(*member);
	*member = copy;
	return 0;
}

static uint64_t maximum_of(const struct argument *argument)
{
	return argument->maximum ? argument->maximum : INT64_MAX;
}

static bool in_limits(const struct argument *argument, uint64_t number)
{
	return number >= argument->minimum && number <= maximum_of(argument);
}

static int take_number(struct parsing *parsing, const struct argument *argument, const char *text)
{
	uint64_t maximum = maximum_of(argument), number;
	int status = keyval_parse_number(text, &number);
	const char *before = dashes(parsing, argument);

	if (status == 0 && in_limits(argument, number))
		return store_number(parsing, argument, number);
	if (argument->type == ARGUMENT_DURATION)
		return error_set(parsing->err, -EINVAL,
				 "%s%s: '%s' is not a number of seconds, %llu to %llu", before,
				 argument->name, text, (unsigned long long)argument->minimum,
				 (unsigned long long)maximum);
	if (status == -EINVAL)
		return error_set(parsing->err, -EINVAL, "%s%s: '%s' is not a number", before,
				 argument->name, text);
	return error_set(parsing->err, -EINVAL, "%s%s: %s is outside of %llu to %llu", before,
			 argument->name, text, (unsigned long long)argument->minimum,
			 (unsigned long long)maximum);
}

static int take_size(struct parsing *parsing, const struct argument *argument, const char *text)
{
	uint64_t size;
	int status = keyval_parse_size(text, &size);
	const char *before = dashes(parsing, argument);

	if (status == 0 && in_limits(argument, size))
		return store_number(parsing, argument, size);
	if (status == -EINVAL)
		return error_set(parsing->err, -EINVAL, "%s%s: '%s' is not a size", before,
				 argument->name, text);
	return error_set(parsing->err, -EINVAL, "%s%s: '%s' is outside of %llu to %llu bytes",
			 before, argument->name, text, (unsigned long long)argument->minimum,
			 (unsigned long long)maximum_of(argument));
}

static int refuse_choice(struct parsing *parsing, const struct argument *argument, const char *text)
{
	const char *const *choices = argument->choices;
	char list[256] = "";

	if (choices[0] && choices[1] && !choices[2])
		return error_set(parsing->err, -EINVAL, "%s%s: '%s' is neither %s nor %s",
				 dashes(parsing, argument), argument->name, text, choices[0],
				 choices[1]);
	for (size_t i = 0; choices[i]; i++)
		word_list_add(list, sizeof(list), choices[i + 1] ? ", " : " or ", choices[i]);
	return error_set(parsing->err, -EINVAL, "%s%s: '%s' is not %s", dashes(parsing, argument),
			 argument->name, text, list);
}

static int take_choice(struct parsing *parsing, const struct argument *argument, const char *text)
{
	for (size_t i = 0; argument->choices[i]; i++)
		if (strcmp(argument->choices[i], text) == 0)
			return argument->key ? store_text(parsing, argument, text)
					     : store_number(parsing, argument, i);
	return refuse_choice(parsing, argument, text);
}

static int take(struct parsing *parsing, const struct argument *argument, const char *value)
{
	switch (argument->type) {
	case ARGUMENT_FLAG:
		return store_number(parsing, argument, 1);
	case ARGUMENT_NUMBER:
	case ARGUMENT_DURATION:
		return take_number(parsing, argument, value);
	case ARGUMENT_SIZE:
		return take_size(parsing, argument, value);
	case ARGUMENT_CHOICE:
		return take_choice(parsing, argument, value);
	case ARGUMENT_TEXT:
		if (!*value && !argument->may_be_empty)
			return error_set(parsing->err, -EINVAL, "%s%s: a value is needed",
					 dashes(parsing, argument), argument->name);
		return store_text(parsing, argument, value);
	case ARGUMENT_CUSTOM:
		return argument->take(parsing->input, argument, value, parsing->err);
	}
	return -EINVAL;
}

static int take_word(struct parsing *parsing, const char *word)
{
	size_t count = count_of(parsing->table->words), index = parsing->words;

	if (index >= count && count > 0 && parsing->table->words[count - 1].repeated)
		index = count - 1;
	if (index >= count)
		return error_set(parsing->err, -EINVAL, "%s: unexpected argument '%s'",
				 parsing->command, word);
	parsing->words++;
	return take(parsing, &parsing->table->words[index], word);
}

static int check_words(const struct parsing *parsing)
{
	const struct argument *words = parsing->table->words;

	/* A repeated argument may have been given more often than the table is long. */
	if (parsing->words >= count_of(words) || words[parsing->words].optional)
		return 0;
	return error_set(parsing->err, -EINVAL, "%s: %s is missing: %s", parsing->command,
			 words[parsing->words].name, words[parsing->words].help);
}

/* The option of getopt_long()'s @key, or NULL. */
static const struct argument *option_of(const struct arguments *table, int key)
{
	size_t count = count_of(table->options);

	if (key >= KEY_FIRST)
		return (size_t)(key - KEY_FIRST) < count ? &table->options[key - KEY_FIRST] : NULL;
	for (size_t i = 0; i < count; i++)
		if (table->options[i].letter == key && key)
			return &table->options[i];
	return NULL;
}

/* getopt_long() refused @word: with ':' because a value is missing, else with '?'. */
static int refuse_option(const struct parsing *parsing, int reason, const char *word)
{
	const struct argument *option = option_of(parsing->table, optopt);
	const char *command = parsing->command;
	char metavar[ARGUMENTS_METAVAR_MAX];

	if (option && reason == ':')
		return error_set(parsing->err, -EINVAL, "%s: option --%s needs a value: %s",
				 command, option->name, arguments_metavar(option, metavar));
	if (option)
		return error_set(parsing->err, -EINVAL, "%s: option --%s takes no value", command,
				 option->name);
	return error_set(parsing->err, -EINVAL, "%s: unknown option '%s' (see 'symvm help %s')",
			 command, word, command);
}

/*
 * The options in getopt_long()'s form, --help last. @letters has room for 2 characters, and 2 for
 * each option.
 */
static struct option *make_long_options(const struct argument *options, char *letters)
{
	size_t count = count_of(options);
	struct option *list = calloc(count + 2, sizeof(*list));

	if (!list)
		return NULL;
	letters += sprintf(letters, "-:"); /* positional arguments in their order; no messages */
	for (size_t i = 0; i < count; i++) {
		list[i] = (struct option){.name = options[i].name,
					  .has_arg = options[i].value_optional ? optional_argument
						     : has_value(&options[i])  ? required_argument
									       : no_argument,
					  .val = KEY_FIRST + (int)i};
		if (options[i].letter)
			letters += sprintf(letters, "%c%s", options[i].letter,
					   has_value(&options[i]) ? ":" : "");
	}
	list[count] = (struct option){.name = "help", .val = KEY_HELP};
	return list;
}

static int parse_all(struct parsing *parsing, int argc, char **argv, const char *letters,
		     const struct option *list)
{
	int status = 0, key, at;

	optind = 0; /* begin again */
	do {
		at = optind ? optind : 1;
		key = getopt_long(argc, argv, letters, list, NULL);
		if (key == KEY_HELP) {
			arguments_help(parsing->table, parsing->command);
			return 1;
		}
		if (key == '?' || key == ':')
			status = refuse_option(parsing, key, argv[at]);
		else if (key == 1)
			status = take_word(parsing, optarg);
		else if (key != -1)
			status = take(parsing, option_of(parsing->table, key), optarg);
	} while (status == 0 && key != -1);
	while (status == 0 && optind < argc)
		status = take_word(parsing, argv[optind++]); /* after "--" */
	return status == 0 ? check_words(parsing) : status;
}

int arguments_parse(const struct arguments *table, int argc, char **argv, void *input,
		    json_t *request, struct error *err)
{
	struct parsing parsing = {
		.table = table, .command = argv[0], .input = input, .request = request, .err = err};
	char *letters = malloc(3 + 2 * count_of(table->options));
	struct option *list = letters ? make_long_options(table->options, letters) : NULL;
	int status;

	err->text[0] = '\0';
	status = list ? parse_all(&parsing, argc, argv, letters, list)
		      : error_set(err, -ENOMEM, "%s: out of memory", argv[0]);
	free(list);
	free(letters);
	return status < 0 ? -EINVAL : status;
}
