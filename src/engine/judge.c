/* SPDX-License-Identifier: MIT */
/* See judge.h. */
#include "engine/judge.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/tap.h"
#include "record/compare.h"
#include "state/dead.h"

#define SHOWN 200   /* bytes of a value */
#define SAID_MAX 20 /* lines about one test; the rest is counted */

enum verdict { AS_EXPECTED = 0, NOT_AS_EXPECTED = 1, UNKNOWN = 2 };

struct letter {
	char *reason;
	char *stage;
	char *record; /* as JSON; "" where there is none */
};

struct judge {
	struct sl_value test;
	double tolerance;
	struct tap_records expected; /* `data` is not its own */
	struct tap_records found;
	struct letter *letters;
	size_t letter_count;
	struct sl_value *reasons; /* that are expected */
	size_t reason_count;
	unsigned said;
	size_t number; /* of the record that is being explained */
};

static struct sl_value get(const struct judge *judge, const char *key)
{
	return sl_find(judge->test, key, strlen(key));
}

/* Is there room for one more line? It counts in any case. */
static bool may_say(struct judge *judge)
{
	return judge->said++ < SAID_MAX;
}

static void say_record(struct judge *judge, const char *what, size_t number, struct sl_value record)
{
	char text[SHOWN];

	if (!may_say(judge))
		return;
	sl_print(record, text, sizeof(text));
	(void)printf("      record %zu %s: %s\n", number, what, text);
}

/* --- differences ---------------------------------------------------------------------------------- */

/* "2.0", and what it is where that is not plain from the other. */
static void print_value(struct sl_value v, bool with_kind)
{
	char text[SHOWN];

	sl_print(v, text, sizeof(text));
	(void)printf("%s", text);
	if (with_kind)
		(void)printf(" (%s)", sl_kind_name(sl_kind(v)));
}

static void differ(void *user, const char *path, struct sl_value expected, struct sl_value found)
{
	struct judge *judge = user;
	bool with_kind;

	if (!may_say(judge))
		return;
	(void)printf("      record %zu", judge->number);
	if (path[0])
		(void)printf(", `%s`", path);
	with_kind = expected.data && found.data && sl_kind(expected) != sl_kind(found);
	if (expected.data) {
		(void)printf(": expected ");
		print_value(expected, with_kind);
		(void)printf(", ");
	} else {
		(void)printf(": expected no such field, ");
	}
	if (found.data) {
		(void)printf("got ");
		print_value(found, with_kind);
	} else {
		(void)printf("which is missing");
	}
	(void)printf("\n");
}

static bool is_same(const struct judge *judge, size_t expected, size_t found)
{
	return compare_is_same(
		judge->expected.items[expected], judge->found.items[found], judge->tolerance);
}

static void explain(struct judge *judge, size_t expected, size_t found)
{
	judge->number = expected + 1;
	compare_explain(judge->expected.items[expected], judge->found.items[found],
		judge->tolerance, differ, judge);
}

/* What is the same at the begin and at the end is left out; what is between is told one by one. */
static void compare_in_order(struct judge *judge)
{
	size_t expected = judge->expected.count, found = judge->found.count, first = 0;

	while (first < expected && first < found && is_same(judge, first, first))
		first++;
	while (expected > first && found > first && is_same(judge, expected - 1, found - 1)) {
		expected--;
		found--;
	}
	for (; first < expected && first < found; first++)
		explain(judge, first, first);
	for (size_t i = first; i < expected; i++)
		say_record(judge, "is missing", i + 1, judge->expected.items[i]);
	for (size_t i = first; i < found; i++)
		say_record(judge, "was not expected", i + 1, judge->found.items[i]);
}

/* --- in any order --------------------------------------------------------------------------------- */

static bool fits_record(void *user, size_t expected, size_t found)
{
	return is_same(user, expected, found);
}

static void count_one(void *user, const char *path, struct sl_value expected, struct sl_value found)
{
	(void)path;
	(void)expected;
	(void)found;
	++*(size_t *)user;
}

/* The one that nobody has, and that differs least; COMPARE_NONE: none is left. */
static size_t find_nearest(const struct judge *judge, size_t expected, const bool *is_paired)
{
	size_t nearest = COMPARE_NONE, least = 0;

	for (size_t f = 0; f < judge->found.count; f++) {
		size_t count = 0;

		if (is_paired[f])
			continue;
		compare_explain(judge->expected.items[expected], judge->found.items[f],
			judge->tolerance, count_one, &count);
		if (nearest == COMPARE_NONE || count < least) {
			nearest = f;
			least = count;
		}
	}
	return nearest;
}

static void explain_unpaired(struct judge *judge, const size_t *pairs, bool *is_paired)
{
	for (size_t e = 0; e < judge->expected.count; e++)
		if (pairs[e] != COMPARE_NONE)
			is_paired[pairs[e]] = true;
	for (size_t e = 0; e < judge->expected.count; e++) {
		size_t nearest =
			pairs[e] == COMPARE_NONE ? find_nearest(judge, e, is_paired) : COMPARE_NONE;

		if (nearest != COMPARE_NONE) {
			explain(judge, e, nearest);
			is_paired[nearest] = true;
		} else if (pairs[e] == COMPARE_NONE) {
			say_record(judge, "is missing", e + 1, judge->expected.items[e]);
		}
	}
	for (size_t f = 0; f < judge->found.count; f++)
		if (!is_paired[f])
			say_record(judge, "was not expected", f + 1, judge->found.items[f]);
}

static int compare_in_any_order(struct judge *judge)
{
	size_t *pairs = calloc(judge->expected.count + 1, sizeof(*pairs));
	bool *is_paired = calloc(judge->found.count + 1, sizeof(*is_paired));
	int r = pairs && is_paired ? compare_pair(judge->expected.count, judge->found.count,
					     fits_record, judge, pairs)
				   : -ENOMEM;

	if (r == 0)
		explain_unpaired(judge, pairs, is_paired);
	free(pairs);
	free(is_paired);
	return r;
}

/* --- dead letters --------------------------------------------------------------------------------- */

static void say_letter(struct judge *judge, const char *what, const struct letter *letter)
{
	if (may_say(judge))
		(void)printf("      %s: `%s`: %s%s%s\n", what, letter->stage, letter->reason,
			letter->record[0] ? ": " : "", letter->record);
}

static bool fits_reason(void *user, size_t expected, size_t found)
{
	const struct judge *judge = user;
	const char *text = "";
	size_t size = 0;

	(void)sl_get_str(judge->reasons[expected], &text, &size);
	return memmem(judge->letters[found].reason, strlen(judge->letters[found].reason), text,
		       size) != NULL;
}

static int compare_reasons(struct judge *judge)
{
	size_t *pairs = calloc(judge->reason_count + 1, sizeof(*pairs));
	bool *is_paired = calloc(judge->letter_count + 1, sizeof(*is_paired));
	int r = pairs && is_paired ? compare_pair(judge->reason_count, judge->letter_count,
					     fits_reason, judge, pairs)
				   : -ENOMEM;
	char text[SHOWN];

	for (size_t e = 0; r == 0 && e < judge->reason_count; e++) {
		if (pairs[e] != COMPARE_NONE) {
			is_paired[pairs[e]] = true;
		} else if (may_say(judge)) {
			sl_print(judge->reasons[e], text, sizeof(text));
			(void)printf("      no record was given up for %s\n", text);
		}
	}
	for (size_t f = 0; r == 0 && f < judge->letter_count; f++)
		if (!is_paired[f])
			say_letter(judge, "a record was given up", &judge->letters[f]);
	free(pairs);
	free(is_paired);
	return r;
}

static int compare_letters(struct judge *judge)
{
	uint64_t count = 0;

	if (sl_get_uint(get(judge, "dead"), &count) && count == judge->letter_count)
		return 0;
	if (sl_kind(get(judge, "dead")) != SL_INT)
		return compare_reasons(judge);
	if (may_say(judge))
		(void)printf("      expected %llu record%s to be given up, and %zu %s\n",
			(unsigned long long)count, count == 1 ? "" : "s", judge->letter_count,
			judge->letter_count == 1 ? "was" : "were");
	for (size_t i = 0; i < judge->letter_count; i++)
		say_letter(judge, "given up", &judge->letters[i]);
	return 0;
}

/* --- what there is -------------------------------------------------------------------------------- */

static int keep_letter(void *user, const struct dead_letter *letter)
{
	struct judge *judge = user;
	struct letter *grown =
		realloc(judge->letters, (judge->letter_count + 1) * sizeof(*judge->letters));
	char record[SHOWN] = "";

	if (!grown)
		return -ENOMEM;
	judge->letters = grown;
	if (letter->record)
		sl_print((struct sl_value){ letter->record, letter->record_size }, record,
			sizeof(record));
	grown[judge->letter_count++] =
		(struct letter){ strdup(letter->reason), strdup(letter->stage), strdup(record) };
	grown += judge->letter_count - 1;
	return grown->reason && grown->stage && grown->record ? 0 : -ENOMEM;
}

static int read_letters(struct judge *judge, const char *folder, struct err *err)
{
	struct dead_choice all = { 0 };
	struct dead *dead;
	int r = dead_open(folder, false, &dead, err);

	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return r;
	r = dead_walk(dead, &all, 0, keep_letter, judge, err);
	dead_close(dead);
	return r;
}

/* The members of an array of the test; none where there is no such array. */
static int list_members(
	const struct judge *judge, const char *key, struct sl_value **ret_items, size_t *ret_count)
{
	struct sl_value list = get(judge, key), unused;
	uint32_t count = sl_kind(list) == SL_ARRAY ? sl_count(list) : 0;
	struct sl_value *items = calloc(count + 1, sizeof(*items));
	struct sl_cursor cursor = sl_walk(list);

	if (!items)
		return -ENOMEM;
	for (uint32_t i = 0; i < count; i++)
		(void)sl_next(&cursor, &unused, &items[i]);
	*ret_items = items;
	*ret_count = count;
	return 0;
}

static int read_test(
	struct judge *judge, const struct tap_records *test, const char *folder, struct err *err)
{
	int r;

	if (test->count != 1)
		return err_set(err, -EBADMSG, "%s has no test", folder);
	judge->test = test->items[0];
	(void)sl_get_double(get(judge, "tolerance"), &judge->tolerance);
	r = list_members(judge, "expect", &judge->expected.items, &judge->expected.count);
	if (r == 0)
		r = list_members(judge, "dead", &judge->reasons, &judge->reason_count);
	if (r == 0)
		r = tap_read(folder, "tap.0", &judge->found, err);
	return r < 0 ? r : read_letters(judge, folder, err);
}

static int compare(struct judge *judge, bool any_order)
{
	int r = compare_letters(judge);

	if (r < 0 || sl_kind(get(judge, "expect")) != SL_ARRAY)
		return r;
	if (any_order)
		r = compare_in_any_order(judge);
	else
		compare_in_order(judge);
	return r;
}

static void forget(struct judge *judge)
{
	for (size_t i = 0; i < judge->letter_count; i++) {
		free(judge->letters[i].reason);
		free(judge->letters[i].stage);
		free(judge->letters[i].record);
	}
	free(judge->letters);
	free(judge->reasons);
	free(judge->expected.items);
	tap_free(&judge->found);
}

int judge_answer(const char *folder, bool any_order)
{
	struct judge judge = { 0 };
	struct tap_records test = { 0 };
	struct err err = { 0 };
	int r = tap_read(folder, JUDGE_TEST, &test, &err);

	if (r == 0)
		r = read_test(&judge, &test, folder, &err);
	if (r == 0)
		r = compare(&judge, any_order);
	if (r < 0)
		(void)fprintf(stderr, "sluice test: %s\n", err.text[0] ? err.text : err_name(r));
	if (judge.said > SAID_MAX)
		(void)printf("      and %u more differences\n", judge.said - SAID_MAX);
	forget(&judge);
	tap_free(&test);
	if (fflush(stdout) != 0 || r < 0)
		return UNKNOWN;
	return judge.said > 0 ? NOT_AS_EXPECTED : AS_EXPECTED;
}
