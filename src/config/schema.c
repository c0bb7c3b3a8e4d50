/* SPDX-License-Identifier: MIT */
/*
 * See schema.h. Binding checks again what load has checked: the graph came through a descriptor, and a field of a
 * shared struct must never get a value that its row does not allow.
 */
#include "config/schema.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/units.h"
#include "config/arena.h"
#include "stats/page.h"

struct schema_bound {
	struct arena arena;
};

static const char *const process_words[] = { "auto", NULL };
static const char *const retry_words[] = { "forever", NULL };
static const char *const orders[] = { "keep", "any", NULL };
static const char *const on_errors[] = { "dead-letter", "drop", "stop", NULL };
static const char *const when_fulls[] = { "block", "spill", "drop", NULL };
static const char *const intakes[] = { "memory", "durable", NULL };

#define VALUE(name_, type_) SL_OPTION(#name_, type_, struct schema_values, name_)

/* clang-format off */
const struct sl_option schema_common[] = {
	{ VALUE(processes, INT), .fallback = "1", .example = "2", .min = 1, .max = 1024, .choices = process_words,
	  .help = "how many processes run the stage; \"auto\": one per core" },
	{ VALUE(threads, INT), .fallback = "1", .example = "4", .min = 1, .max = PAGE_WORKERS_MAX,
	  .help = "workers in each process, each on its own thread" },
	{ VALUE(coroutines, INT), .fallback = "0", .example = "500", .min = 0, .max = 1000000,
	  .help = "records that each worker has in work at once, each as a task; 0: one, called directly" },
	{ VALUE(stack_size, SIZE), .fallback = "64KiB", .example = "\"256KiB\"", .min = 16 << 10, .max = 64 << 20,
	  .help = "address space for each task's stack; memory is used where it is touched" },
	{ VALUE(queue, INT), .fallback = "4", .example = "8", .min = 1, .max = 4096,
	  .help = "batches that may wait for each process of the stage, for each process that it takes from" },
	{ VALUE(retain, SIZE), .fallback = "64MiB", .example = "\"256MiB\"", .min = 64 << 10, .max = INT64_C(1) << 44,
	  .help = "bytes that each output of each process holds until they are settled: the memory bound" },
	{ VALUE(order, CHOICE), .fallback = "keep", .example = "\"any\"", .choices = orders,
	  .help = "\"keep\": records are taken in the order in which their source read them; \"any\": as they come" },
	{ VALUE(partition, STRINGS), .example = "[ \"customer\" ]",
	  .help = "fields by whose values records are spread: the same values, the same process" },
	{ VALUE(rate, RATE), .example = "\"200/s\"",
	  .help = "how many records all processes of the stage together begin at most; at most a tenth of a second's worth at once" },
	{ VALUE(timeout, DURATION), .example = "\"5s\"",
	  .help = "a record that waits for longer in the stage is tried again later; absent or \"0\": no limit" },
	{ VALUE(retries, INT), .fallback = "5", .example = "10", .min = 0, .max = 1000000, .choices = retry_words,
	  .help = "how often a record that failed for now is tried again before it is refused" },
	{ VALUE(on_error, CHOICE), .fallback = "dead-letter", .example = "\"stop\"", .choices = on_errors,
	  .help = "what becomes of a refused record: it is kept with its reason (`sluice dead`), only logged and counted, or it stops the pipeline" },
	{ VALUE(dead_max, INT), .fallback = "1000000", .example = "1000", .min = 0, .max = INT64_MAX,
	  .help = "how many records each process of the stage may refuse before the pipeline stops; 0: any number" },
	{ VALUE(restart, INT), .fallback = "5", .example = "0", .min = 0, .max = 1000000,
	  .help = "how often a process of the stage may die within `restart_within` and is started again" },
	{ VALUE(restart_within, DURATION), .fallback = "1m", .example = "\"10m\"", .min = NSEC_PER_MSEC,
	  .max = 365 * 86400 * NSEC_PER_SEC, .help = "the time in which `restart` deaths are allowed" },
	{ VALUE(backoff, DURATION), .fallback = "100ms", .example = "\"1s\"", .min = NSEC_PER_MSEC, .max = 3600 * NSEC_PER_SEC,
	  .help = "the wait before a record is tried again, or a dead process started again (but for the first, at once); doubles each time, up to 30 times itself" },
	{ VALUE(stall_timeout, DURATION), .fallback = "60s", .example = "\"5m\"",
	  .help = "a process that works on one record for longer is ended and started again; a record that does it twice is given up; \"0\": never" },
	{ VALUE(when_full, CHOICE), .fallback = "block", .example = "\"spill\"", .choices = when_fulls,
	  .help = "when the stage is slow or dead: \"block\": those before it wait; \"spill\": a store on disk takes what comes, then they wait; \"drop\": a small one, then what comes is given up and counted" },
	{ VALUE(intake, CHOICE), .fallback = "memory", .example = "\"durable\"", .choices = intakes,
	  .help = "of a source that cannot read again: what it holds is lost when its process dies, or it is in a store on disk as soon as it counts as read" },
	{ VALUE(spill_max, SIZE), .example = "\"10GiB\"", .min = 64 << 10, .max = INT64_C(1) << 44,
	  .help = "the most that the store of `when_full` or `intake` holds; absent: \"1GiB\", for when_full = \"drop\" \"16MiB\"" },
	{ VALUE(sandbox, BOOL), .fallback = "true", .example = "false",
	  .help = "what the stage does not need (network, programs, files, rights) is taken from its processes" },
	{ VALUE(memory_max, SIZE), .example = "\"256MiB\"", .min = 8 << 20, .max = INT64_C(1) << 44,
	  .help = "the memory of each process of the stage, with the programs that it runs; one that needs more is killed and started again, and a record that does it twice is given up; absent: no limit" },
	{ VALUE(cpu_weight, INT), .example = "50", .min = 1, .max = 10000,
	  .help = "each process's share of the processor where there is not enough for all: twice the weight, twice the share; the others have 100" },
	{ VALUE(tasks_max, INT), .example = "64", .min = 16, .max = 1 << 22,
	  .help = "how many threads and programs there may be in each process of the stage together; absent: no limit" },
	{ .name = NULL },
};

/* Rows that do not mean something to every role. */
static const struct { const char *name; bool fits[3]; } limited[] = {
	/*               source transform sink */
	{ "queue",     { false, true,     true } },
	{ "order",     { false, true,     true } },
	{ "partition", { false, true,     true } },
	{ "retain",    { true,  true,     false } },
	{ "timeout",   { false, true,     false } },
	{ "retries",   { false, true,     false } },
	{ "when_full", { false, true,     true } },
	{ "intake",    { true,  false,    false } },
};
/* clang-format on */

bool schema_common_fits(const struct sl_option *option, enum sl_role role)
{
	for (size_t i = 0; i < sizeof(limited) / sizeof(limited[0]); i++)
		if (strcmp(limited[i].name, option->name) == 0)
			return limited[i].fits[role];
	return true;
}

const char *schema_type_name(enum sl_type type)
{
	static const char *const names[] = {
		[SL_TYPE_STRING] = "string",
		[SL_TYPE_INT] = "integer",
		[SL_TYPE_REAL] = "number",
		[SL_TYPE_BOOL] = "boolean",
		[SL_TYPE_SIZE] = "size",
		[SL_TYPE_DURATION] = "duration",
		[SL_TYPE_RATE] = "rate",
		[SL_TYPE_CHOICE] = "choice",
		[SL_TYPE_CHAR] = "character",
		[SL_TYPE_STRINGS] = "strings",
		[SL_TYPE_VALUES] = "values",
		[SL_TYPE_PAIRS] = "pairs",
	};

	return names[type];
}

const struct sl_option *schema_find(const struct sl_option *table, const char *name)
{
	for (; table && table->name; table++)
		if (strcmp(table->name, name) == 0)
			return table;
	return NULL;
}

int schema_choice(const struct sl_option *option, const char *text)
{
	for (int i = 0; option->choices && option->choices[i]; i++)
		if (strcmp(option->choices[i], text) == 0)
			return i;
	return -ENOENT;
}

bool schema_in_bounds(const struct sl_option *option, int64_t x)
{
	if (option->min == 0 && option->max == 0)
		return x >= 0 || option->type == SL_TYPE_INT;
	return x >= option->min && x <= option->max;
}

/* --- defaults, as text ---------------------------------------------------------------------------- */

static int parse_int(const char *text, int64_t *ret_x)
{
	char *end;

	errno = 0;
	long long x = strtoll(text, &end, 0);

	if (errno || end == text || *end)
		return -EINVAL;
	*ret_x = x;
	return 0;
}

static int put_int_default(const struct sl_option *option, struct sl_writer *w)
{
	int word = schema_choice(option, option->fallback);
	int64_t x = -1 - (int64_t)word;
	int r = word >= 0 ? 0 : parse_int(option->fallback, &x);

	sl_put_int(w, x);
	return r;
}

static int put_real_default(const char *text, struct sl_writer *w)
{
	char *end;
	double x = strtod(text, &end);

	sl_put_double(w, x);
	return end == text || *end ? -EINVAL : 0;
}

static int put_size_default(const char *text, struct sl_writer *w)
{
	uint64_t bytes = 0;
	int r = units_parse_size(text, &bytes);

	sl_put_uint(w, bytes);
	return r;
}

static int put_duration_default(const char *text, struct sl_writer *w)
{
	int64_t ns = 0;
	int r = units_parse_duration(text, &ns);

	sl_put_int(w, ns);
	return r;
}

static int put_rate_default(const char *text, struct sl_writer *w)
{
	int64_t ns = 0;
	int r = units_parse_rate(text, &ns);

	sl_put_int(w, ns);
	return r;
}

static int put_choice_default(const struct sl_option *option, struct sl_writer *w)
{
	int i = schema_choice(option, option->fallback);

	sl_put_int(w, i);
	return i < 0 ? -EINVAL : 0;
}

/* The default of a row in its resolved form. */
static int put_default(const struct sl_option *option, struct sl_writer *w)
{
	switch (option->type) {
	case SL_TYPE_INT:
		return put_int_default(option, w);
	case SL_TYPE_REAL:
		return put_real_default(option->fallback, w);
	case SL_TYPE_BOOL:
		sl_put_bool(w, strcmp(option->fallback, "true") == 0);
		return 0;
	case SL_TYPE_SIZE:
		return put_size_default(option->fallback, w);
	case SL_TYPE_DURATION:
		return put_duration_default(option->fallback, w);
	case SL_TYPE_RATE:
		return put_rate_default(option->fallback, w);
	case SL_TYPE_CHOICE:
		return put_choice_default(option, w);
	case SL_TYPE_CHAR:
		sl_put_str(w, strcmp(option->fallback, "\\t") == 0 ? "\t" : option->fallback, 1);
		return 0;
	case SL_TYPE_STRINGS:
		sl_put_array(w, 1);
		sl_put_cstr(w, option->fallback);
		return 0;
	case SL_TYPE_STRING:
		sl_put_cstr(w, option->fallback);
		return 0;
	case SL_TYPE_VALUES:
	case SL_TYPE_PAIRS:
		break;
	}
	return -EINVAL;
}

/* --- binding -------------------------------------------------------------------------------------- */

static int bind_string(struct arena *arena, struct sl_value v, const char **ret_field)
{
	const char *text;
	size_t size;

	if (!sl_get_str(v, &text, &size) || memchr(text, '\0', size))
		return -EINVAL;
	text = arena_copy(arena, text, size);
	if (!text)
		return -ENOMEM;
	*ret_field = text;
	return 0;
}

static int bind_char(struct sl_value v, char *ret_field)
{
	const char *text;
	size_t size;

	if (!sl_get_str(v, &text, &size) || size != 1)
		return -EINVAL;
	*ret_field = text[0];
	return 0;
}

static int bind_strings(struct arena *arena, struct sl_value v, struct sl_strings *ret_field)
{
	struct sl_cursor c;
	struct sl_value key, item;
	const char **items;
	uint32_t count = 0;
	int r = 0;

	if (sl_kind(v) != SL_ARRAY)
		return -EINVAL;
	items = arena_alloc_array(arena, sl_count(v), sizeof(*items));
	if (!items)
		return -ENOMEM;
	for (c = sl_walk(v); r == 0 && sl_next(&c, &key, &item);)
		r = bind_string(arena, item, &items[count++]);
	*ret_field = (struct sl_strings){ .items = items, .count = count };
	return r;
}

static int bind_pairs(struct arena *arena, struct sl_value v, struct sl_pairs *ret_field)
{
	struct sl_cursor c;
	struct sl_value key, value;
	const char **names, **values;
	uint32_t count = 0;
	int r = 0;

	if (sl_kind(v) != SL_MAP)
		return -EINVAL;
	names = arena_alloc_array(arena, sl_count(v), sizeof(*names));
	values = arena_alloc_array(arena, sl_count(v), sizeof(*values));
	if (!names || !values)
		return -ENOMEM;
	for (c = sl_walk(v); r == 0 && sl_next(&c, &key, &value); count++) {
		r = bind_string(arena, key, &names[count]);
		if (r == 0)
			r = bind_string(arena, value, &values[count]);
	}
	*ret_field = (struct sl_pairs){ .names = names, .values = values, .count = count };
	return r;
}

static bool is_allowed_int(const struct sl_option *option, int64_t x)
{
	for (int i = 0; option->choices && option->choices[i]; i++)
		if (x == -1 - i)
			return true;
	return schema_in_bounds(option, x);
}

static int bind_int(const struct sl_option *option, struct sl_value v, int64_t *ret_field)
{
	int64_t x;

	if (!sl_get_int(v, &x) || !is_allowed_int(option, x))
		return -EINVAL;
	*ret_field = x;
	return 0;
}

static int bind_choice(const struct sl_option *option, struct sl_value v, int *ret_field)
{
	int count = 0;
	int64_t x;

	while (option->choices[count])
		count++;
	if (!sl_get_int(v, &x) || x < 0 || x >= count)
		return -EINVAL;
	*ret_field = (int)x;
	return 0;
}

static int bind_size(const struct sl_option *option, struct sl_value v, uint64_t *ret_field)
{
	int64_t x;
	int r = bind_int(option, v, &x);

	if (r == 0)
		*ret_field = (uint64_t)x;
	return r;
}

static int bind_field(
	struct arena *arena, const struct sl_option *option, struct sl_value v, void *field)
{
	switch (option->type) {
	case SL_TYPE_STRING:
		return bind_string(arena, v, field);
	case SL_TYPE_INT:
	case SL_TYPE_DURATION:
	case SL_TYPE_RATE:
		return bind_int(option, v, field);
	case SL_TYPE_REAL:
		return sl_get_double(v, field) ? 0 : -EINVAL;
	case SL_TYPE_BOOL:
		return sl_get_bool(v, field) ? 0 : -EINVAL;
	case SL_TYPE_SIZE:
		return bind_size(option, v, field);
	case SL_TYPE_CHOICE:
		return bind_choice(option, v, field);
	case SL_TYPE_CHAR:
		return bind_char(v, field);
	case SL_TYPE_STRINGS:
		return bind_strings(arena, v, field);
	case SL_TYPE_VALUES:
		*(struct sl_value *)field = v;
		return sl_kind(v) == SL_ARRAY ? 0 : -EINVAL;
	case SL_TYPE_PAIRS:
		return bind_pairs(arena, v, field);
	}
	return -EINVAL;
}

static int bind_default(struct arena *arena, const struct sl_option *option, void *field)
{
	struct sl_writer w;
	int r;

	if (!option->fallback)
		return option->required ? -ENOENT : 0;
	sl_writer_init(&w);
	r = put_default(option, &w);
	if (sl_record_done(&w) < 0)
		r = -ENOMEM;
	if (r == 0)
		r = bind_field(
			arena, option, (struct sl_value){ .data = w.data, .size = w.mark }, field);
	sl_writer_fini(&w);
	return r;
}

static int bind_table(struct arena *arena, const struct sl_option *option, struct sl_value options,
	char *shared, struct err *err)
{
	for (; option && option->name; option++) {
		struct sl_value v = { 0 };
		int r;

		if (options.data)
			v = sl_find(options, option->name, strlen(option->name));
		r = v.data ? bind_field(arena, option, v, shared + option->offset)
			   : bind_default(arena, option, shared + option->offset);
		if (r == -ENOENT)
			return err_set(err, -EINVAL, "\"%s\" is missing", option->name);
		if (r == -ENOMEM)
			return err_set(err, r, "no memory for the options");
		if (r < 0)
			return err_set(err, r, "\"%s\" has %s that is no %s it may have",
				option->name, v.data ? "a value" : "a default",
				schema_type_name(option->type));
	}
	return 0;
}

int schema_bind(const struct sl_option *table, struct sl_value options, void *shared,
	struct schema_bound **ret_bound, struct err *err)
{
	struct schema_bound *bound = calloc(1, sizeof(*bound));
	int r;

	if (!bound)
		return err_set(err, -ENOMEM, "no memory for the options");
	r = bind_table(&bound->arena, table, options, shared, err);
	if (r < 0) {
		schema_free(bound);
		return r;
	}
	*ret_bound = bound;
	return 0;
}

void schema_free(struct schema_bound *bound)
{
	if (!bound)
		return;
	arena_fini(&bound->arena);
	free(bound);
}
