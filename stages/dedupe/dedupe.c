/* SPDX-License-Identifier: MIT */
/*
 * Transform "dedupe": passes on the first record of each key, byte for byte. A stage with state (spill/keep.h): the config makes a sink of it, which knows
 * the keys, and a source, which gives the records.
 *
 * In the store a row is keys in a row (seen.h), its number that of the first one; the head says up to where they are forgotten. So a commit
 * costs what is new, and nothing is ever written anew.
 */
#include <sluice/stage.h>

#include <errno.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "../aggregate/fields.h"
#include "../aggregate/moment.h"
#include "../spill/keep.h"
#include "seen.h"

#define KEYS_MAX 32

struct shared {
	struct sl_strings key;
	int64_t window;
	int64_t lasts; /* ns */
	const char *time;
	int unit;
	struct spill store;
};

struct head {
	uint64_t layout;
	uint64_t first; /* key that is not forgotten */
	int64_t now;
	uint64_t run, passed, repeated; /* records in the run */
};

struct worker {
	const struct shared *options;
	struct fields fields;
	int time; /* of `fields`; -1: none */
	struct keep keep;
	struct seen seen;
	uint64_t saved; /* keys below stand in the store */
	uint64_t seed;
	struct head head;
	bool is_foreign; /* what the store has are keys of other fields */
	struct sl_writer key;
};

/* --- options ------------------------------------------------------------------------------------ */

static int check_keys(struct sl_context *ctx, const struct shared *o)
{
	if (o->key.count > KEYS_MAX)
		return sl_error(
			ctx, -EINVAL, "`key` has too many fields: %d are the most", KEYS_MAX);
	for (uint32_t i = 0; i < o->key.count; i++) {
		if (!*o->key.items[i])
			return sl_error(
				ctx, -EINVAL, "`key` names no field: write key = [ \"FIELD\" ];");
		for (uint32_t k = 0; k < i; k++)
			if (strcmp(o->key.items[i], o->key.items[k]) == 0)
				return sl_error(ctx, -EINVAL, "`key` names \"%.60s\" twice",
					o->key.items[i]);
	}
	return 0;
}

static int dedupe_check(struct sl_context *ctx, const void *shared)
{
	const struct shared *o = shared;

	if (!o->lasts && (o->time || o->unit != MOMENT_AUTO))
		return sl_error(ctx, -EINVAL,
			"`%s` is about the time of `for`: write for = \"1h\"; or remove it",
			o->time ? "time" : "time_unit");
	if (!o->time && o->unit != MOMENT_AUTO)
		return sl_error(ctx, -EINVAL,
			"`time_unit` is about the time that a record says: write time = \"FIELD\"; "
			"or "
			"remove it");
	return check_keys(ctx, o);
}

static uint64_t hash_layout(const struct shared *o)
{
	uint64_t hash = o->lasts > 0;

	for (uint32_t i = 0; i < o->key.count; i++)
		hash = XXH3_64bits_withSeed(o->key.items[i], strlen(o->key.items[i]) + 1, hash);
	return o->time ? XXH3_64bits_withSeed(o->time, strlen(o->time), hash + 1) : hash;
}

/* --- keys in the store -------------------------------------------------------------------------- */

static int load_head(struct worker *w, const void *bytes, size_t size)
{
	struct head head;

	if (size != sizeof(head))
		return -EBADMSG;
	memcpy(&head, bytes, sizeof(head));
	w->is_foreign = head.layout != w->head.layout;
	if (head.run != w->head.run) {
		head.passed = 0;
		head.repeated = 0;
	}
	head.run = w->head.run;
	if (!w->is_foreign)
		w->head = head;
	return 0;
}

static int load_keys(struct worker *w, uint64_t n, const char *bytes, size_t size)
{
	struct seen_key key;
	int r = 0;

	if (size % sizeof(key) != 0 || n < w->seen.end)
		return -EBADMSG;
	/* What would stand between was forgotten before a commit, and so was all before it. */
	if (n > w->seen.end) {
		seen_fini(&w->seen);
		w->seen.first = n;
		w->seen.end = n;
	}
	for (size_t at = 0; at < size && r == 0; at += sizeof(key)) {
		memcpy(&key, bytes + at, sizeof(key));
		/* One that was forgotten may stand again behind. */
		if (w->seen.end < w->head.first)
			w->seen.first = ++w->seen.end;
		else
			r = seen_has(&w->seen, &key) ? -EBADMSG : seen_add(&w->seen, &key);
	}
	return r;
}

static int load(struct sl_context *ctx, void *user, int64_t n, const void *bytes, size_t size)
{
	struct worker *w = user;

	if (n == KEEP_HEAD)
		return load_head(w, bytes, size);
	if (w->is_foreign)
		return sl_error(ctx, -EPROTO,
			"%s holds keys of other fields (`key` or `time`): write those again, or "
			"begin "
			"anew with --from-start",
			w->keep.into.store.path);
	return load_keys(w, (uint64_t)n, bytes, size);
}

static int save_keys(struct sl_context *ctx, struct worker *w, struct keep *keep)
{
	struct seen_key keys[KEEP_ROW / 16 / sizeof(struct seen_key)];
	uint64_t n = w->saved > w->seen.first ? w->saved : w->seen.first;
	int r = 0;

	while (n < w->seen.end && r == 0) {
		uint64_t begin = n;

		for (; n < w->seen.end && n - begin < sizeof(keys) / sizeof(keys[0]); n++)
			keys[n - begin] = *seen_at(&w->seen, n);
		r = keep_put(ctx, keep, (int64_t)begin, keys, (n - begin) * sizeof(keys[0]));
	}
	return r;
}

static int save(struct sl_context *ctx, void *user, struct keep *keep)
{
	struct worker *w = user;
	int r;

	w->head.first = w->seen.first;
	r = keep_put(ctx, keep, KEEP_HEAD, &w->head, sizeof(w->head));
	if (r == 0)
		r = save_keys(ctx, w, keep);
	return r == 0 ? keep_forget(ctx, keep, (int64_t)w->seen.first) : r;
}

static const struct keep_stage state = { .load = load, .save = save };

/* --- beginning and end -------------------------------------------------------------------------- */

static int dedupe_start(struct sl_context *ctx, void *shared, void *worker)
{
	const struct shared *o = shared;
	struct worker *w = worker;
	int r;

	w->options = o;
	w->head = (struct head){ .layout = hash_layout(o) + sl_process_count(ctx),
		.now = INT64_MIN,
		.run = sl_run(ctx) };
	for (uint32_t i = 0; i < o->key.count; i++)
		(void)fields_add(&w->fields, o->key.items[i], strlen(o->key.items[i]));
	w->time = o->time ? fields_add(&w->fields, o->time, strlen(o->time)) : -1;
	sl_writer_init(&w->key);
	r = keep_open(ctx, &o->store, &state, w, &w->keep);
	/* Who would choose keys of one hash does not know this. */
	w->seed = w->keep.into.state.number;
	w->saved = w->seen.end;
	return r;
}

static void dedupe_stop(struct sl_context *ctx, void *shared, void *worker)
{
	struct worker *w = worker;

	(void)ctx;
	(void)shared;
	keep_close(&w->keep);
	seen_fini(&w->seen);
	sl_writer_fini(&w->key);
}

/* --- records ------------------------------------------------------------------------------------ */

/* SL_REJECTED, 0 or -ENOMEM. */
static int make_key(struct sl_context *ctx, struct worker *w, struct sl_value record,
	const struct sl_value *fields, struct seen_key *ret)
{
	uint32_t count = w->options->key.count, absent = 0;
	const char *bytes = record.data;
	size_t size = record.size;
	XXH128_hash_t hash;

	sl_writer_reset(&w->key);
	for (uint32_t i = 0; i < count; i++) {
		absent += !fields[i].data;
		fields_put_key(&w->key, fields[i]);
	}
	if (w->key.error)
		return -ENOMEM;
	if (count > 0 && absent == count)
		return sl_reject(ctx, NULL, record, "`key`: it has no field `%s`%s",
			w->options->key.items[0], count > 1 ? ", nor another of them" : "");
	if (count > 0) {
		bytes = w->key.data;
		size = w->key.size;
	}
	hash = XXH3_128bits_withSeed(bytes, size, w->seed);
	*ret = (struct seen_key){ hash.low64, hash.high64, 0 };
	return 0;
}

/* The time goes on, and never back. As make_key. */
static int move_time(struct sl_context *ctx, struct worker *w, struct sl_value record,
	const struct sl_value *fields, int64_t now)
{
	if (w->time >= 0 && !moment_read(fields[w->time], (enum moment_unit)w->options->unit, &now))
		return sl_reject(ctx, NULL, record,
			fields[w->time].data
				? "`time`: the field `%s` is no time: RFC 3339, or a number of "
				  "seconds or milliseconds"
				: "`time`: there is no field `%s`",
			w->options->time);
	if (now > w->head.now)
		w->head.now = now;
	return 0;
}

static void forget(struct worker *w)
{
	int64_t lasts = w->options->lasts / 1000;
	const struct seen_key *oldest;

	while (lasts > 0 && (oldest = seen_oldest(&w->seen)) && w->head.now - oldest->when >= lasts)
		seen_forget(&w->seen);
	while (w->options->window > 0 && w->seen.end - w->seen.first > (uint64_t)w->options->window)
		seen_forget(&w->seen);
}

static int pass(struct worker *w, struct sl_value record, struct seen_key *key)
{
	key->when = w->head.now;
	w->head.passed++;
	if (seen_add(&w->seen, key) < 0)
		return -ENOMEM;
	forget(w);
	sl_put_value(&w->keep.out, record);
	return sl_record_done(&w->keep.out) < 0 ? -ENOMEM : keep_give(&w->keep, false);
}

/* SL_REJECTED, 0 or -ENOMEM. */
static int take(struct sl_context *ctx, struct worker *w, struct sl_value record, int64_t now)
{
	struct sl_value fields[KEYS_MAX + 1] = { { 0 } };
	struct seen_key key;
	int r;

	if (w->fields.count > 0)
		fields_read(&w->fields, record, fields);
	r = make_key(ctx, w, record, fields, &key);
	if (r == 0 && w->options->lasts > 0)
		r = move_time(ctx, w, record, fields, now);
	if (r != 0)
		return r;
	forget(w);
	if (!seen_has(&w->seen, &key))
		return pass(w, record, &key);
	w->head.repeated++;
	return 0;
}

static int64_t dedupe_write(
	struct sl_context *ctx, void *shared, void *worker, const struct sl_batch *in)
{
	struct worker *w = worker;
	uint32_t count = sl_batch_count(in), rejected = 0;
	int64_t consumed, now = moment_now();
	int r = keep_had(ctx, &w->keep, in, &consumed);

	(void)shared;
	if (r != 0)
		return r > 0 ? consumed : r;
	for (uint32_t i = 0; i < count && r >= 0; i++) {
		r = take(ctx, w, sl_batch_record(in, i), now);
		rejected += r == SL_REJECTED;
	}
	if (r >= 0)
		r = keep_name(&w->keep, in, rejected);
	return r < 0 ? r : (int64_t)count - rejected;
}

static int dedupe_commit(struct sl_context *ctx, void *shared, void *worker)
{
	struct worker *w = worker;
	int r = keep_commit(ctx, &w->keep);

	(void)shared;
	if (r == 0)
		w->saved = w->seen.end;
	return r;
}

/* The keys stay: what goes on behind the end of a run knows them. */
static int dedupe_finish(struct sl_context *ctx, void *shared, void *worker, bool complete)
{
	struct worker *w = worker;

	(void)shared;
	if (!complete)
		return 0;
	sl_log(ctx, SL_LOG_INFO, "%llu records were repeats, %llu were passed on",
		(unsigned long long)w->head.repeated, (unsigned long long)w->head.passed);
	return into_end(ctx, &w->keep.into);
}

static int dedupe_sync(struct sl_context *ctx, const void *shared)
{
	return into_sync(ctx, &((const struct shared *)shared)->store);
}

static int dedupe_known(struct sl_context *ctx, const void *shared, sl_known_fn *tell, void *user)
{
	return into_known(ctx, &((const struct shared *)shared)->store, tell, user);
}

static const struct sl_option options[], sink_options[];

const struct sl_stage sl_stage_dedupe = {
	.abi = SL_ABI,
	.name = "dedupe",
	.role = SL_TRANSFORM,
	.summary = "passes on the first record of each key, unchanged",
	.flags = SL_RESUMES | SL_ONE_THREAD | SL_CONFINED | SL_HAS_STATE,
	.shared_size = sizeof(struct shared),
	.check = dedupe_check,
	.options = options,
};

const struct sl_stage sl_stage_sink_dedupe = {
	.abi = SL_ABI,
	.name = "dedupe",
	.role = SL_SINK,
	.summary = "keys of records, in a store",
	.flags = SL_ONE_THREAD | SL_RESUMES | SL_CONFINED,
	.shared_size = sizeof(struct shared),
	.worker_size = sizeof(struct worker),
	.start = dedupe_start,
	.write = dedupe_write,
	.commit = dedupe_commit,
	.finish = dedupe_finish,
	.stop = dedupe_stop,
	.sync = dedupe_sync,
	.known = dedupe_known,
	.options = sink_options,
};

/* clang-format off */
#define ROWS \
	{ SL_OPTION("key", STRINGS, struct shared, key), \
	  .help = "fields whose values say which records are the same; absent: the whole record, byte for byte", \
	  .example = "[ \"id\" ]" }, \
	{ SL_OPTION("window", INT, struct shared, window), .min = 1, .max = INT64_C(1) << 39, \
	  .help = "how many keys are remembered at most, the newest; absent: all", .example = "1000000" }, \
	{ SL_OPTION("for", DURATION, struct shared, lasts), .min = 1000000, .max = INT64_C(315360000000000000), \
	  .help = "how long a key is remembered after its record; absent: for ever", .example = "\"1h\"" }, \
	{ SL_OPTION("time", STRING, struct shared, time), \
	  .help = "the field with a record's time, for `for`: RFC 3339, or a number; absent: when it comes", .example = "\"at\"" }, \
	{ SL_OPTION("time_unit", CHOICE, struct shared, unit), .fallback = "auto", .choices = units, \
	  .help = "of a time that is a number since 1970; \"auto\": milliseconds from 100000000000 on, else seconds", .example = "\"ms\"" }

static const char *const units[] = { "auto", "s", "ms", NULL };

static const struct sl_option options[] = {
	ROWS,
	{ 0 },
};

/* What the config adds for the sink. */
static const struct sl_option sink_options[] = {
	ROWS,
	{ SL_OPTION("store", STRING, struct shared, store.store), .required = true },
	{ SL_OPTION("max", SIZE, struct shared, store.max), .required = true },
	{ 0 },
};
/* clang-format on */
