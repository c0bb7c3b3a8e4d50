/* SPDX-License-Identifier: MIT */
/*
 * Transform "sample": passes on a fraction of the records, byte for byte. Which, a hash of the record decides, or of some of its fields: so a batch
 * that is given again gives the same records, whatever its numbers of processes and threads are. The place of a record in its batch would not do:
 * threads share a batch, and one that is given again lacks what was given up.
 */
#include <sluice/stage.h>

#include <errno.h>
#include <math.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

struct shared {
	double fraction;
	struct sl_strings by;
	int64_t seed;
	bool rest;
};

static const char *sample_port(const void *shared, uint32_t i)
{
	const struct shared *o = shared;

	if (i == 0)
		return "out";
	return i == 1 && o->rest ? "rest" : NULL;
}

static int sample_check(struct sl_context *ctx, const void *shared)
{
	const struct shared *o = shared;

	if (!(o->fraction >= 0 && o->fraction <= 1))
		return sl_error(ctx, -EINVAL,
			"`fraction` is %g, and may be 0 to 1: for one in a hundred write 0.01",
			o->fraction);
	for (uint32_t i = 0; i < o->by.count; i++)
		if (o->by.items[i][0] == '\0')
			return sl_error(
				ctx, -EINVAL, "`by` has an empty name: write the name of a field");
	return 0;
}

/* A field that is not there counts as none; a value as its bytes. */
static uint64_t hash_of(const struct shared *o, struct sl_value record)
{
	uint64_t hash = (uint64_t)o->seed;

	if (o->by.count == 0)
		return XXH3_64bits_withSeed(record.data, record.size, hash);
	for (uint32_t i = 0; i < o->by.count; i++) {
		struct sl_value v = { 0 };

		if (sl_kind(record) == SL_MAP)
			v = sl_find(record, o->by.items[i], strlen(o->by.items[i]));
		hash = XXH3_64bits_withSeed(v.data ? v.data : "", v.size, hash);
	}
	return hash;
}

/* The first 53 bits as a number in [0, 1). */
static bool is_chosen(const struct shared *o, struct sl_value record)
{
	return ldexp((double)(hash_of(o, record) >> 11), -53) < o->fraction;
}

static int64_t sample_transform(struct sl_context *ctx, void *shared, void *worker,
	const struct sl_batch *in, struct sl_writer *const *out)
{
	const struct shared *o = shared;

	(void)ctx;
	(void)worker;
	for (uint32_t i = 0; i < sl_batch_count(in); i++) {
		struct sl_value record = sl_batch_record(in, i);
		bool is_in = is_chosen(o, record);
		int r;

		if (!is_in && !o->rest)
			continue;
		sl_put_value(out[!is_in], record);
		r = sl_record_done(out[!is_in]);
		if (r < 0)
			return r;
	}
	return sl_batch_count(in);
}

static const struct sl_option options[];

const struct sl_stage sl_stage_sample = {
	.abi = SL_ABI,
	.name = "sample",
	.role = SL_TRANSFORM,
	.summary = "passes on a fraction of the records, unchanged, the same ones each time",
	.flags = SL_RESUMES | SL_CONFINED,
	.shared_size = sizeof(struct shared),
	.port = sample_port,
	.check = sample_check,
	.transform_batch = sample_transform,
	.options = options,
};

/* clang-format off */
static const struct sl_option options[] = {
	{ SL_OPTION("fraction", REAL, struct shared, fraction), .required = true,
	  .help = "how much of the records, or of the values of `by`, passes: 0 to 1", .example = "0.01" },
	{ SL_OPTION("by", STRINGS, struct shared, by),
	  .help = "fields by whose values it is decided: the same values, the same fate; none: by the whole record",
	  .example = "[ \"customer\" ]" },
	{ SL_OPTION("seed", INT, struct shared, seed), .fallback = "0", .min = 0, .max = INT64_MAX,
	  .help = "another number is another choice", .example = "7" },
	{ SL_OPTION("rest", BOOL, struct shared, rest), .fallback = "false",
	  .help = "the other records go to an output `rest`", .example = "true" },
	{ 0 },
};
/* clang-format on */
