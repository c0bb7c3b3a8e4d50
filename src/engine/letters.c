/* SPDX-License-Identifier: MIT */
/* See letters.h. */
#include "engine/letters.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/units.h"
#include "base/utf8.h"
#include "engine/host.h"

#define REASON_SHOWN 100 /* on a terminal */

/* --- showing ------------------------------------------------------------------------------------ */

static const char *print_time(int64_t ns, char *text, size_t size)
{
	time_t seconds = ns / NSEC_PER_SEC;
	struct tm parts;

	(void)gmtime_r(&seconds, &parts);
	(void)strftime(text, size, "%F %T", &parts);
	return text;
}

/* Fit for a line: without control characters, cut for who reads it from a screen. */
static const char *one_line(const char *from, char *text, size_t size)
{
	size_t length = strlen(from);
	bool is_cut = length > size - 4;
	size_t kept = is_cut ? utf8_cut(from, size - 4) : length;

	(void)snprintf(text, size, "%.*s%s", (int)kept, from, is_cut ? "..." : "");
	for (char *at = text; *at; at++)
		if ((unsigned char)*at < ' ')
			*at = ' ';
	return text;
}

static int list_one(void *user, const struct dead_letter *letter)
{
	uint64_t *count = user;
	char time[32], reason[2048];
	size_t shown = isatty(STDOUT_FILENO) ? REASON_SHOWN : sizeof(reason);

	if ((*count)++ == 0)
		(void)printf("%8s  %-19s  %-16s %5s  %s\n", "id", "time (UTC)", "stage", "tries",
			"reason");
	(void)printf("%8" PRId64 "  %s  %-16.16s %5u  %s\n", letter->id,
		print_time(letter->time, time, sizeof(time)), letter->stage, letter->attempts,
		one_line(letter->reason, reason, shown));
	return 0;
}

static int print_record(const struct dead_letter *letter)
{
	struct sl_writer json;
	const char *reason = "";
	int r;

	if (!letter->record) {
		(void)printf("  record    none: it could not be read\n");
		return 0;
	}
	sl_writer_init(&json);
	r = sl_json_print(&json,
		(struct sl_value){ .data = letter->record, .size = letter->record_size }, &reason);
	if (r == 0)
		(void)printf("  record    %.*s\n", (int)json.size, json.data);
	else
		(void)printf("  record    %zu bytes: %s\n", letter->record_size, reason);
	sl_writer_fini(&json);
	return 0;
}

static int show_one(void *user, const struct dead_letter *letter)
{
	uint64_t *count = user;
	char time[40];

	(void)printf("%sletter %" PRId64 " of `%s`, %s UTC\n", (*count)++ > 0 ? "\n" : "",
		letter->id, letter->stage, print_time(letter->time, time, sizeof(time)));
	(void)printf("  reason    %s\n", letter->reason);
	(void)printf("  tries     %u\n", letter->attempts);
	if (letter->where)
		(void)printf("  where     %s\n", letter->where);
	(void)printf("  batch     run %016" PRIx64 ", origin %016" PRIx64 ", from %" PRIu64
		     ", place %u\n",
		letter->in.run, letter->in.origin, letter->in.start, letter->index);
	return print_record(letter);
}

/* What a stage or a path says may be in any encoding. */
static void put_text(struct sl_writer *out, const char *name, const char *text)
{
	_cleanup_free_ char *copy = text ? strdup(text) : NULL;

	sl_put_cstr(out, name);
	if (copy)
		sl_put_cstr(out, utf8_mend(copy));
	else
		sl_put_nil(out);
}

static int export_one(void *user, const struct dead_letter *letter)
{
	struct sl_writer value, json;
	const char *reason = "";
	char time[64], fraction[16];
	uint64_t *count = user;
	int r;

	(*count)++;
	(void)print_time(letter->time, time, sizeof(time));
	time[strcspn(time, " ")] = 'T';
	(void)snprintf(fraction, sizeof(fraction), ".%03dZ",
		(int)(letter->time % NSEC_PER_SEC / NSEC_PER_MSEC));
	(void)strncat(time, fraction, sizeof(time) - strlen(time) - 1);
	sl_writer_init(&value);
	sl_writer_init(&json);
	sl_put_map(&value, 7);
	sl_put_cstr(&value, "id");
	sl_put_int(&value, letter->id);
	put_text(&value, "time", time);
	put_text(&value, "stage", letter->stage);
	put_text(&value, "where", letter->where);
	put_text(&value, "reason", letter->reason);
	sl_put_cstr(&value, "tries");
	sl_put_uint(&value, letter->attempts);
	sl_put_cstr(&value, "record");
	if (letter->record)
		sl_put_value(&value,
			(struct sl_value){ .data = letter->record, .size = letter->record_size });
	else
		sl_put_nil(&value);
	r = sl_record_done(&value);
	if (r == 0)
		r = sl_json_print(&json,
			(struct sl_value){ .data = value.data, .size = value.mark }, &reason);
	if (r == 0)
		(void)printf("%.*s\n", (int)json.size, json.data);
	else
		(void)fprintf(stderr, "letter %" PRId64 " cannot be written as JSON: %s\n",
			letter->id, reason);
	sl_writer_fini(&value);
	sl_writer_fini(&json);
	return 0;
}

static int last_one(void *user, const struct dead_letter *letter)
{
	int64_t *last_and_count = user;

	last_and_count[0] = letter->id;
	last_and_count[1]++;
	return 0;
}

static int say_none(uint64_t count)
{
	if (count == 0)
		(void)printf("no dead letters\n");
	return 0;
}

static int say_last(struct dead *dead, const struct dead_choice *choice, struct err *err)
{
	int64_t last_and_count[2] = { 0, 0 };
	int r = dead_walk(dead, choice, 0, last_one, last_and_count, err);

	if (r == 0)
		(void)printf("%" PRId64 " %" PRId64 "\n", last_and_count[0], last_and_count[1]);
	return r;
}

static int purge(struct dead *dead, const struct dead_choice *choice, struct err *err)
{
	int64_t count = dead_purge(dead, choice, err);
	char text[32];

	if (count < 0)
		return (int)count;
	(void)printf("%s dead letter%s removed\n",
		units_print_count((uint64_t)count, text, sizeof(text)), count == 1 ? "" : "s");
	return 0;
}

static int act(
	struct dead *dead, const char *action, const struct dead_choice *choice, struct err *err)
{
	static const struct {
		const char *name;
		dead_each_fn *each;
	} walks[] = { { "list", list_one }, { "show", show_one }, { "export", export_one } };
	uint64_t count = 0;

	for (size_t i = 0; i < sizeof(walks) / sizeof(walks[0]); i++) {
		int r;

		if (strcmp(action, walks[i].name) != 0)
			continue;
		r = dead_walk(dead, choice, 0, walks[i].each, &count, err);
		return r < 0 || walks[i].each == export_one ? r : say_none(count);
	}
	if (strcmp(action, "purge") == 0)
		return purge(dead, choice, err);
	return say_last(dead, choice, err);
}

int letters_answer(const char *action, const char *state, const struct dead_choice *choice)
{
	struct dead *dead;
	struct err err = { 0 };
	int r = dead_open(state, false, &dead, &err);

	if (r == -ENOENT) {
		if (strcmp(action, "last") == 0)
			(void)printf("0 0\n");
		else if (strcmp(action, "export") != 0)
			(void)say_none(0);
		return EXIT_SUCCESS;
	}
	if (r == 0) {
		r = act(dead, action, choice, &err);
		dead_close(dead);
	}
	if (r < 0)
		(void)fprintf(stderr, "sluice dead: %s\n", err.text);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* --- the source of a replay --------------------------------------------------------------------- */

struct shared {
	const char *stage;
	int64_t last;
};

struct worker {
	struct dead *dead;
	int64_t position; /* the id of the letter that was read last */
};

struct reading {
	struct worker *worker;
	struct sl_cut *cut;
};

static int source_start(struct sl_context *ctx, void *shared, void *worker)
{
	const struct callback *callback = ctx->user;
	struct worker *w = worker;
	struct err err;

	(void)shared;
	return dead_open(callback->host->state, false, &w->dead, &err) < 0
		       ? sl_error(ctx, -EIO, "%s", err.text)
		       : 0;
}

static int read_one(void *user, const struct dead_letter *letter)
{
	struct reading *reading = user;
	struct sl_cut *cut = reading->cut;

	if (cut->out->count >= cut->want || cut->out->mark >= cut->size_max)
		return 1;
	reading->worker->position = letter->id;
	sl_put_value(
		cut->out, (struct sl_value){ .data = letter->record, .size = letter->record_size });
	return sl_record_done(cut->out);
}

static int source_produce(struct sl_context *ctx, void *shared, void *worker, struct sl_cut *cut)
{
	const struct shared *o = shared;
	struct worker *w = worker;
	struct reading reading = { .worker = w, .cut = cut };
	struct dead_choice choice = { .stage = o->stage, .last = o->last, .is_whole = true };
	struct err err = { 0 };
	int r;

	cut->origin = 1;
	cut->start = (uint64_t)w->position;
	r = dead_walk(w->dead, &choice, w->position, read_one, &reading, &err);
	cut->end = (uint64_t)w->position;
	if (r < 0)
		return sl_error(ctx, r, "%s", err.text[0] ? err.text : "no memory");
	return r > 0 ? SL_MORE : SL_END;
}

static void source_stop(struct sl_context *ctx, void *shared, void *worker)
{
	struct worker *w = worker;

	(void)ctx;
	(void)shared;
	dead_close(w->dead);
}

static const struct sl_option options[] = {
	{ SL_OPTION("stage", STRING, struct shared, stage), .required = true },
	{ SL_OPTION("last", INT, struct shared, last), .required = true, .max = INT64_MAX },
	{ 0 },
};

const struct sl_stage letters_source = {
	.abi = SL_ABI,
	.name = GRAPH_DEAD_LETTERS,
	.role = SL_SOURCE,
	.summary = "dead letters of a stage, for it to try again",
	.flags = SL_ONE_PROCESS | SL_ONE_THREAD | SL_CONFINED,
	.shared_size = sizeof(struct shared),
	.worker_size = sizeof(struct worker),
	.start = source_start,
	.produce = source_produce,
	.stop = source_stop,
	.options = options,
};
