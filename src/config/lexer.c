/* SPDX-License-Identifier: MIT */
/* See lexer.h. */
#include "config/lexer.h"

#include <ctype.h>
#include <string.h>

void lex_init(struct lexer *lexer, const char *text, size_t size)
{
	*lexer = (struct lexer){ .at = text, .end = text + size, .start = text, .line = 1 };
}

bool lex_is(const struct lex_token *token, char c)
{
	return token->kind == LEX_PUNCTUATION && token->text[0] == c;
}

static bool starts(const struct lexer *lexer, const char *text)
{
	size_t size = strlen(text);

	return (size_t)(lexer->end - lexer->at) >= size && memcmp(lexer->at, text, size) == 0;
}

static void move_to(struct lexer *lexer, const char *to)
{
	for (; lexer->at < to; lexer->at++)
		lexer->line += *lexer->at == '\n';
}

static void skip_line(struct lexer *lexer)
{
	const char *newline = memchr(lexer->at, '\n', (size_t)(lexer->end - lexer->at));

	move_to(lexer, newline ? newline : lexer->end);
}

/* False when the comment never ends. */
static bool skip_block(struct lexer *lexer)
{
	const char *end = memmem(lexer->at + 2, (size_t)(lexer->end - lexer->at - 2), "*/", 2);

	if (!end)
		return false;
	move_to(lexer, end + 2);
	return true;
}

/* False: a comment begins here that never ends. */
static bool skip_blank(struct lexer *lexer)
{
	while (lexer->at < lexer->end) {
		if (isspace((unsigned char)*lexer->at))
			move_to(lexer, lexer->at + 1);
		else if (*lexer->at == '#' || starts(lexer, "//"))
			skip_line(lexer);
		else if (!starts(lexer, "/*"))
			return true;
		else if (!skip_block(lexer))
			return false;
	}
	return true;
}

/* Behind the closing quote of what is quoted at `at`, or NULL. */
static const char *string_end(const char *at, const char *end)
{
	for (at++; at < end; at++) {
		if (*at == '\\')
			at++;
		else if (*at == '"')
			return at + 1;
	}
	return NULL;
}

/* Ends the token behind the string that begins at `quote`. */
static void take_string(struct lexer *lexer, const char *quote, struct lex_token *token)
{
	const char *end = string_end(quote, lexer->end);

	token->is_closed = end != NULL;
	move_to(lexer, end ? end : lexer->end);
}

static size_t digits(const char *at, const char *end, int (*is_digit)(int))
{
	const char *start = at;

	while (at < end && is_digit((unsigned char)*at))
		at++;
	return (size_t)(at - start);
}

/* What libconfig takes for a number: [-+]?digits[.digits][e[-+]digits] or 0xHEX, integers with L or LL behind. */
static const char *number_end(const char *at, const char *end, bool *ret_float)
{
	size_t size;

	*ret_float = false;
	if (end - at > 2 && at[0] == '0' && (at[1] == 'x' || at[1] == 'X') &&
		isxdigit((unsigned char)at[2])) {
		at += 2 + digits(at + 2, end, isxdigit);
	} else {
		at += at < end && (*at == '-' || *at == '+');
		at += digits(at, end, isdigit);
		if (at < end && *at == '.') {
			*ret_float = true;
			at += 1 + digits(at + 1, end, isdigit);
		}
		if (at < end && (*at == 'e' || *at == 'E')) {
			const char *exponent =
				at + 1 + (at + 1 < end && (at[1] == '-' || at[1] == '+'));

			size = digits(exponent, end, isdigit);
			*ret_float = *ret_float || size > 0;
			at = size > 0 ? exponent + size : at;
		}
	}
	for (int i = 0; i < 2 && !*ret_float && at < end && *at == 'L'; i++)
		at++;
	return at;
}

static bool is_name_char(char c)
{
	return isalnum((unsigned char)c) || c == '-' || c == '_' || c == '*';
}

static bool starts_number(const struct lexer *lexer)
{
	const char *at = lexer->at;

	at += *at == '-' || *at == '+';
	at += at < lexer->end && *at == '.';
	return at < lexer->end && isdigit((unsigned char)*at);
}

static void take_number(struct lexer *lexer, struct lex_token *token)
{
	const char *end = number_end(lexer->at, lexer->end, &token->is_float);
	const char *rest = end;

	while (rest < lexer->end && (is_name_char(*rest) || *rest == '.'))
		rest++;
	token->is_clean = rest == end;
	move_to(lexer, rest);
}

static bool is_first_on_line(const struct lexer *lexer)
{
	const char *at = lexer->at;

	while (at > lexer->start && (at[-1] == ' ' || at[-1] == '\t'))
		at--;
	return at == lexer->start || at[-1] == '\n';
}

/* The quote behind `@include` and blanks, or NULL when this is none. */
static const char *include_quote(const struct lexer *lexer)
{
	static const char word[] = "@include";
	const char *at = lexer->at + sizeof(word) - 1;

	if (!starts(lexer, word) || !is_first_on_line(lexer))
		return NULL;
	while (at < lexer->end && (*at == ' ' || *at == '\t'))
		at++;
	return at < lexer->end && *at == '"' && at > lexer->at + sizeof(word) - 1 ? at : NULL;
}

static void take(struct lexer *lexer, struct lex_token *token)
{
	const char *quote = include_quote(lexer);
	char c = *lexer->at;

	if (quote) {
		token->kind = LEX_INCLUDE;
		take_string(lexer, quote, token);
	} else if (c == '"') {
		token->kind = LEX_STRING;
		take_string(lexer, lexer->at, token);
	} else if (starts_number(lexer)) {
		token->kind = LEX_NUMBER;
		take_number(lexer, token);
	} else if (isalpha((unsigned char)c) || c == '*') {
		token->kind = LEX_NAME;
		while (lexer->at < lexer->end && is_name_char(*lexer->at))
			lexer->at++;
	} else {
		token->kind = c && strchr("=:;,{}[]()", c) ? LEX_PUNCTUATION : LEX_GARBAGE;
		lexer->at++;
	}
}

struct lex_token lex_next(struct lexer *lexer)
{
	bool is_closed = skip_blank(lexer);
	struct lex_token token = { .kind = LEX_END, .text = lexer->at, .line = lexer->line };

	if (!is_closed) {
		token.kind = LEX_COMMENT;
		move_to(lexer, lexer->end);
	} else if (lexer->at < lexer->end) {
		take(lexer, &token);
	}
	token.size = (size_t)(lexer->at - token.text);
	return token;
}
