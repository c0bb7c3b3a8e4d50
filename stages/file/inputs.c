/* SPDX-License-Identifier: MIT */
/* See inputs.h. */
#include "inputs.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define MARK_SIZE 64

bool input_is_stdin(const char *path)
{
	return strcmp(path, "-") == 0;
}

bool input_has_pattern(const char *path)
{
	return strpbrk(path, "*?[") != NULL;
}

const char *input_base(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

char *input_folder(const char *path)
{
	const char *base = input_base(path);

	if (base == path)
		return strdup(".");
	return base == path + 1 ? strdup("/") : strndup(path, (size_t)(base - path) - 1);
}

/* --- finding ------------------------------------------------------------------------------------ */

static int add(struct inputs *inputs, const char *path, const struct file_id *id)
{
	if (inputs->count == inputs->capacity) {
		size_t capacity = inputs->capacity ? 2 * inputs->capacity : 64;
		struct input *items = reallocarray(inputs->items, capacity, sizeof(*items));

		if (!items)
			return -ENOMEM;
		inputs->items = items;
		inputs->capacity = capacity;
	}
	inputs->items[inputs->count] = (struct input){ .path = strdup(path), .id = *id };
	return inputs->items[inputs->count++].path ? 0 : -ENOMEM;
}

void inputs_free(struct inputs *inputs)
{
	for (size_t i = 0; i < inputs->count; i++)
		free(inputs->items[i].path);
	free(inputs->items);
	*inputs = (struct inputs){ 0 };
}

static int expand(struct sl_context *ctx, const char *path, bool may_miss, glob_t *files)
{
	int flags = files->gl_pathv ? GLOB_APPEND : 0;
	int r = glob(path, input_has_pattern(path) ? flags : flags | GLOB_NOCHECK, NULL, files);

	if (r == 0 || (r == GLOB_NOMATCH && may_miss))
		return 0;
	if (r == GLOB_NOMATCH)
		return sl_error(ctx, -ENOENT, "%s: no file matches: check `path`", path);
	return sl_error(
		ctx, r == GLOB_NOSPACE ? -ENOMEM : -EACCES, "%s: cannot read the folder", path);
}

static int compare(const void *a, const void *b)
{
	return strcmp(a, b);
}

static void forget(void *path)
{
	(void)path;
}

/* Each path once: a file may match two patterns. */
static int take(const glob_t *files, struct inputs *inputs)
{
	void *known = NULL;
	int r = 0;

	for (size_t i = 0; i < files->gl_pathc && r == 0; i++) {
		const char *path = files->gl_pathv[i];
		char **found = tsearch(path, &known, compare);

		if (!found)
			r = -ENOMEM;
		else if (*found == path)
			r = add(inputs, path, &(struct file_id){ 0 });
	}
	tdestroy(known, forget);
	return r;
}

int inputs_find(struct sl_context *ctx, const struct sl_strings *patterns, bool may_miss,
	struct inputs *ret)
{
	glob_t files = { 0 };
	struct inputs inputs = { 0 };
	int r = 0;

	for (uint32_t i = 0; i < patterns->count && r == 0; i++)
		r = expand(ctx, patterns->items[i], may_miss, &files);
	if (r == 0 && take(&files, &inputs) < 0)
		r = sl_error(ctx, -ENOMEM, "no memory for the names of %zu files", files.gl_pathc);
	globfree(&files);
	if (r < 0) {
		inputs_free(&inputs);
		return r;
	}
	*ret = inputs;
	return 0;
}

/* --- origins ------------------------------------------------------------------------------------ */

uint64_t input_origin(const char *name, const struct file_id *id, uint64_t generation)
{
	const uint64_t identity[] = { id->part[0], id->part[1], id->part[2], id->part[3],
		id->part[4], generation };

	return XXH3_64bits_withSeed(identity, sizeof(identity), XXH3_64bits(name, strlen(name)));
}

static struct input_place newest(
	struct sl_context *ctx, const char *name, const struct file_id *id, uint64_t wanted)
{
	struct input_place at = { .origin = input_origin(name, id, 0) };

	at.is_known = sl_checkpoint(ctx, at.origin, &at.place) || at.origin == wanted;
	for (uint64_t next = 1; at.is_known; next++) {
		uint64_t origin = input_origin(name, id, next);
		struct sl_place place;

		if (!sl_checkpoint(ctx, origin, &place) && origin != wanted)
			break;
		at.generation = next;
		at.origin = origin;
		at.place = place;
	}
	return at;
}

/* Of two names of a file, that under which more was read. */
static const struct input_place *further(
	const struct input_place *own, const struct input_place *theirs)
{
	if (!theirs->is_known || theirs->generation < own->generation)
		return own;
	return own->is_known && theirs->generation == own->generation &&
			       theirs->place.position <= own->place.position
		       ? own
		       : theirs;
}

/* A generation is found behind those before it. */
static void keep_generations(struct sl_context *ctx, const struct input_wish *wish,
	const struct file_id *id, const struct input_place *own, uint64_t count)
{
	const char *text = *wish->name ? wish->name : wish->other;
	struct sl_origin kept;

	for (uint64_t i = own->is_known ? own->generation + 1 : 0; i < count; i++)
		(void)sl_checkpoint_begin(ctx,
			&(struct sl_origin){
				.origin = input_origin(wish->name, id, i), .name = text },
			&kept);
}

/* As it was known by its device: until all that was cut then is settled, and known to be on the disk. */
static bool must_stay(
	struct sl_context *ctx, const struct input_place *past, const struct input_wish *wish)
{
	return past->is_known &&
	       (wish->stays || sl_bound(ctx, past->origin, past->place.position) > 0);
}

struct input_place input_place(
	struct sl_context *ctx, const struct file_id *id, const struct input_wish *wish)
{
	struct input_place own = newest(ctx, wish->name, id, wish->wanted);
	struct input_place theirs, past = { 0 };
	const struct input_place *best;
	struct file_id old;

	if (own.origin == wish->wanted)
		return own;
	if (input_by_device(id, &old))
		past = newest(ctx, wish->name, &old, wish->wanted);
	if (further(&own, &past) == &past && must_stay(ctx, &past, wish))
		return past;
	theirs = newest(ctx, wish->other, id, 0);
	best = further(further(&own, &past), &theirs);
	if (best == &own)
		return own;
	theirs = *best;
	theirs.past = theirs.origin;
	theirs.origin = input_origin(wish->name, id, theirs.generation);
	keep_generations(ctx, wish, id, &own, theirs.generation);
	return theirs;
}

void input_next_generation(struct sl_context *ctx, const char *name, const char *text,
	const struct file_id *id, struct input_place *place)
{
	struct sl_origin kept;

	place->generation++;
	place->origin = input_origin(name, id, place->generation);
	place->place = (struct sl_place){ 0 };
	(void)sl_checkpoint_begin(
		ctx, &(struct sl_origin){ .origin = place->origin, .name = text }, &kept);
}

uint64_t input_mark(int fd, uint64_t position)
{
	char data[MARK_SIZE];
	size_t size = position < sizeof(data) ? (size_t)position : sizeof(data);
	ssize_t got = size > 0 ? pread(fd, data, size, (off_t)(position - size)) : 0;
	uint64_t mark = got > 0 ? XXH3_64bits(data, (size_t)got) : 0;

	return got > 0 && mark == 0 ? 1 : mark;
}

bool input_has_place(int fd, const struct sl_place *place)
{
	return place->mark == 0 || input_mark(fd, place->position) == place->mark;
}

/* --- refusing ----------------------------------------------------------------------------------- */

void input_refuse(void *user, uint64_t line, const char *reason, const char *text, size_t size)
{
	const struct input_refusal *refusal = user;
	char where[512], excerpt[120];
	size_t fits = size < sizeof(excerpt) - 1 ? size : sizeof(excerpt) - 1;

	if (refusal->place && !input_has_place(refusal->fd, refusal->place))
		return;
	memcpy(excerpt, text, fits);
	while (fits > 0 && (excerpt[fits - 1] == '\n' || excerpt[fits - 1] == '\r'))
		fits--;
	excerpt[fits] = '\0';
	(void)snprintf(where, sizeof(where), "%s:%llu", refusal->name, (unsigned long long)line);
	(void)sl_reject(refusal->ctx, where, (struct sl_value){ 0 }, "%s: %s%s", reason, excerpt,
		fits < size && fits == sizeof(excerpt) - 1 ? "..." : "");
}
