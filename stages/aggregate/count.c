/* SPDX-License-Identifier: MIT */
/*
 * Records into groups, see sink.h. What becomes of a record depends on the records that came before it, and on nothing else: not on how they were cut
 * into batches, on commits, or on who died. (But for the clock, with `idle` and without `time`; and what was decided by it is in the store with the rest.)
 */
#include "sink.h"

#include <errno.h>

/* A record while it is counted. */
struct input {
	struct sl_value record;
	struct sl_value fields[FIELDS_MAX];
	struct operand operands[SET_MAX];
	int64_t time;
};

/* --- operands ----------------------------------------------------------------------------------- */

static void put_column(struct sl_writer *w, sqlite3_stmt *s, int column)
{
	switch (sqlite3_column_type(s, column)) {
	case SQLITE_INTEGER:
		sl_put_int(w, sqlite3_column_int64(s, column));
		break;
	case SQLITE_FLOAT:
		sl_put_double(w, sqlite3_column_double(s, column));
		break;
	case SQLITE_TEXT:
		sl_put_str(w, (const char *)sqlite3_column_text(s, column),
			(size_t)sqlite3_column_bytes(s, column));
		break;
	case SQLITE_BLOB:
		sl_put_bin(
			w, sqlite3_column_blob(s, column), (size_t)sqlite3_column_bytes(s, column));
		break;
	default:
		sl_put_nil(w);
	}
}

/* What the expressions are of the record at which their statement stands. 0 or -ENOMEM. */
static int read_expressions(struct aggregator *a, struct sl_value *ret)
{
	size_t ends[SET_MAX];
	size_t at = 0;

	sl_writer_reset(&a->values);
	for (uint32_t i = 0; i < a->spec.expression_count; i++) {
		put_column(&a->values, a->expressions.stmt, (int)i);
		ends[i] = a->values.size;
	}
	if (a->values.error)
		return -ENOMEM;
	for (uint32_t i = 0; i < a->spec.expression_count; i++) {
		ret[i] = (struct sl_value){ a->values.data + at, ends[i] - at };
		at = ends[i];
	}
	return 0;
}

/* SL_REJECTED, 0 or -ENOMEM. */
static int read_operands(struct sl_context *ctx, struct aggregator *a, struct input *in)
{
	struct sl_value expressions[SET_MAX];
	int r = a->spec.expression_count > 0 ? read_expressions(a, expressions) : 0;

	for (uint32_t i = 0; i < a->spec.count && r == 0; i++) {
		const struct term *term = &a->spec.terms[i];
		struct operand *operand = &in->operands[i];

		operand->value = term->field >= 0        ? in->fields[term->field]
				 : term->expression >= 0 ? expressions[term->expression]
							 : (struct sl_value){ 0 };
		if (!function_read(term->function, operand))
			return sl_reject(ctx, NULL, in->record, "`set.%s`: %s is no number",
				a->options->set.names[i],
				sl_kind(operand->value) == SL_STR
					? "text"
					: sl_kind_name(sl_kind(operand->value)));
	}
	return r;
}

/* As read_operands. */
static int read_time(struct sl_context *ctx, struct aggregator *a, struct input *in)
{
	if (a->spec.time == NO_OPERAND || moment_read(in->fields[a->spec.time],
						  (enum moment_unit)a->options->unit, &in->time))
		return 0;
	return sl_reject(ctx, NULL, in->record,
		in->fields[a->spec.time].data ? "`time`: the field `%s` is no time: RFC 3339, or a "
						"number of seconds or milliseconds"
					      : "`time`: there is no field `%s`",
		a->options->time);
}

/* --- counting ----------------------------------------------------------------------------------- */

static int64_t floor_to(int64_t time, int64_t step)
{
	int64_t rest = time % step;

	return time - (rest < 0 ? rest + step : rest);
}

static int add_to_window(struct aggregator *a, const struct input *in, int64_t start)
{
	struct window *window = groups_window(&a->groups, start);
	struct group_state *group =
		window ? groups_find(&a->groups, window, a->key.data, a->key.size) : NULL;
	int r = group ? 0 : -ENOMEM;

	for (uint32_t i = 0; i < a->spec.count && r == 0; i++)
		r = function_add(a->spec.terms[i].function, &group->cells[i], &in->operands[i]);
	return r;
}

/* To all windows that are open and have it. 0 or -ENOMEM; *ret_is_late: there is none. */
static int add_to_windows(struct aggregator *a, const struct input *in, bool *ret_is_late)
{
	int64_t last = floor_to(in->time, a->spec.every);
	int r = 0;

	*ret_is_late = true;
	for (int64_t start = last; start > in->time - a->spec.size && r == 0;
		start -= a->spec.every) {
		if (a->marks.mark != MOMENT_NONE && start + a->spec.size <= a->marks.mark)
			break;
		r = add_to_window(a, in, start);
		*ret_is_late = false;
	}
	return r;
}

static int be_late(struct sl_context *ctx, struct aggregator *a, const struct input *in)
{
	a->late++;
	if (a->options->late == LATE_OUTPUT)
		return result_late(a, in->record);
	if (a->options->late == LATE_DROP) {
		sl_drop(ctx, 1);
		return SL_REJECTED;
	}
	return sl_reject(ctx, NULL, in->record,
		"it came too late: its windows were closed when later records had come");
}

static int put_key(struct aggregator *a, const struct input *in)
{
	sl_writer_reset(&a->key);
	for (uint32_t i = 0; i < a->spec.by_count; i++)
		fields_put_key(&a->key, in->fields[i]);
	return a->key.error ? -ENOMEM : 0;
}

/* SL_REJECTED, 0 or -ENOMEM. */
static int take(struct sl_context *ctx, struct aggregator *a, struct marks_input *from,
	struct input *in, int64_t now)
{
	bool is_late = false;
	int r;

	fields_read(&a->spec.fields, in->record, in->fields);
	r = read_time(ctx, a, in);
	if (r == 0)
		r = read_operands(ctx, a, in);
	if (r == 0)
		r = put_key(a, in);
	if (r != 0)
		return r;
	if (a->spec.size == 0)
		return add_to_window(a, in, WINDOW_ALL);
	if (from)
		marks_move(&a->marks, from, in->time, now);
	r = add_to_windows(a, in, &is_late);
	if (r == 0 && is_late)
		r = be_late(ctx, a, in);
	return r == 0 ? result_close(a) : r;
}

int64_t aggregate_count(struct sl_context *ctx, struct aggregator *a, const struct sl_batch *in)
{
	int64_t now = sl_now();
	struct marks_input *from = a->spec.time >= 0 && a->spec.size > 0
					   ? marks_input(&a->marks, sl_batch_identity(in).path, now)
					   : NULL;
	struct input input = { .time = a->marks.mark };
	uint32_t count = sl_batch_count(in);
	int64_t rejected = 0;
	int r = 0;

	if (a->spec.expression_count > 0)
		conditions_begin(&a->expressions, ctx, in);
	for (uint32_t i = 0; r >= 0; i++) {
		if (a->spec.expression_count > 0) {
			r = conditions_next(&a->expressions, &input.record);
			if (r <= 0)
				break;
		} else if (i == count) {
			break;
		} else {
			input.record = sl_batch_record(in, i);
		}
		r = take(ctx, a, from, &input, now);
		rejected += r == SL_REJECTED;
	}
	return r < 0 ? r : rejected + (a->spec.expression_count > 0 ? a->expressions.rejected : 0);
}
