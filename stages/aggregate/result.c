/* SPDX-License-Identifier: MIT */
/* What `aggregate` gives: a record for each group of a window. See sink.h. */
#include "sink.h"

#include <errno.h>

static void put_moment(struct sl_writer *w, const char *name, int64_t moment)
{
	char text[MOMENT_TEXT];

	sl_put_cstr(w, name);
	sl_put_cstr(w, moment_print(moment, text));
}

/* The fields of `by`, as they stand in the key. */
static void put_key(
	const struct aggregator *a, const struct group_state *group, struct sl_writer *w)
{
	struct sl_cursor c = { .at = group_key(&a->groups, group), .left = a->spec.by_count };
	struct sl_value none, value;

	for (uint32_t i = 0; i < a->spec.by_count && sl_next(&c, &none, &value); i++) {
		sl_put_str(w, a->spec.fields.names[i], a->spec.fields.sizes[i]);
		sl_put_value(w, value);
	}
}

static int put_result(
	struct aggregator *a, const struct window *window, const struct group_state *group)
{
	const struct spec *spec = &a->spec;
	struct sl_writer *w = &a->keep.out;

	sl_put_map(w, spec->by_count + (spec->size > 0 ? 2 : 0) + spec->count);
	put_key(a, group, w);
	if (spec->size > 0) {
		put_moment(w, WINDOW_START, window->start);
		put_moment(w, WINDOW_END, window->start + spec->size);
	}
	for (uint32_t i = 0; i < spec->count; i++) {
		sl_put_cstr(w, a->options->set.names[i]);
		function_put(spec->terms[i].function, &group->cells[i], w);
	}
	return sl_record_done(w) < 0 ? -ENOMEM : keep_give(&a->keep, false);
}

int result_give(struct aggregator *a, size_t size)
{
	struct window *window = a->groups.windows[0];
	struct group *into = &a->keep.into.group;
	int r = 0;

	while (window->given < window->count && r == 0 && into->size + a->keep.out.size < size) {
		r = put_result(a, window, window->groups[window->given]);
		window->given++;
		window->is_given = true;
	}
	return r < 0 ? r : window->given < window->count;
}

int result_close(struct aggregator *a)
{
	int r = 0;

	while (r == 0 && a->groups.count > 0 && a->marks.mark != MOMENT_NONE &&
		a->groups.windows[0]->start + a->spec.size <= a->marks.mark) {
		r = result_give(a, SIZE_MAX);
		if (r == 0)
			r = groups_close_first(&a->groups);
	}
	return r;
}

int result_late(struct aggregator *a, struct sl_value record)
{
	struct sl_writer *w = &a->keep.out;

	sl_put_array(w, 1);
	sl_put_value(w, record);
	return sl_record_done(w) < 0 ? -ENOMEM : keep_give(&a->keep, false);
}
