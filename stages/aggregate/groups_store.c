/* SPDX-License-Identifier: MIT */
/* See groups.h: what the store has of the groups. */
#include "groups.h"

#include <errno.h>
#include <string.h>

#include "bytes.h"

#define ANEW_MIN (UINT64_C(16) << 20) /* bytes of entries that are never too many */
#define ANEW_FACTOR 4

/* How an entry begins. */
struct entry {
	uint32_t size; /* with this */
	uint32_t kind;
	int64_t window;
	uint32_t number;   /* of the group, or how many */
	uint32_t key_size; /* NO_KEY: it is known */
};

#define NO_KEY UINT32_MAX

/* --- writing ------------------------------------------------------------------------------------ */

/* The row's entries go into the store. */
static int end_row(struct sl_context *ctx, struct groups *g, struct keep *keep)
{
	int r = g->row.error ? -ENOMEM : 0;

	if (r == 0 && g->row.size > 0)
		r = keep_put(ctx, keep, g->saving_next, g->row.data, g->row.size);
	if (r == 0 && g->row.size > 0) {
		g->saving_next++;
		g->saving_kept += g->row.size;
	}
	sl_writer_reset(&g->row);
	return r;
}

static int put_note(struct sl_context *ctx, struct groups *g, struct keep *keep, char kind,
	int64_t window, uint32_t number)
{
	struct entry entry = { sizeof(entry), (uint32_t)kind, window, number, NO_KEY };

	bytes_put(&g->row, &entry, sizeof(entry));
	return g->row.size >= KEEP_ROW ? end_row(ctx, g, keep) : 0;
}

static int put_group(struct sl_context *ctx, struct groups *g, struct keep *keep,
	const struct window *window, const struct group_state *group)
{
	bool has_key = g->is_all || !group->is_known;
	struct entry entry = { .kind = 'g',
		.window = window->start,
		.number = group->index,
		.key_size = has_key ? group->key_size : NO_KEY };
	size_t begin = g->row.size;

	bytes_put(&g->row, &entry, sizeof(entry));
	if (has_key)
		bytes_put(&g->row, group_key(g, group), group->key_size);
	for (uint32_t i = 0; i < g->spec->count; i++)
		function_save(g->spec->terms[i].function, &group->cells[i], &g->row);
	if (g->row.error)
		return -ENOMEM;
	entry.size = (uint32_t)(g->row.size - begin);
	memcpy(g->row.data + begin, &entry, sizeof(entry));
	return g->row.size >= KEEP_ROW ? end_row(ctx, g, keep) : 0;
}

/* Groups that were given stay where they are, for the places of the others. */
static int put_window(
	struct sl_context *ctx, struct groups *g, struct keep *keep, const struct window *window)
{
	const struct group_state *group = window->changed;
	int r = 0;

	for (uint32_t i = 0; g->is_all && i < window->count && r == 0; i++)
		r = put_group(ctx, g, keep, window, window->groups[i]);
	for (; !g->is_all && group && r == 0; group = group->next_changed)
		r = put_group(ctx, g, keep, window, group);
	if (r == 0 && window->given > 0 && (g->is_all || window->is_given))
		r = put_note(ctx, g, keep, 'f', window->start, window->given);
	return r;
}

int groups_save(struct sl_context *ctx, struct groups *g, struct keep *keep, bool nothing)
{
	int r = 0;

	g->is_all = nothing || (g->kept > ANEW_MIN && g->kept > ANEW_FACTOR * g->live);
	g->saving_next = g->is_all ? 0 : g->next;
	g->saving_kept = g->is_all ? 0 : g->kept;
	if (g->is_all)
		r = keep_clear(ctx, keep);
	for (uint32_t i = 0; !g->is_all && i < g->closed_count && r == 0; i++)
		r = put_note(ctx, g, keep, 'c', g->closed[i], 0);
	for (uint32_t i = 0; !nothing && i < g->count && r == 0; i++)
		r = put_window(ctx, g, keep, g->windows[i]);
	if (r < 0)
		sl_writer_reset(&g->row);
	return r == 0 ? end_row(ctx, g, keep) : r;
}

static void window_saved(struct window *window)
{
	struct group_state *group = window->changed;

	while (group) {
		struct group_state *next = group->next_changed;

		group->is_changed = false;
		group->is_known = true;
		group->next_changed = NULL;
		group = next;
	}
	window->changed = NULL;
	window->changed_tail = &window->changed;
	window->is_given = false;
	window->is_known = true;
}

void groups_saved(struct groups *g)
{
	g->next = g->saving_next;
	g->kept = g->saving_kept;
	g->closed_count = 0;
	for (uint32_t i = 0; i < g->count; i++)
		window_saved(g->windows[i]);
}

/* --- reading ------------------------------------------------------------------------------------ */

static void close_window(struct groups *g, int64_t start)
{
	for (uint32_t i = 0; i < g->count; i++) {
		struct window *window = g->windows[i];

		if (window->start != start)
			continue;
		/* Nothing has to learn of it. */
		window->is_known = false;
		memmove(g->windows + 1, g->windows, i * sizeof(struct window *));
		g->windows[0] = window;
		(void)groups_close_first(g);
		return;
	}
}

static int load_cells(struct groups *g, struct group_state *group, const char *at, const char *end)
{
	bool is_whole = true;

	for (uint32_t i = 0; i < g->spec->count && is_whole; i++)
		is_whole = function_load(g->spec->terms[i].function, &group->cells[i], &at, end);
	return is_whole && at == end ? 0 : -EBADMSG;
}

static int load_group(struct groups *g, const struct entry *entry, const char *at, const char *end)
{
	struct window *window = groups_window(g, entry->window);
	struct group_state *group = NULL;

	if (!window)
		return -ENOMEM;
	if (entry->key_size == NO_KEY) {
		group = entry->number < window->count ? window->groups[entry->number] : NULL;
		return group ? load_cells(g, group, at, end) : -EBADMSG;
	}
	if (entry->key_size > (size_t)(end - at) || entry->number < window->count)
		return -EBADMSG;
	group = groups_find(g, window, at, entry->key_size);
	if (!group)
		return -ENOMEM;
	if (group->index != entry->number)
		return -EBADMSG;
	return load_cells(g, group, at + entry->key_size, end);
}

static int load_entry(struct groups *g, const struct entry *entry, const char *at, const char *end)
{
	struct window *window;

	switch (entry->kind) {
	case 'g':
		return load_group(g, entry, at, end);
	case 'f':
		window = groups_window(g, entry->window);
		if (!window || entry->number > window->count)
			return -EBADMSG;
		window->given = entry->number;
		return 0;
	case 'c':
		close_window(g, entry->window);
		return 0;
	default:
		return -EBADMSG;
	}
}

int groups_load(struct groups *g, int64_t n, const char *bytes, size_t size)
{
	struct entry entry;
	int r = 0;

	for (size_t at = 0; at < size && r == 0; at += entry.size) {
		if (size - at < sizeof(entry))
			return -EBADMSG;
		memcpy(&entry, bytes + at, sizeof(entry));
		if (entry.size < sizeof(entry) || entry.size > size - at)
			return -EBADMSG;
		r = load_entry(g, &entry, bytes + at + sizeof(entry), bytes + at + entry.size);
	}
	g->saving_next = n + 1;
	g->saving_kept += size;
	return r;
}
