/* SPDX-License-Identifier: MIT */
/*
 * Transform "route": gives each record, byte for byte, to the output whose condition is true, or to each such output; what no condition takes has
 * an output of its own, `else`. The outputs are named by the option `routes`. What a condition is: conditions.h, beside the stage `sql`.
 */
#include <sluice/stage.h>

#include <errno.h>
#include <string.h>

#include "../sql/conditions.h"

#define ELSE "else"
#define ROUTES_MAX 100

enum match { MATCH_FIRST, MATCH_ALL };
enum otherwise { ELSE_OUTPUT, ELSE_DROP, ELSE_DEAD_LETTER };

static const char *const matches[] = { "first", "all", NULL };
static const char *const otherwises[] = { "output", "drop", "dead-letter", NULL };

struct shared {
	struct sl_pairs routes;
	int match;
	int otherwise;
	int64_t timeout_ns;
};

struct worker {
	struct conditions conditions;
	uint32_t
		unwanted; /* records of the batch that no route took, and that are given up for it */
};

/* --- the outputs -------------------------------------------------------------------------------- */

static const char *route_port(const void *shared, uint32_t i)
{
	const struct shared *o = shared;

	if (i < o->routes.count)
		return o->routes.names[i];
	return i == o->routes.count && o->otherwise == ELSE_OUTPUT ? ELSE : NULL;
}

static int check_routes(struct sl_context *ctx, const struct sl_pairs *routes)
{
	if (routes->count == 0)
		return sl_error(ctx, -EINVAL,
			"`routes` is empty: write for instance { big = \"amount > 1000\"; }");
	if (routes->count > ROUTES_MAX)
		return sl_error(ctx, -EINVAL, "`routes` has %u conditions: %d are the most",
			routes->count, ROUTES_MAX);
	for (uint32_t i = 0; i < routes->count; i++)
		if (strcmp(routes->names[i], ELSE) == 0)
			return sl_error(ctx, -EINVAL,
				"`routes`: what no condition takes goes to `" ELSE
				"`, so write another name");
	return 0;
}

/* --- beginning and end -------------------------------------------------------------------------- */

static int route_start(struct sl_context *ctx, void *shared, void *worker)
{
	const struct shared *o = shared;
	struct worker *w = worker;
	struct conditions *c = &w->conditions;
	int r;

	c->option = "routes";
	c->names = o->routes.names;
	c->count = o->routes.count;
	c->is_first = o->match == MATCH_FIRST;
	c->timeout_ns = o->timeout_ns;
	r = conditions_open(c, ctx, o->routes.values);
	if (r < 0)
		conditions_close(c);
	return r;
}

static void route_stop(struct sl_context *ctx, void *shared, void *worker)
{
	struct worker *w = worker;

	(void)ctx;
	(void)shared;
	conditions_close(&w->conditions);
}

static int route_check(struct sl_context *ctx, const void *shared)
{
	const struct shared *o = shared;
	struct worker w = { 0 };
	int r = check_routes(ctx, &o->routes);

	if (r == 0)
		r = route_start(ctx, (void *)shared, &w);
	conditions_close(&w.conditions);
	return r;
}

/* --- records ------------------------------------------------------------------------------------ */

static int put(struct sl_writer *out, struct sl_value record)
{
	sl_put_value(out, record);
	return sl_record_done(out);
}

static int put_else(struct worker *w, const struct shared *o, struct sl_value record,
	struct sl_writer *const *out)
{
	if (o->otherwise == ELSE_OUTPUT)
		return put(out[o->routes.count], record);
	if (o->otherwise == ELSE_DEAD_LETTER) {
		(void)sl_reject(
			w->conditions.ctx, NULL, record, "`routes`: no condition is true for it");
		w->unwanted++;
	}
	return 0;
}

static int put_first(struct worker *w, const struct shared *o, struct sl_value record,
	struct sl_writer *const *out)
{
	uint32_t i = conditions_first(&w->conditions);

	return i < o->routes.count ? put(out[i], record) : put_else(w, o, record, out);
}

static int put_all(struct worker *w, const struct shared *o, struct sl_value record,
	struct sl_writer *const *out)
{
	bool is_taken = false;
	int r = 0;

	for (uint32_t i = 0; i < o->routes.count && r == 0; i++) {
		if (!conditions_hold(&w->conditions, i))
			continue;
		is_taken = true;
		r = put(out[i], record);
	}
	return is_taken ? r : put_else(w, o, record, out);
}

static int64_t route_transform(struct sl_context *ctx, void *shared, void *worker,
	const struct sl_batch *in, struct sl_writer *const *out)
{
	const struct shared *o = shared;
	struct worker *w = worker;
	struct sl_value record;
	int r;

	w->unwanted = 0;
	conditions_begin(&w->conditions, ctx, in);
	while ((r = conditions_next(&w->conditions, &record)) > 0) {
		r = o->match == MATCH_FIRST ? put_first(w, o, record, out)
					    : put_all(w, o, record, out);
		if (r < 0)
			break;
	}
	return r < 0 ? r : (int64_t)sl_batch_count(in) - w->conditions.rejected - w->unwanted;
}

static const struct sl_option options[];

const struct sl_stage sl_stage_route = {
	.abi = SL_ABI,
	.name = "route",
	.role = SL_TRANSFORM,
	.summary = "gives records to named outputs by conditions in SQL, unchanged",
	.flags = SL_RESUMES | SL_CONFINED,
	.shared_size = sizeof(struct shared),
	.worker_size = sizeof(struct worker),
	.port = route_port,
	.check = route_check,
	.start = route_start,
	.transform_batch = route_transform,
	.stop = route_stop,
	.options = options,
};

/* clang-format off */
static const struct sl_option options[] = {
	{ SL_OPTION("routes", PAIRS, struct shared, routes), .required = true,
	  .help = "an output's name and its condition, as behind WHERE in SQL, each",
	  .example = "{ big = \"amount > 1000\"; german = \"country = 'DE'\"; }" },
	{ SL_OPTION("match", CHOICE, struct shared, match), .fallback = "first", .choices = matches,
	  .help = "a record goes to the first output whose condition is true, or to all of them",
	  .example = "\"all\"" },
	{ SL_OPTION("else", CHOICE, struct shared, otherwise), .fallback = "output", .choices = otherwises,
	  .help = "a record for which no condition is true goes to the output `else`, is let go, or is given up",
	  .example = "\"drop\"" },
	{ SL_OPTION("timeout", DURATION, struct shared, timeout_ns), .fallback = "10s",
	  .min = 1000000, .max = INT64_C(86400000000000),
	  .help = "the time limit for one record", .example = "\"1s\"" },
	{ 0 },
};
/* clang-format on */
