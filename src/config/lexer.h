/* SPDX-License-Identifier: MIT */
/*
 * The tokens of libconfig's language, as its own scanner cuts them. libconfig says only "syntax error" and wraps large
 * integers silently; this is what lets text.c and syntax.c look at the raw text and say more. Comments and white
 * space are skipped. A lexer borrows its text and never allocates; it is a plain value, so a copy looks ahead.
 */
#ifndef CONFIG_LEXER_H
#define CONFIG_LEXER_H

#include <stdbool.h>
#include <stddef.h>

enum lex_kind {
	LEX_END,
	LEX_NAME,
	LEX_NUMBER, /* also one with rubbish behind it, such as 5s or 1.2.3: see is_clean */
	LEX_STRING,
	LEX_INCLUDE, /* from `@include` to the closing quote of its path */
	LEX_PUNCTUATION,
	LEX_COMMENT, /* one that never ends */
	LEX_GARBAGE,
};

struct lex_token {
	enum lex_kind kind;
	const char *text; /* strings with their quotes */
	size_t size;
	unsigned line;  /* where it begins, 1-based */
	bool is_closed; /* STRING, INCLUDE: the closing quote is there */
	bool is_clean;  /* NUMBER: libconfig takes it */
	bool is_float;  /* NUMBER */
};

struct lexer {
	const char *at;
	const char *end;
	const char *start; /* of the text */
	unsigned line;
};

void lex_init(struct lexer *lexer, const char *text, size_t size);
struct lex_token lex_next(struct lexer *lexer);
/* Is it that one punctuation character? */
bool lex_is(const struct lex_token *token, char c);

#endif
