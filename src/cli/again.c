/* SPDX-License-Identifier: MIT */
/* See again.h. */
#include "cli/again.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

static bool is_plain(const char *word)
{
	for (const char *c = word; *c; c++)
		if (!isalnum((unsigned char)*c) && !strchr("_-./:=@%+,", *c))
			return false;
	return word[0] != '\0';
}

static void print_word(FILE *out, const char *word)
{
	if (is_plain(word)) {
		(void)fprintf(out, " %s", word);
		return;
	}
	(void)fputs(" '", out);
	for (const char *c = word; *c; c++)
		if (*c == '\'')
			(void)fputs("'\\''", out);
		else
			(void)fputc(*c, out);
	(void)fputc('\'', out);
}

static void print_option(FILE *out, const char *name, const char *value)
{
	if (!value)
		return;
	(void)fprintf(out, " %s", name);
	print_word(out, value);
}

void again_print(FILE *out, const char *command, const struct again *again)
{
	(void)fprintf(out, "sluice %s", command);
	print_word(out, again->file);
	for (const char *const *set = again->sets; set && *set; set++)
		print_option(out, "--set", *set);
	print_option(out, "--state", again->state);
	print_option(out, "--runtime", again->runtime);
}

void again_text(char text[AGAIN_TEXT_MAX], const char *before, const char *command,
	const struct again *again)
{
	FILE *out;

	text[0] = '\0';
	out = fmemopen(text, AGAIN_TEXT_MAX, "w");
	if (!out)
		return;
	(void)fputs(before, out);
	again_print(out, command, again);
	(void)fclose(out);
	text[AGAIN_TEXT_MAX - 1] = '\0';
}
