/* SPDX-License-Identifier: MIT */
/* See text.h. */
#include "config/text.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "config/lexer.h"

struct text_span {
	unsigned line; /* first line in the flattened text ... */
	const char *file;
	unsigned file_line; /* ... which is this one of that file */
};

/* A file that is being read, and the one that includes it. */
struct source {
	const struct source *parent;
	const char *path;
	dev_t device;
	ino_t inode;
	unsigned depth;
	unsigned line; /* flat line of the `@include` that asked for it */
};

struct flattener {
	struct text *text;
	struct problems *problems;
};

static int append(struct text *text, const char *data, size_t size)
{
	if (size == 0)
		return 0;
	if (size > TEXT_SIZE_MAX - text->size)
		return -E2BIG;
	if (text->size + size + 1 > text->capacity) {
		size_t capacity = (text->size + size + 1) * 2;
		char *grown = realloc(text->data, capacity);

		if (!grown)
			return -ENOMEM;
		text->data = grown;
		text->capacity = capacity;
	}
	for (size_t i = 0; i < size; i++)
		text->line += data[i] == '\n';
	memcpy(text->data + text->size, data, size);
	text->size += size;
	text->data[text->size] = '\0';
	return 0;
}

static int add_span(struct text *text, const char *file, unsigned file_line)
{
	if (text->span_count == text->span_capacity) {
		unsigned capacity = text->span_capacity * 2 + 8;
		struct text_span *spans = reallocarray(text->spans, capacity, sizeof(*spans));

		if (!spans)
			return -ENOMEM;
		text->spans = spans;
		text->span_capacity = capacity;
	}
	text->spans[text->span_count++] = (struct text_span){
		.line = text->line,
		.file = file,
		.file_line = file_line,
	};
	return 0;
}

/* All of a descriptor, but at most TEXT_SIZE_MAX bytes. */
static int read_all(int fd, char **ret_data, size_t *ret_size)
{
	_cleanup_free_ char *data = malloc(TEXT_SIZE_MAX + 1);
	size_t size = 0;

	if (!data)
		return -ENOMEM;
	for (;;) {
		ssize_t n = read(fd, data + size, TEXT_SIZE_MAX + 1 - size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		size += (size_t)n;
		if (size > TEXT_SIZE_MAX)
			return -EFBIG;
	}
	*ret_data = take_ptr(data);
	*ret_size = size;
	return 0;
}

static int read_file(struct source *source, char **ret_data, size_t *ret_size)
{
	_cleanup_close_ int fd = open(source->path, O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	source->device = st.st_dev;
	source->inode = st.st_ino;
	return read_all(fd, ret_data, ret_size);
}

static const char *why(int error)
{
	switch (error) {
	case -EISDIR:
		return "it is a folder; write the path of a config file";
	case -EFBIG:
		return "it is larger than 4 MiB, which no config is";
	case -ENOENT:
		return "there is no such file";
	default:
		return err_name(error);
	}
}

static int refuse(struct flattener *f, const struct source *source, int error)
{
	if (source->parent)
		problems_error(f->problems, source->line, "cannot include %s: %s", source->path,
			why(error));
	else
		problems_error(f->problems, 0, "cannot read the config: %s", why(error));
	return error;
}

static bool is_open_above(const struct source *source)
{
	for (const struct source *s = source->parent; s; s = s->parent)
		if (s->device == source->device && s->inode == source->inode)
			return true;
	return false;
}

/* The path between the quotes of an `@include`, seen from the including file's folder. */
static const char *include_path(
	struct arena *arena, const char *includer, const struct lex_token *token)
{
	const char *quote = memchr(token->text, '"', token->size);
	const char *end = token->text + token->size - 1;
	const char *slash = strrchr(includer, '/');
	char *name = arena_alloc(arena, token->size);
	size_t size = 0;

	if (!name)
		return NULL;
	for (const char *at = quote + 1; at < end; at++) {
		at += *at == '\\' && at + 1 < end;
		name[size++] = *at;
	}
	if (name[0] == '/' || !slash)
		return name;
	return arena_printf(arena, "%.*s%s", (int)(slash + 1 - includer), includer, name);
}

static int flatten(struct flattener *f, struct source *source);

static int include(
	struct flattener *f, const struct source *includer, const struct lex_token *token)
{
	struct source source = {
		.parent = includer,
		.path = include_path(f->text->arena, includer->path, token),
		.depth = includer->depth + 1,
		.line = f->text->line,
	};

	return source.path ? flatten(f, &source) : -ENOMEM;
}

/* Appends a file's text, with what it includes in the place of each `@include`. */
static int flatten_data(
	struct flattener *f, const struct source *source, const char *data, size_t size)
{
	const char *copied = data;
	struct lexer lexer;
	struct lex_token token;
	int r = add_span(f->text, source->path, 1);

	lex_init(&lexer, data, size);
	while (r == 0 && (token = lex_next(&lexer)).kind != LEX_END) {
		if (token.kind != LEX_INCLUDE || !token.is_closed)
			continue;
		r = append(f->text, copied, (size_t)(token.text - copied));
		if (r == 0)
			r = include(f, source, &token);
		if (r == 0)
			r = add_span(f->text, source->path, lexer.line);
		copied = lexer.at;
	}
	if (r == 0)
		r = append(f->text, copied, (size_t)(data + size - copied));
	/* libconfig refuses a comment that ends with the file instead of with its line. */
	return r == 0 ? append(f->text, "\n", 1) : r;
}

static int check_data(
	struct flattener *f, const struct source *source, const char *data, size_t size)
{
	const char *zero = size > 0 ? memchr(data, '\0', size) : NULL;
	unsigned line = 1;

	for (const char *at = data; zero && at < zero; at++)
		line += *at == '\n';
	if (!zero)
		return 0;
	problems_error(f->problems, source->parent ? source->line : 0,
		"%s is no text: there is a zero byte in line %u", source->path, line);
	return -EINVAL;
}

static int flatten(struct flattener *f, struct source *source)
{
	static const char mark[] = "\xef\xbb\xbf"; /* what some editors put first */
	_cleanup_free_ char *data = NULL;
	size_t size = 0, skip;
	int r = read_file(source, &data, &size);

	if (r < 0)
		return refuse(f, source, r);
	assert(data);
	if (is_open_above(source) || source->depth > TEXT_INCLUDE_DEPTH_MAX) {
		problems_error(f->problems, source->line, "cannot include %s: %s", source->path,
			is_open_above(source) ? "it includes this file itself"
					      : "ten includes inside each other are the most");
		return -ELOOP;
	}
	r = check_data(f, source, data, size);
	if (r < 0)
		return r;
	skip = size >= 3 && memcmp(data, mark, 3) == 0 ? 3 : 0;
	r = flatten_data(f, source, data + skip, size - skip);
	/* Said once, at the file whose text was one too many. */
	return r == -E2BIG ? refuse(f, source, -EFBIG) : r;
}

int text_load(struct text *text, struct arena *arena, struct problems *problems, const char *path)
{
	struct flattener f = { .text = text, .problems = problems };
	struct source source = { .path = arena_copy(arena, path, strlen(path)) };

	*text = (struct text){ .arena = arena, .path = source.path ? source.path : "", .line = 1 };
	return source.path ? flatten(&f, &source) : -ENOMEM;
}

void text_fini(struct text *text)
{
	free(text->data);
	free(text->spans);
	*text = (struct text){ 0 };
}

struct text_place text_place(const struct text *text, unsigned line)
{
	struct text_place place = { .file = text->path };

	for (unsigned i = 0; line > 0 && i < text->span_count && text->spans[i].line <= line; i++)
		place = (struct text_place){
			.file = text->spans[i].file,
			.line = text->spans[i].file_line + (line - text->spans[i].line),
		};
	return place;
}

const char *text_quote(const struct text *text, unsigned line)
{
	const char *at = text->data;
	size_t size;

	for (unsigned i = 1; i < line && at; i++) {
		at = strchr(at, '\n');
		at += at != NULL;
	}
	if (!at)
		return "";
	at += strspn(at, " \t");
	size = strcspn(at, "\r\n");
	while (size > 0 && (at[size - 1] == ' ' || at[size - 1] == '\t'))
		size--;
	return arena_printf(
		text->arena, "%.*s%s", size > 72 ? 68 : (int)size, at, size > 72 ? " ..." : "");
}

/* --- what libconfig would accept silently ---------------------------------------------------------- */

static void check_integer(struct problems *problems, const struct lex_token *token)
{
	bool is_hex = token->size > 2 && (token->text[1] == 'x' || token->text[1] == 'X');
	bool is_wide = memchr(token->text, 'L', token->size);
	bool is_negative = token->text[0] == '-';
	bool is_signed = is_negative || token->text[0] == '+';
	uint64_t limit = INT64_MAX + (uint64_t)is_negative;
	uint64_t narrow = INT32_MAX + (uint64_t)is_negative;
	char digits[64] = "";
	uint64_t x;

	/* 63 digits do not fit, whatever follows them. */
	memcpy(digits, token->text, token->size < 63 ? token->size : 63);
	errno = 0;
	x = strtoull(digits + is_signed, NULL, is_hex ? 16 : 10);
	if (errno == ERANGE || x > limit)
		problems_error(problems, token->line,
			"%.*s does not fit into 64 bits: write a number up to %" PRIi64,
			(int)token->size, token->text, INT64_MAX);
	else if (x > narrow && !is_wide)
		problems_error(problems, token->line,
			"%.*s does not fit into 32 bits and would be read as %" PRIi32
			": write %.*sL",
			(int)token->size, token->text, (int32_t)(uint32_t)(is_negative ? -x : x),
			(int)token->size, token->text);
}

void text_check(const struct text *text, struct problems *problems)
{
	struct lexer lexer;
	struct lex_token token;

	lex_init(&lexer, text->data, text->size);
	while ((token = lex_next(&lexer)).kind != LEX_END) {
		if (token.kind == LEX_NUMBER && token.is_clean && !token.is_float)
			check_integer(problems, &token);
		if (token.kind == LEX_COMMENT)
			problems_error(problems, token.line,
				"a comment begins here that never ends: write `*/` behind it");
	}
}
