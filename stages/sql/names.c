/* SPDX-License-Identifier: MIT */
/* See names.h. Not a parser: a walk over words, which knows strings, quoted names, comments, and what AS says. */
#include "names.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

bool names_missing(const char *message, char *name, size_t size)
{
	static const char begin[] = "no such column: ";
	const char *found = strstr(message, begin);
	const char *dot, *end;

	if (!found)
		return false;
	found += sizeof(begin) - 1;
	end = strstr(found, " - should this be");
	end = end ? end : found + strlen(found);
	dot = memrchr(found, '.', (size_t)(end - found));
	found = dot ? dot + 1 : found;
	if (end - found >= 2 && *found == '"' && end[-1] == '"') {
		found++;
		end--;
	}
	(void)snprintf(name, size, "%.*s", (int)(end - found), found);
	return end > found;
}

/* The end of a quoted name or string that begins at `at`. */
static const char *skip_quoted(const char *at)
{
	char end = *at == '[' ? ']' : *at;

	for (at++; *at; at++) {
		if (*at == end && (end == ']' || at[1] != end))
			return at + 1;
		at += *at == end;
	}
	return at;
}

static bool is_name(char c)
{
	return isalnum((unsigned char)c) || c == '_' || c == '$' || (unsigned char)c >= 0x80;
}

static const char *skip_comment(const char *at)
{
	const char *end = at[1] == '-' ? strchr(at, '\n') : strstr(at + 2, "*/");

	return !end ? at + strlen(at) : end + (at[1] == '-' ? 1 : 2);
}

#define ALIASES_MAX 64

/* A walk over the words of a query. */
struct scan {
	const char *alias[ALIASES_MAX]; /* AS ...: begin, and size */
	size_t alias_size[ALIASES_MAX];
	unsigned aliases;
	bool is_alias; /* the word before was AS */
	bool is_tail;  /* behind GROUP BY, HAVING, ORDER BY, where an alias may be meant */
	bool is_compound;
};

static bool is_word(const char *at, const char *end, const char *word)
{
	return (size_t)(end - at) == strlen(word) && strncasecmp(at, word, strlen(word)) == 0;
}

static bool is_known_alias(const struct scan *scan, const char *at, const char *end)
{
	for (unsigned i = 0; i < scan->aliases; i++)
		if (scan->alias_size[i] == (size_t)(end - at) &&
			strncasecmp(scan->alias[i], at, scan->alias_size[i]) == 0)
			return true;
	return false;
}

static void take_word(struct scan *scan, const char *at, const char *end)
{
	if (scan->is_alias && scan->aliases < ALIASES_MAX) {
		scan->alias[scan->aliases] = at;
		scan->alias_size[scan->aliases++] = (size_t)(end - at);
	}
	if (is_word(at, end, "GROUP") || is_word(at, end, "ORDER") || is_word(at, end, "HAVING"))
		scan->is_tail = true;
	if (is_word(at, end, "SELECT"))
		scan->is_tail = false;
	if (is_word(at, end, "UNION") || is_word(at, end, "INTERSECT") ||
		is_word(at, end, "EXCEPT"))
		scan->is_compound = true;
}

/* A quote that nobody closes is SQLite's to refuse. */
static bool is_closed(const char *at, const char *end)
{
	return end - at >= 2 && end[-1] == (*at == '[' ? ']' : *at);
}

/* One word of the query, as a column if it could be one: no keyword, no function, no alias. */
static int add_word(struct input *input, struct scan *scan, const char *at, const char *end)
{
	bool is_quoted = *at == '"' || *at == '[' || *at == '`';
	bool was_alias = scan->is_alias;
	const char *behind = end;

	take_word(scan, at, end);
	scan->is_alias = is_word(at, end, "AS");
	while (isspace((unsigned char)*behind))
		behind++;
	if (was_alias || isdigit((unsigned char)*at) || (!is_quoted && *behind == '('))
		return 0;
	if (scan->is_tail && is_known_alias(scan, at, end))
		return 0;
	if (is_quoted)
		return is_closed(at, end) ? input_add_column(input, at + 1, (size_t)(end - at) - 2)
					  : 0;
	return sqlite3_keyword_check(at, (int)(end - at)) || is_word(at, end, "TRUE") ||
			       is_word(at, end, "FALSE")
		       ? 0
		       : input_add_column(input, at, (size_t)(end - at));
}

int names_add(struct input *input, const char *text, bool *ret_is_compound)
{
	struct scan scan = { 0 };
	int r = 0;

	for (const char *at = text; *at && r >= 0;) {
		const char *end = at + 1;

		if ((at[0] == '-' && at[1] == '-') || (at[0] == '/' && at[1] == '*')) {
			end = skip_comment(at);
		} else if (strchr("\"[`", *at)) {
			end = skip_quoted(at);
			r = add_word(input, &scan, at, end);
		} else if (*at == '\'') {
			end = skip_quoted(at);
		} else if (is_name(*at)) {
			while (is_name(*end))
				end++;
			r = add_word(input, &scan, at, end);
		}
		at = end;
	}
	*ret_is_compound = scan.is_compound;
	return r < 0 ? r : 0;
}

/* --- names without the quotes that they need ----------------------------------------------------- */

#define PHRASE_MAX 80 /* bytes; what is longer is no name */

/* Words that make a query what it is: more often left over from a mistake before them than the name of a field. */
static bool is_frame(const char *at, const char *end)
{
	static const char *const words[] = { "SELECT", "FROM", "WHERE", "AND", "OR", "NOT", "AS",
		"ON", "BY", "IN", "IS", "LIKE", "BETWEEN", "JOIN", "UNION", "HAVING", "THEN",
		"ELSE", "DISTINCT" };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (is_word(at, end, words[i]))
			return true;
	return false;
}

static const char *word_end(const char *at)
{
	while (is_name(*at))
		at++;
	return at;
}

static const char *skip_space(const char *at)
{
	while (isspace((unsigned char)*at))
		at++;
	return at;
}

static bool is_plain(const char *at, const char *end)
{
	return end > at && !isdigit((unsigned char)*at) &&
	       !sqlite3_keyword_check(at, (int)(end - at));
}

/* Where the plain words begin that stand, with nothing but spaces between them, before `at`. */
static const char *plain_before(const char *text, const char *at)
{
	for (const char *begin = at;; at = begin) {
		const char *end = begin;

		while (end > text && isspace((unsigned char)end[-1]))
			end--;
		begin = end;
		while (begin > text && is_name(begin[-1]))
			begin--;
		if (!is_plain(begin, end))
			return at;
	}
}

/* Behind `end`: the end of the last of the plain words. A name that is called is a function. */
static const char *plain_behind(const char *end)
{
	for (;;) {
		const char *at = skip_space(end), *next = word_end(at);

		if (!is_plain(at, next) || *skip_space(next) == '(')
			return end;
		end = next;
	}
}

void names_hint(const char *message, const char *text, size_t at, char *hint, size_t size)
{
	const char *token = text + at, *end = word_end(token), *behind = skip_space(end);
	const char *begin = plain_before(text, token);
	bool is_keyword = end > token && sqlite3_keyword_check(token, (int)(end - token));

	*hint = '\0';
	if (!strstr(message, "syntax error") || (at == 0 && !is_keyword))
		return;
	if (is_keyword && (is_word(behind, word_end(behind), "BY") ||
				  (is_frame(token, end) && is_name(*behind))))
		return;
	if (is_keyword)
		begin = token;
	end = end > token ? plain_behind(end) : end;
	while (end > begin && isspace((unsigned char)end[-1]))
		end--;
	if (end - begin > PHRASE_MAX || (!is_keyword && word_end(begin) >= end))
		return;
	(void)snprintf(hint, size, "; if a field is called so, it stands in quotes: \\\"%.*s\\\"",
		(int)(end - begin), begin);
}
