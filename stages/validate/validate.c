/* SPDX-License-Identifier: MIT */
/*
 * Transform "validate": passes on the records whose fields are what they must be, byte for byte, and gives up the others with all that is wrong with
 * them. What is asked of a field: rules.h.
 */
#include <sluice/stage.h>

#include <errno.h>
#include <string.h>

#include "../parse/parse.h"
#include "rules.h"

enum unknown { UNKNOWN_ALLOW, UNKNOWN_REJECT };
enum on_failure { FAILURE_DEAD_LETTER, FAILURE_OUTPUT };

static const char *const unknowns[] = { "allow", "reject", NULL };
static const char *const failures[] = { "dead-letter", "output", NULL };

struct shared {
	struct rule_options rules;
	int unknown;
	int on_failure;
	const char *reason;
};

struct worker {
	struct rules *rules;
};

static const char *validate_port(const void *shared, uint32_t i)
{
	const struct shared *o = shared;

	if (i == 0)
		return "out";
	return i == 1 && o->on_failure == FAILURE_OUTPUT ? "invalid" : NULL;
}

/* --- records ------------------------------------------------------------------------------------ */

/* As it is, and what is wrong with it. */
static int put_invalid(const struct shared *o, struct sl_value record, const char *text,
	size_t size, struct sl_writer *out)
{
	struct sl_cursor cursor = sl_walk(record);

	if (!o->reason || sl_kind(record) != SL_MAP ||
		sl_find(record, o->reason, strlen(o->reason)).data) {
		sl_put_value(out, record);
		return sl_record_done(out);
	}
	sl_put_map(out, sl_count(record) + 1);
	sl_put_value(out,
		(struct sl_value){ cursor.at, (size_t)(record.data + record.size - cursor.at) });
	sl_put_cstr(out, o->reason);
	sl_put_str(out, text, size);
	return sl_record_done(out);
}

static int64_t validate_transform(struct sl_context *ctx, void *shared, void *worker,
	const struct sl_batch *in, struct sl_writer *const *out)
{
	const struct shared *o = shared;
	struct worker *w = worker;
	int64_t consumed = 0;

	for (uint32_t i = 0; i < sl_batch_count(in); i++) {
		struct sl_value record = sl_batch_record(in, i);
		const char *text;
		size_t size;
		int r = rules_check(w->rules, record, o->unknown == UNKNOWN_REJECT, &text, &size);

		if (r == 0 && size > 0 && o->on_failure == FAILURE_DEAD_LETTER) {
			(void)sl_reject(ctx, NULL, record, "%.*s", (int)size, text);
			continue;
		}
		if (r == 0 && size > 0) {
			r = put_invalid(o, record, text, size, out[1]);
		} else if (r == 0) {
			sl_put_value(out[0], record);
			r = sl_record_done(out[0]);
		}
		if (r < 0)
			return r;
		consumed++;
	}
	return consumed;
}

/* --- beginning and end -------------------------------------------------------------------------- */

static int validate_start(struct sl_context *ctx, void *shared, void *worker)
{
	const struct shared *o = shared;
	struct worker *w = worker;

	return rules_new(ctx, &o->rules, &w->rules);
}

static void validate_stop(struct sl_context *ctx, void *shared, void *worker)
{
	struct worker *w = worker;

	(void)ctx;
	(void)shared;
	rules_free(w->rules);
}

static int validate_check(struct sl_context *ctx, const void *shared)
{
	const struct shared *o = shared;
	const struct rule_options *rules = &o->rules;
	struct worker w = { 0 };
	uint32_t count = rules->required.count + rules->types.count + rules->ranges.count +
			 rules->lengths.count + rules->patterns.count + rules->values.count;
	int r;

	if (count == 0 && o->unknown == UNKNOWN_ALLOW)
		return sl_error(ctx, -EINVAL,
			"`validate` asks for nothing: write for instance types = { id = "
			"\"integer\"; }");
	if (rules->known.count > 0 && o->unknown == UNKNOWN_ALLOW)
		return sl_error(ctx, -EINVAL, "`known` is for unknown = \"reject\"");
	if (o->reason && o->on_failure != FAILURE_OUTPUT)
		return sl_error(ctx, -EINVAL, "`reason` is for on_failure = \"output\"");
	r = validate_start(ctx, (void *)shared, &w);
	if (r == 0)
		validate_stop(ctx, NULL, &w);
	return r;
}

static const struct sl_option options[];

const struct sl_stage validate_stage = {
	.abi = SL_ABI,
	.name = "validate",
	.role = SL_TRANSFORM,
	.summary = "passes on the records whose fields are what they must be; says all that is "
		   "wrong with the others",
	.flags = SL_RESUMES | SL_CONFINED,
	.shared_size = sizeof(struct shared),
	.worker_size = sizeof(struct worker),
	.port = validate_port,
	.check = validate_check,
	.start = validate_start,
	.transform_batch = validate_transform,
	.stop = validate_stop,
	.options = options,
};

/* clang-format off */
static const struct sl_option options[] = {
	{ SL_OPTION("required", STRINGS, struct shared, rules.required),
	  .help = "the fields that must be there, and not null unless `types` allows it", .example = "[ \"id\", \"amount\" ]" },
	{ SL_OPTION("types", PAIRS, struct shared, rules.types),
	  .help = "a field's name and its type, each: null, boolean, integer, number, string, binary, array, map, or several with | between them",
	  .example = "{ id = \"integer\"; name = \"string|null\"; }" },
	{ SL_OPTION("ranges", PAIRS, struct shared, rules.ranges),
	  .help = "a field's name and the least and the largest number, each", .example = "{ age = \"0..150\"; amount = \"0..\"; }" },
	{ SL_OPTION("lengths", PAIRS, struct shared, rules.lengths),
	  .help = "a field's name and how many characters or members it has, each", .example = "{ name = \"1..80\"; }" },
	{ SL_OPTION("patterns", PAIRS, struct shared, rules.patterns),
	  .help = "a field's name and a regular expression of PCRE2 that its text matches, each", .example = "{ zip = \"^[0-9]{5}$\"; }" },
	{ SL_OPTION("values", PAIRS, struct shared, rules.values),
	  .help = "a field's name and the values that there are, with | between them, each", .example = "{ country = \"DE|FR|IT\"; }" },
	{ SL_OPTION("unknown", CHOICE, struct shared, unknown), .fallback = "allow", .choices = unknowns,
	  .help = "fields that no option names", .example = "\"reject\"" },
	{ SL_OPTION("known", STRINGS, struct shared, rules.known),
	  .help = "with unknown = \"reject\": more fields that may be there", .example = "[ \"note\" ]" },
	{ SL_OPTION("on_failure", CHOICE, struct shared, on_failure), .fallback = "dead-letter", .choices = failures,
	  .help = "a record that is wrong is given up, or goes to an output `invalid`", .example = "\"output\"" },
	{ SL_OPTION("reason", STRING, struct shared, reason),
	  .help = "with on_failure = \"output\": the name of a field for what is wrong; none: no such field", .example = "\"wrong\"" },
	{ 0 },
};
/* clang-format on */
