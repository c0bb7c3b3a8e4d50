/* SPDX-License-Identifier: MIT */
/*
 * See syntax.h. The grammar:
 *
 *   settings = { NAME ("=" | ":") value [";" | ","] }
 *   value    = number | true | false | STRING { STRING } | "{" settings "}" | "(" [value { "," value }] ")"
 *            | "[" [scalar { "," scalar }] "]"       scalars of one kind
 */
#include "config/syntax.h"

#include <string.h>
#include <strings.h>

#include "config/lexer.h"

#define DEPTH_MAX 100

struct parser {
	const struct text *text;
	struct problems *problems;
	struct lexer lexer;
	struct lex_token token; /* the next one */
	struct lex_token last;  /* the one before */
	unsigned depth;
	bool is_failed;
	bool is_twice; /* libconfig complains of a name that stands twice */

	/* The last string over several lines: where it begins and ends, and how many tokens ago it was. */
	unsigned long_start;
	unsigned long_end;
	unsigned long_ago;
};

/* A name that was seen in a group, for those that stand twice. */
struct seen {
	const struct seen *next;
	struct lex_token token;
};

static void advance(struct parser *p)
{
	if (p->token.kind == LEX_STRING && p->lexer.line > p->token.line) {
		p->long_start = p->token.line;
		p->long_end = p->lexer.line;
		p->long_ago = 0;
	}
	p->long_ago++;
	p->last = p->token;
	p->token = lex_next(&p->lexer);
}

static void fail_at(struct parser *p, unsigned line, const char *what)
{
	if (!p->is_failed && what)
		problems_error(p->problems, line, "syntax error in `%s`: %s",
			text_quote(p->text, line), what);
	p->is_failed = true;
}

#define fail(p, line, ...) fail_at(p, line, arena_printf((p)->text->arena, __VA_ARGS__))

/* A token as it may stand in a message. */
static const char *show(struct parser *p, const struct lex_token *token)
{
	size_t size = token->size < 40 ? token->size : 40;
	const char *newline = memchr(token->text, '\n', size);

	if (token->kind == LEX_END)
		return "the end of the file";
	if (newline)
		size = (size_t)(newline - token->text);
	return arena_printf(p->text->arena, "`%.*s%s`", (int)size, token->text,
		size < token->size ? "..." : "");
}

/* Mistakes that look the same wherever they stand. True when it was one. */
static bool fail_anywhere(struct parser *p)
{
	const struct lex_token *t = &p->token;

	/* With a quote missing, what was meant to be text comes right behind the string, in the same line. */
	if (p->long_end == t->line && p->long_ago <= 2)
		fail(p, p->long_start,
			"the string that begins here ends only in a later line: is its closing "
			"`\"` missing?");
	else if (t->kind == LEX_STRING && !t->is_closed)
		fail(p, t->line, "a string begins here that never ends: write its closing `\"`");
	else if (t->kind == LEX_GARBAGE && t->text[0] == '\'')
		fail(p, t->line, "text stands in \"double quotes\"");
	else if (t->kind == LEX_GARBAGE && t->text[0] == '@')
		fail(p, t->line, "write @include \"FILE\" at the beginning of a line");
	else if (t->kind == LEX_GARBAGE && (unsigned char)t->text[0] >= 0x80)
		fail(p, t->line,
			"a character that is no ASCII stands outside of quotes and comments");
	return p->is_failed;
}

static void settings(struct parser *p, char closer, unsigned opened);

static bool is_boolean(const struct lex_token *t)
{
	return t->kind == LEX_NAME &&
	       ((t->size == 4 && strncasecmp(t->text, "true", 4) == 0) ||
		       (t->size == 5 && strncasecmp(t->text, "false", 5) == 0));
}

/* Is the next token the name of another setting? */
static bool is_setting(const struct parser *p)
{
	struct lexer ahead = p->lexer;
	struct lex_token next = lex_next(&ahead);

	return p->token.kind == LEX_NAME && (lex_is(&next, '=') || lex_is(&next, ':'));
}

/* Why the next token cannot be a value. */
static void fail_value(struct parser *p)
{
	const struct lex_token *t = &p->token;
	int size = (int)t->size;

	if (fail_anywhere(p))
		return;
	if (t->kind == LEX_NAME && is_setting(p))
		fail(p, p->last.line,
			"a value is missing here: write one, or { } around the settings that "
			"follow");
	else if (t->kind == LEX_NAME)
		fail(p, t->line, "text stands in quotes: write \"%.*s\"", size, t->text);
	else if (t->kind == LEX_NUMBER)
		fail(p, t->line,
			"%.*s is no number; what has a unit stands in quotes: write \"%.*s\"", size,
			t->text, size, t->text);
	else if (t->kind == LEX_GARBAGE &&
		 (t->text[0] == '/' || t->text[0] == '$' || t->text[0] == '~'))
		fail(p, t->line, "text stands in quotes: write \"...\"");
	else if (lex_is(t, '=') || lex_is(t, ':'))
		fail(p, t->line, "one `=` is enough");
	else
		fail(p, t->kind == LEX_END ? p->last.line : t->line,
			"%s stands where a value must: write one, such as 1, true or \"text\"",
			show(p, t));
}

static void scalar(struct parser *p)
{
	const struct lex_token *t = &p->token;

	if ((t->kind == LEX_NUMBER && t->is_clean) || is_boolean(t)) {
		advance(p);
	} else if (t->kind == LEX_STRING && t->is_closed) {
		while (t->kind == LEX_STRING && t->is_closed)
			advance(p);
	} else {
		fail_value(p);
	}
}

/* What makes two values of an array different to libconfig. */
static int sort_of(const struct lex_token *t)
{
	if (t->kind == LEX_STRING)
		return 0;
	if (t->kind != LEX_NUMBER)
		return 1;
	return t->is_float ? 2 : memchr(t->text, 'L', t->size) ? 3 : 4;
}

static void value(struct parser *p);

static void array_member(struct parser *p, const struct lex_token *first)
{
	const struct lex_token *t = &p->token;

	if (lex_is(t, '{') || lex_is(t, '(') || lex_is(t, '['))
		fail(p, t->line, "[ ] holds plain values only: write ( ) around groups and lists");
	else if (sort_of(t) != sort_of(first) &&
		 (t->kind == LEX_STRING || t->kind == LEX_NUMBER || is_boolean(t)))
		fail(p, t->line,
			"[ ] holds values of one kind, and %s is of another than %s: write ( ) "
			"around a mixture",
			show(p, t), show(p, first));
	else
		scalar(p);
}

/* "[ ... ]" or "( ... )", from behind the opening one. */
static void members(struct parser *p, char closer, unsigned opened)
{
	struct lex_token first = p->token;

	while (!p->is_failed && !lex_is(&p->token, closer)) {
		if (closer == ']')
			array_member(p, &first);
		else
			value(p);
		if (p->is_failed || lex_is(&p->token, closer))
			break;
		if (!lex_is(&p->token, ',')) {
			if (!fail_anywhere(p))
				fail(p, p->token.kind == LEX_END ? opened : p->token.line,
					"%s stands where `,` or `%c` must", show(p, &p->token),
					closer);
			break;
		}
		advance(p);
		if (lex_is(&p->token, closer))
			fail(p, p->last.line, "nothing follows the last `,`: remove it");
	}
	if (!p->is_failed)
		advance(p);
}

static void value(struct parser *p)
{
	unsigned line = p->token.line;
	bool is_group = lex_is(&p->token, '{');
	bool is_list = lex_is(&p->token, '('), is_array = lex_is(&p->token, '[');

	if (!is_group && !is_list && !is_array) {
		scalar(p);
		return;
	}
	if (++p->depth > DEPTH_MAX) {
		fail(p, line, "groups and lists inside each other, more than %d deep", DEPTH_MAX);
		return;
	}
	advance(p);
	if (is_group)
		settings(p, '}', line);
	else
		members(p, is_list ? ')' : ']', line);
	p->depth--;
}

/* Why the next token cannot be the name of a setting, nor the end of the group. */
static void fail_name(struct parser *p, char closer, unsigned opened)
{
	const struct lex_token *t = &p->token;

	if (fail_anywhere(p))
		return;
	if (t->kind == LEX_END)
		fail(p, opened,
			"this `{` is never closed: `};` is missing at its end, or at the end of a "
			"group in it");
	else if (lex_is(t, ';') && (lex_is(&p->last, ';') || lex_is(&p->last, ',')))
		fail(p, t->line, "one `;` is enough");
	else if (!closer && lex_is(t, '{') && p->last.size == 0)
		fail(p, t->line, "a config begins with a name: write stages = { ... };");
	else if (!closer && lex_is(t, '}'))
		fail(p, t->line, "there is no `{` that this `}` closes");
	else if (t->kind == LEX_STRING)
		fail(p, t->line,
			"%s stands where the name of a setting must: names stand without quotes "
			"(pairs of any names are a list: rename = ( [ \"Order ID\", \"id\" ] ); "
			"the "
			"record of a test is JSON then: feed = \"{ \\\"Order ID\\\": 7 }\";)",
			show(p, t));
	else if (t->kind == LEX_NUMBER)
		fail(p, t->line,
			"%s stands where the name of a setting must: names begin with a letter",
			show(p, t));
	else
		fail(p, t->line, "%s stands where the name of a setting must: write NAME = VALUE;",
			show(p, t));
}

static void fail_equals(struct parser *p, const struct lex_token *name)
{
	const struct lex_token *t = &p->token;

	if (fail_anywhere(p))
		return;
	if (t->text == name->text + name->size && (t->kind == LEX_GARBAGE || t->kind == LEX_NUMBER))
		fail(p, name->line, "a name has letters, digits, `-` and `_`, and no `%c`",
			t->text[0]);
	else
		fail(p, name->line, "`=` is missing behind %s: write %.*s = VALUE;", show(p, name),
			(int)name->size, name->text);
}

static void check_twice(struct parser *p, const struct seen *seen, const struct lex_token *name)
{
	for (; p->is_twice && seen; seen = seen->next)
		if (seen->token.size == name->size &&
			memcmp(seen->token.text, name->text, name->size) == 0)
			fail(p, name->line, "%s stands twice, here and in line %u: remove one",
				show(p, name), text_place(p->text, seen->token.line).line);
}

/* The settings of a group that was opened in line `opened`, or of the file (closer 0). */
static void settings(struct parser *p, char closer, unsigned opened)
{
	struct seen *seen = NULL;

	while (!p->is_failed && !(closer ? lex_is(&p->token, closer) : p->token.kind == LEX_END)) {
		struct seen *name = arena_alloc(p->text->arena, sizeof(*name));

		if (!name || p->token.kind != LEX_NAME) {
			fail_name(p, closer, opened);
			return;
		}
		*name = (struct seen){ .next = seen, .token = p->token };
		check_twice(p, seen, &name->token);
		seen = name;
		advance(p);
		if (!lex_is(&p->token, '=') && !lex_is(&p->token, ':')) {
			fail_equals(p, &name->token);
			return;
		}
		advance(p);
		value(p);
		if (lex_is(&p->token, ';') || lex_is(&p->token, ','))
			advance(p);
	}
	if (closer && !p->is_failed)
		advance(p);
}

void syntax_explain(
	const struct text *text, struct problems *problems, unsigned line, const char *reason)
{
	struct parser p = {
		.text = text, .problems = problems, .is_twice = strstr(reason, "duplicate")
	};

	lex_init(&p.lexer, text->data, text->size);
	p.token = lex_next(&p.lexer);
	settings(&p, '\0', 0);
	if (!p.is_failed)
		problems_error(problems, line, "%s in `%s`", reason, text_quote(text, line));
}
