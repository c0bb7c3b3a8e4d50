/* SPDX-License-Identifier: MIT */
/* See show.h. */
#include "cli/show.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/units.h"
#include "link/tally.h"

#define PLAIN_INTERVAL (5 * NSEC_PER_SEC)
#define SAMPLE_INTERVAL (NSEC_PER_SEC / 2)

/* One stage, summed over its instances. */
struct row {
	uint64_t in, out, dead, queued, held, done, total;
	uint32_t running, processes, restarts;
	bool is_bytes;
	enum page_blocked blocked;
};

void show_init(struct show *show, bool is_quiet)
{
	const char *term = getenv("TERM");

	*show = (struct show){
		.is_terminal = isatty(STDERR_FILENO) && term && strcmp(term, "dumb") != 0,
		.is_quiet = is_quiet,
		.started_ns = clock_now(),
		.last_ns = clock_now(),
		.sampled_ns = clock_now(),
	};
}

static void erase(struct show *show)
{
	if (show->drawn > 0)
		(void)fprintf(stderr, "\r\033[%uA\033[J", show->drawn);
	show->drawn = 0;
}

static void print_line(struct show *show, const struct log_line *line)
{
	const char *mark = line->level <= LOG_LEVEL_ERROR ? "error: " : "";
	char whose[128];

	if (show->is_quiet && line->level > LOG_LEVEL_WARNING)
		return;
	erase(show);
	(void)fprintf(stderr, "sluice: %s%s%s\n", log_whose(line, whose, sizeof(whose)), mark,
		line->text);
}

/* A hundred thousand records that are wrong in one way are no reason for as many lines. */
static void say_more(struct show *show, bool is_end)
{
	struct log_line line;
	uint32_t count;

	while (show->repeats && repeats_due(show->repeats, clock_now(), is_end, &line, &count)) {
		char text[128];

		(void)snprintf(text, sizeof(text), "%u more records were refused for such a reason",
			count);
		line.text = text;
		print_line(show, &line);
	}
}

void show_line(void *user, const struct log_line *line)
{
	struct show *show = user;

	if (show->journal)
		journal_line(show->journal, line);
	else if (!show->repeats || line->event != LOG_EVENT_REFUSED ||
		 repeats_take(show->repeats, line, clock_now()))
		print_line(show, line);
}

static void say(struct show *show, enum log_event event, int level, const char *text)
{
	show_line(show, &(struct log_line){ .level = level, .event = event, .text = text });
}

void show_stopping(void *user)
{
	say(user, LOG_EVENT_STOPPING, LOG_LEVEL_WARNING,
		"stopping: what was read is being settled; Ctrl-C again stops at once");
}

static struct row sum(const struct supervisor *supervisor, uint32_t stage)
{
	struct row row = { 0 };

	for (uint32_t i = 0; i < supervisor_child_count(supervisor); i++) {
		struct supervisor_child child = supervisor_child(supervisor, i);

		if (child.stage != stage)
			continue;
		row.in += page_get(child.page->records_in);
		row.out += page_get(child.page->records_out);
		row.dead += page_get(child.page->records_dead);
		row.queued += page_get(child.page->queued);
		row.held += page_get(child.page->held_bytes);
		row.done += page_get(child.page->progress_done);
		row.total += page_get(child.page->progress_total);
		row.is_bytes = page_get(child.page->progress_is_bytes);
		row.blocked = page_get(child.page->blocked);
		row.running += child.pid > 0;
		row.processes++;
		row.restarts += child.restarts;
	}
	return row;
}

static void sample(struct show *show, const struct supervisor *supervisor, int64_t now)
{
	const struct graph *graph = supervisor_graph(supervisor);
	double seconds = (double)(now - show->sampled_ns) / NSEC_PER_SEC;

	if (now - show->sampled_ns < SAMPLE_INTERVAL)
		return;
	show->sampled_ns = now;
	for (uint32_t i = 0; i < graph->stage_count && i < SHOW_STAGES_MAX; i++) {
		struct row row = sum(supervisor, i);

		/* After a reload the counters begin at 0 again. */
		show->rate[i] =
			row.in > show->before[i] ? (double)(row.in - show->before[i]) / seconds : 0;
		show->before[i] = row.in;
	}
}

/* "12.3 MiB of 40.0 MiB, 3 s left", or "" where the source does not know. */
static const char *progress(const struct show *show, const struct row *row, char *text, size_t size)
{
	char done[32], total[32], left[32];
	double elapsed = (double)(clock_now() - show->started_ns);

	text[0] = '\0';
	if (row->total == 0 || row->done == 0 || row->total < row->done)
		return text;
	if (row->is_bytes) {
		(void)units_print_size(row->done, done, sizeof(done));
		(void)units_print_size(row->total, total, sizeof(total));
	} else {
		(void)units_print_count(row->done, done, sizeof(done));
		(void)units_print_count(row->total, total, sizeof(total));
	}
	(void)units_print_duration(
		(int64_t)(elapsed * (double)(row->total - row->done) / (double)row->done), left,
		sizeof(left));
	(void)snprintf(text, size, "%s of %s, %s left", done, total, left);
	return text;
}

static const char *waiting(const struct row *row)
{
	switch (row->blocked) {
	case PAGE_NO_CREDIT:
		return "waits for downstream";
	case PAGE_NO_ROOM:
		return "waits: retain is full";
	default:
		return "";
	}
}

static void draw(struct show *show, const struct supervisor *supervisor)
{
	const struct graph *graph = supervisor_graph(supervisor);

	erase(show);
	(void)fprintf(stderr, "%-16s %5s %14s %14s %12s %6s  %s\n", "stage", "procs", "in", "out",
		"records/s", "queue", "");
	show->drawn++;
	for (uint32_t i = 0; i < graph->stage_count && i < SHOW_STAGES_MAX; i++) {
		const struct graph_stage *stage = &graph->stages[i];
		struct row row = sum(supervisor, i);
		char in[32], out[32], rate[32], more[128];
		struct fill fill;

		(void)units_print_count(row.in, in, sizeof(in));
		(void)units_print_count(row.out, out, sizeof(out));
		(void)units_print_count((uint64_t)show->rate[i], rate, sizeof(rate));
		(void)progress(show, &row, more, sizeof(more));
		if (supervisor_fill(supervisor, i, &fill))
			(void)fill_print(&fill, more, sizeof(more));
		(void)fprintf(stderr, "%-16.16s %2u/%-2u %14s %14s %12s %6llu  %s\n", stage->name,
			row.running, row.processes, in, stage->role == SL_SINK ? "" : out, rate,
			(unsigned long long)row.queued, more[0] ? more : waiting(&row));
		show->drawn++;
	}
}

static void plain_line(struct show *show, const struct supervisor *supervisor)
{
	const struct graph *graph = supervisor_graph(supervisor);
	char line[1024];
	size_t at = 0;

	for (uint32_t i = 0; i < graph->stage_count && i < SHOW_STAGES_MAX && at < sizeof(line);
		i++) {
		struct row row = sum(supervisor, i);
		char in[32];
		int n = snprintf(line + at, sizeof(line) - at, "%s%s %s", i ? ", " : "",
			graph->stages[i].name, units_print_count(row.in, in, sizeof(in)));

		at += n > 0 ? (size_t)n : 0;
	}
	say(show, LOG_EVENT_NONE, LOG_LEVEL_INFO, line);
}

void show_tick(void *user, const struct supervisor *supervisor)
{
	struct show *show = user;
	int64_t now = clock_now();

	if (show->journal)
		return;
	say_more(show, false);
	sample(show, supervisor, now);
	if (show->is_quiet)
		return;
	if (show->is_terminal) {
		draw(show, supervisor);
	} else if (now - show->last_ns >= PLAIN_INTERVAL) {
		show->last_ns = now;
		plain_line(show, supervisor);
	}
}

/* --- the end ------------------------------------------------------------------------------------ */

static uint64_t received(const struct graph_stage *stage, const uint64_t *tally)
{
	uint64_t in = 0;

	for (uint32_t i = 0; i < stage->input_count; i++)
		in += tally[tally_received(stage->inputs[i])];
	return in;
}

/* Several stages that take from one port each get every record; so the most that any got is what was made. */
static uint64_t sent(
	const struct graph *graph, const struct graph_stage *stage, const uint64_t *tally)
{
	uint64_t all = 0;

	for (uint32_t port = 0; port < stage->port_count; port++) {
		uint64_t most = 0;

		for (uint32_t i = 0; i < stage->output_count; i++) {
			uint64_t one = tally[tally_sent(stage->outputs[i])];

			if (graph->links[stage->outputs[i]].port == port && one > most)
				most = one;
		}
		all += most;
	}
	return all;
}

static void print_table(const struct supervisor *supervisor, const uint64_t *tally)
{
	const struct graph *graph = supervisor_graph(supervisor);

	(void)fprintf(
		stderr, "%-16s %14s %14s %10s %9s\n", "stage", "in", "out", "given up", "restarts");
	for (uint32_t i = 0; i < graph->stage_count; i++) {
		const struct graph_stage *stage = &graph->stages[i];
		uint64_t dead = tally[tally_dead(graph, i)];
		uint64_t in = stage->role == SL_SOURCE ? tally[tally_consumed(graph, i)] + dead
						       : received(stage, tally);
		uint64_t out = stage->role == SL_SINK ? tally[tally_consumed(graph, i)]
						      : sent(graph, stage, tally);
		char in_text[32], out_text[32], dead_text[32];

		(void)fprintf(stderr, "%-16.16s %14s %14s %10s %9u\n", stage->name,
			units_print_count(in, in_text, sizeof(in_text)),
			units_print_count(out, out_text, sizeof(out_text)),
			units_print_count(dead, dead_text, sizeof(dead_text)),
			sum(supervisor, i).restarts);
	}
}

/* Whose store was full; these are no dead letters. */
static void print_dropped(const struct graph *graph, const uint64_t *tally)
{
	struct graph_store store;
	char count[32];

	for (uint32_t i = 0; i < graph->stage_count; i++)
		if (graph_store(graph, i, &store) == 0 && store.drops &&
			tally[tally_dead(graph, i)] > 0)
			(void)fprintf(stderr,
				"dropped before `%s`, whose store was full: %s records\n",
				graph->stages[graph->links[graph->stages[store.out].outputs[0]]
						      .downstream]
					.name,
				units_print_count(
					tally[tally_dead(graph, i)], count, sizeof(count)));
}

/* What to do next. */
static void print_commands(const struct supervisor_result *result, const struct again *again)
{
	if (result->is_stopped) {
		(void)fputc('`', stderr);
		again_print(stderr, "run", again);
		(void)fputs("` goes on from here\n", stderr);
	}
	if (result->letters > 0) {
		struct again dead = *again;

		dead.runtime = NULL;
		(void)fputs("what was given up is kept: ", stderr);
		again_print(stderr, "dead list", &dead);
		(void)fputc('\n', stderr);
	}
}

static void say_to_journal(struct show *show, const struct supervisor_result *result,
	const char *text, const struct again *again)
{
	char whole[AGAIN_TEXT_MAX], before[256];

	(void)snprintf(before, sizeof(before), "%s, kept: ", text);
	again_text(whole, before, "dead list", again);
	say(show, LOG_EVENT_ENDED, result->given_up > 0 ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO,
		result->letters > 0 ? whole : text);
}

void show_end(struct show *show, const struct supervisor *supervisor,
	const struct supervisor_result *result, const struct again *again)
{
	const struct graph *graph = supervisor_graph(supervisor);
	uint64_t dead = result->given_up;
	char elapsed[32], count[32], text[200];

	say_more(show, true);
	erase(show);
	if (result->end == SUPERVISOR_FAILED) {
		say(show, LOG_EVENT_FAILED, LOG_LEVEL_ERROR, result->reason);
		return;
	}
	if (show->is_quiet)
		return;
	(void)units_print_duration(result->elapsed_ns, elapsed, sizeof(elapsed));
	(void)units_print_count(dead, count, sizeof(count));
	(void)snprintf(text, sizeof(text), "%s in %s: every record that was read is %s%s",
		result->is_stopped ? "stopped" : "done", elapsed,
		dead ? "accounted for; given up: " : "accounted for", dead ? count : "");
	if (show->journal) {
		say_to_journal(show, result, text, again);
		return;
	}
	print_table(supervisor, result->tally);
	print_dropped(graph, result->tally);
	(void)fprintf(stderr, "%s\n", text);
	print_commands(result, again);
}
