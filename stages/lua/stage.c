/* SPDX-License-Identifier: MIT */
/* Transform "lua": a function of Lua 5.4 for each record. Each worker has a Lua of its own; what a script may do stands in machine.h. */
#include <sluice/stage.h>

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "machine.h"

#define SCRIPT_MAX ((size_t)4 << 20)

struct shared {
	const char *script;
	const char *path;
	int64_t instructions_max;
	uint64_t heap_max;
	char *text; /* of the file; from open to close */
	size_t size;
};

/* --- the script --------------------------------------------------------------------------------- */

static int cannot_read(struct sl_context *ctx, const struct shared *o, int error, const char *why)
{
	return sl_error(ctx, error, "cannot read the script %s: %s", o->path, why);
}

static int read_all(struct sl_context *ctx, const struct shared *o, FILE *file, char **ret_text,
	size_t *ret_size)
{
	char *text = malloc(SCRIPT_MAX + 1);
	size_t size = text ? fread(text, 1, SCRIPT_MAX + 1, file) : 0;
	int r = 0;

	if (!text)
		r = cannot_read(ctx, o, -ENOMEM, "no memory");
	else if (ferror(file))
		r = cannot_read(ctx, o, -EIO, "it is no file, or its disk has errors");
	else if (size > SCRIPT_MAX)
		r = cannot_read(ctx, o, -EFBIG, "it is larger than 4 MiB");
	if (r < 0) {
		free(text);
		return r;
	}
	*ret_text = text;
	*ret_size = size;
	return 0;
}

static int read_script(
	struct sl_context *ctx, const struct shared *o, char **ret_text, size_t *ret_size)
{
	FILE *file = fopen(o->path, "re");
	int r;

	if (!file)
		return cannot_read(ctx, o, -errno, strerror(errno));
	r = read_all(ctx, o, file, ret_text, ret_size);
	(void)fclose(file);
	return r;
}

/* Its name is what stands before the line in an error. */
static int open_machine(struct sl_context *ctx, const struct shared *o, struct machine *machine)
{
	const struct machine_limits limits = { (int)o->instructions_max, o->heap_max };
	char name[PATH_MAX + 1];
	int r;

	(void)snprintf(
		name, sizeof(name), "%c%s", o->path ? '@' : '=', o->path ? o->path : "script");
	r = machine_open(machine, &limits, name, o->path ? o->text : o->script,
		o->path ? o->size : strlen(o->script));
	return r < 0 ? sl_error(ctx, r, "%s", machine->reason) : 0;
}

static int lua_check(struct sl_context *ctx, const void *shared)
{
	struct shared o = *(const struct shared *)shared;
	struct machine machine = { 0 };
	int r = 0;

	if (!o.script == !o.path)
		return sl_error(ctx, -EINVAL,
			"write either `script` or `path`: script = \"function transform(record) "
			"return record end\"; or path = \"shop.lua\";");
	if (o.path)
		r = read_script(ctx, &o, &o.text, &o.size);
	if (r == 0) {
		r = open_machine(ctx, &o, &machine);
		machine_close(&machine);
	}
	free(o.text);
	return r;
}

static int lua_begin(struct sl_context *ctx, void *shared)
{
	struct shared *o = shared;

	return o->path ? read_script(ctx, o, &o->text, &o->size) : 0;
}

static void lua_end(struct sl_context *ctx, void *shared)
{
	(void)ctx;
	free(((struct shared *)shared)->text);
}

static int lua_start(struct sl_context *ctx, void *shared, void *worker)
{
	int r = open_machine(ctx, shared, worker);

	if (r < 0)
		machine_close(worker);
	return r;
}

static void lua_stop(struct sl_context *ctx, void *shared, void *worker)
{
	(void)ctx;
	(void)shared;
	machine_close(worker);
}

/* --- records ------------------------------------------------------------------------------------ */

static int64_t lua_transform(struct sl_context *ctx, void *shared, void *worker,
	const struct sl_batch *in, struct sl_writer *const *out)
{
	struct machine *machine = worker;
	struct sl_identity id = sl_batch_identity(in);
	const uint64_t name[] = { id.run, id.origin, id.path, id.start };
	uint64_t seed = XXH3_64bits(name, sizeof(name));
	uint32_t count = sl_batch_count(in);
	int64_t consumed = 0;

	(void)shared;
	for (uint32_t i = 0; i < count; i++) {
		struct sl_value record = sl_batch_record(in, i);
		int r;

		machine_seed(machine, seed, i);
		r = machine_call(machine, record, out[0]);
		if (r == -ENOMEM)
			return r;
		if (r < 0)
			(void)sl_reject(ctx, NULL, record, "%s", machine->reason);
		consumed += r == 0;
	}
	return consumed;
}

static const struct sl_option options[];

static const struct sl_stage lua = {
	.abi = SL_ABI,
	.name = "lua",
	.role = SL_TRANSFORM,
	.summary = "a function of Lua for each record: changed, dropped, or several",
	.flags = SL_RESUMES | SL_CONFINED,
	.shared_size = sizeof(struct shared),
	.worker_size = sizeof(struct machine),
	.check = lua_check,
	.open = lua_begin,
	.start = lua_start,
	.transform_batch = lua_transform,
	.stop = lua_stop,
	.close = lua_end,
	.options = options,
};

/* clang-format off */
static const struct sl_option options[] = {
	{ SL_OPTION("script", STRING, struct shared, script),
	  .help = "Lua that has a function transform(record)", .example = "\"function transform(r) r.gross = r.net * 1.2; return r end\"" },
	{ SL_OPTION("path", STRING, struct shared, path),
	  .help = "the file with the script; instead of `script`", .example = "\"/etc/sluice/shop.lua\"" },
	{ SL_OPTION("instructions_max", INT, struct shared, instructions_max), .fallback = "10000000", .min = 100, .max = INT_MAX,
	  .help = "how many instructions the script may take for one record", .example = "1000000" },
	{ SL_OPTION("heap_max", SIZE, struct shared, heap_max), .fallback = "64MiB", .min = 65536, .max = INT64_MAX,
	  .help = "how much memory the script may take, in each worker", .example = "\"16MiB\"" },
	{ 0 },
};
/* clang-format on */

SL_MODULE(&lua);
