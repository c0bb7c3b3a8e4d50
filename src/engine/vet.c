/* SPDX-License-Identifier: MIT */
/* See vet.h. */
#include "engine/vet.h"

#include <ctype.h>
#include <errno.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#include "config/graph.h"
#include "config/schema.h"

#define NAME_SIZE_MAX 64

/* A lower-case letter, then those, digits and `others`. */
static bool is_name(const char *name, const char *others)
{
	if (!islower((unsigned char)name[0]) || strlen(name) > NAME_SIZE_MAX)
		return false;
	for (const char *at = name; *at; at++)
		if (!islower((unsigned char)*at) && !isdigit((unsigned char)*at) &&
			!strchr(others, *at))
			return false;
	return true;
}

/* --- options ------------------------------------------------------------------------------------- */

struct shape {
	size_t size;
	size_t alignment;
};

#define SHAPE(type)                                                                                \
	{                                                                                          \
		sizeof(type), alignof(type)                                                        \
	}

/* Of the field that an option of that type fills. */
static const struct shape shapes[] = {
	[SL_TYPE_STRING] = SHAPE(const char *),
	[SL_TYPE_INT] = SHAPE(int64_t),
	[SL_TYPE_REAL] = SHAPE(double),
	[SL_TYPE_BOOL] = SHAPE(bool),
	[SL_TYPE_SIZE] = SHAPE(uint64_t),
	[SL_TYPE_DURATION] = SHAPE(int64_t),
	[SL_TYPE_RATE] = SHAPE(int64_t),
	[SL_TYPE_CHOICE] = SHAPE(int),
	[SL_TYPE_CHAR] = SHAPE(char),
	[SL_TYPE_STRINGS] = SHAPE(struct sl_strings),
	[SL_TYPE_VALUES] = SHAPE(struct sl_value),
	[SL_TYPE_PAIRS] = SHAPE(struct sl_pairs),
};

/* A config could never say these: they are the stage's role, and what it takes. */
static bool is_taken(const char *name)
{
	for (int role = SL_SOURCE; role <= SL_SINK; role++)
		if (strcmp(name, graph_roles[role]) == 0)
			return true;
	return strcmp(name, "from") == 0;
}

static int vet_field(const struct sl_stage *stage, const struct sl_option *option, struct err *err)
{
	const struct shape *shape = &shapes[option->type];

	if (option->offset > stage->shared_size ||
		stage->shared_size - option->offset < shape->size)
		return err_set(err, -EINVAL,
			"its option `%s` lies outside of the shared struct (offset %zu, and "
			"shared_size is %zu)",
			option->name, option->offset, stage->shared_size);
	if (option->offset % shape->alignment != 0)
		return err_set(err, -EINVAL,
			"its option `%s` is a %s, and no field of that type can lie at offset %zu",
			option->name, schema_type_name(option->type), option->offset);
	return 0;
}

/* The default must bind: the very code that will use it is asked. */
static int vet_default(const struct sl_stage *stage, const struct sl_option *option)
{
	struct sl_option table[2] = { *option };
	struct schema_bound *bound = NULL;
	void *shared;
	int r;

	if (!option->fallback)
		return 0;
	shared = calloc(1, stage->shared_size + 1);
	r = shared ? schema_bind(table, (struct sl_value){ 0 }, shared, &bound, NULL) : -ENOMEM;
	schema_free(bound);
	free(shared);
	return r;
}

static int vet_option(const struct sl_stage *stage, const struct sl_option *option, struct err *err)
{
	if (!is_name(option->name, "_"))
		return err_set(err, -EINVAL,
			"its option `%.64s` has a name that no config can write: lower-case "
			"letters, digits and _",
			option->name);
	if (is_taken(option->name))
		return err_set(
			err, -EINVAL, "its option `%s` has a name that configs need", option->name);
	if (schema_find(stage->options, option->name) != option)
		return err_set(err, -EINVAL, "it has two options `%s`", option->name);
	if ((size_t)option->type >= sizeof(shapes) / sizeof(shapes[0]))
		return err_set(err, -EINVAL, "its option `%s` has no known type (%d)", option->name,
			(int)option->type);
	if (option->type == SL_TYPE_CHOICE && (!option->choices || !option->choices[0]))
		return err_set(
			err, -EINVAL, "its option `%s` is a choice without choices", option->name);
	if (option->min > option->max)
		return err_set(err, -EINVAL, "its option `%s` has a min above its max: set both",
			option->name);
	if (option->required && option->fallback)
		return err_set(err, -EINVAL, "its option `%s` is required and has a default",
			option->name);
	if (vet_field(stage, option, err) < 0)
		return -EINVAL;
	if (vet_default(stage, option) < 0)
		return err_set(err, -EINVAL,
			"its option `%s` has a default that is no %s it may have: \"%s\"",
			option->name, schema_type_name(option->type), option->fallback);
	return 0;
}

/* --- callbacks ------------------------------------------------------------------------------------ */

static int vet_callbacks(const struct sl_stage *stage, struct err *err)
{
	switch (stage->role) {
	case SL_SOURCE:
		if ((stage->flags & SL_RESUMES) && !(stage->flags & SL_ONE_THREAD))
			return err_set(err, -EINVAL, "a source with SL_RESUMES has SL_ONE_THREAD");
		if ((stage->flags & SL_TAKES_OVER) && !(stage->flags & SL_RESUMES))
			return err_set(err, -EINVAL, "SL_TAKES_OVER wants SL_RESUMES beside it");
		return stage->produce ? 0 : err_set(err, -EINVAL, "its produce is missing");
	case SL_TRANSFORM:
		if (stage->transform && stage->transform_batch)
			return err_set(err, -EINVAL,
				"its transform and transform_batch are both set: it can have one");
		return stage->transform || stage->transform_batch
			       ? 0
			       : err_set(err, -EINVAL, "its transform is missing");
	default:
		if ((stage->flags & SL_REMEMBERED) && !(stage->flags & SL_ONE_THREAD))
			return err_set(
				err, -EINVAL, "SL_REMEMBERED is for sinks with SL_ONE_THREAD");
		return stage->write ? 0 : err_set(err, -EINVAL, "its write is missing");
	}
}

/* A port is written "stage.port". */
static int vet_ports(const struct sl_stage *stage, struct err *err)
{
	if (stage->ports && (stage->role == SL_SINK || !stage->ports[0]))
		return err_set(err, -EINVAL, "its list of ports is %s",
			stage->role == SL_SINK ? "set, and a sink has no output" : "empty");
	if (stage->port && (stage->role == SL_SINK || stage->ports))
		return err_set(err, -EINVAL, "its port is set, and %s",
			stage->role == SL_SINK ? "a sink has no output"
					       : "so is its list of ports");
	for (int i = 0; stage->ports && stage->ports[i]; i++)
		if (!is_name(stage->ports[i], "_-"))
			return err_set(err, -EINVAL,
				"its port `%.64s` has a name that no config can write: lower-case "
				"letters, digits, - and _",
				stage->ports[i]);
	return 0;
}

static int vet_needs(const struct sl_stage *stage, struct err *err)
{
	if ((stage->flags & (SL_NEEDS_NETWORK | SL_NEEDS_EXEC | SL_NEEDS_FILES)) &&
		!(stage->flags & SL_CONFINED))
		return err_set(err, -EINVAL,
			"SL_NEEDS_... say what is left to a stage with SL_CONFINED: add that");
	if ((stage->flags & SL_NEEDS_FILES) && !stage->files)
		return err_set(err, -EINVAL, "SL_NEEDS_FILES wants `files`, which tells them");
	return 0;
}

int vet_stage(const struct sl_stage *stage, struct err *err)
{
	int r;

	if (stage->abi != SL_ABI)
		return err_set(err, -EPROTO,
			"built for stage ABI %u, this sluice has %u: build it again with its "
			"headers",
			stage->abi, SL_ABI);
	if (!stage->name || !is_name(stage->name, "_-"))
		return err_set(err, -EBADMSG,
			"a stage has no name, or one that is not of lower-case letters, digits, - "
			"and _");
	if ((unsigned)stage->role > SL_SINK)
		return err_set(err, -EBADMSG, "`%s` is no source, transform or sink (%d)",
			stage->name, (int)stage->role);
	if (!stage->summary)
		return err_set(err, -EINVAL, "its summary is missing");
	r = vet_callbacks(stage, err);
	if (r == 0)
		r = vet_ports(stage, err);
	if (r == 0)
		r = vet_needs(stage, err);
	for (const struct sl_option *option = stage->options; r == 0 && option && option->name;
		option++)
		r = vet_option(stage, option, err);
	return r;
}
