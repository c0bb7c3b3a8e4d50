/* SPDX-License-Identifier: MIT */
/*
 * Source "journal": entries of systemd's journal, also those that come later. Origins and positions are those of sequences.h: what was read is
 * read again the same, whatever becomes of the process or the files. One process, one worker.
 */
#include <sluice/stage.h>

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "sequences.h"
#include "since.h"

#define USEC_NS 1000
#define ADVANCE 1000 /* numbers without a match that are worth a checkpoint */
#define AGAIN_AFTER SL_SECOND

struct shared {
	struct matches matches;
	struct sl_strings fields;
	const char *since;
	bool follow;
	uint64_t field_max;
	struct files files;
};

struct worker {
	sd_journal *journal;
	struct sequences sequences;
	struct entry entry;
	int fd; /* with follow */
	unsigned
		folders; /* files_folders when the journal was opened: what comes later is not seen by libsystemd */
	bool has_begun;
	uint64_t done; /* records, for people */
};

/* --- beginning ---------------------------------------------------------------------------------- */

static uint64_t wall_clock(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / USEC_NS;
}

static int check_fields(struct sl_context *ctx, const struct sl_strings *fields)
{
	for (uint32_t i = 0; i < fields->count; i++) {
		if (!entry_is_field(fields->items[i]))
			return sl_error(ctx, -EINVAL,
				"`fields`: \"%.60s\" is no field of a journal: write for instance "
				"\"MESSAGE\"",
				fields->items[i]);
		for (uint32_t j = 0; j < i; j++)
			if (strcmp(fields->items[i], fields->items[j]) == 0)
				return sl_error(ctx, -EINVAL, "`fields`: \"%.60s\" stands twice",
					fields->items[i]);
	}
	return 0;
}

static int journal_check(struct sl_context *ctx, const void *shared)
{
	const struct shared *o = shared;
	uint64_t since;
	int r;

	if (o->files.path && o->files.namespace)
		return sl_error(ctx, -EINVAL,
			"write either `path` or `namespace`: a namespace is of this machine's "
			"journal");
	if (o->since && !since_parse(o->since, wall_clock(), &since))
		return sl_error(ctx, -EINVAL,
			"`since`: \"%.60s\" is no time: write \"now\", \"2h\" for two hours ago, "
			"or "
			"\"2026-11-21 10:00\"",
			o->since);
	r = check_fields(ctx, &o->fields);
	return r == 0 ? matches_check(ctx, &o->matches) : r;
}

static int open_path(const char *path, sd_journal **ret)
{
	const char *const files[] = { path, NULL };
	struct stat st;

	if (stat(path, &st) < 0)
		return -errno;
	if (S_ISDIR(st.st_mode))
		return sd_journal_open_directory(ret, path, 0);
	return sd_journal_open_files(ret, (const char **)files, 0);
}

static int open_journal(struct sl_context *ctx, const struct shared *o, struct worker *w)
{
	int r;

	w->folders = files_folders(&o->files);
	if (o->files.path) {
		r = open_path(o->files.path, &w->journal);
		return r < 0 ? sl_error(ctx, r, "%s: %s: check `path`", o->files.path,
				       strerrordesc_np(-r))
			     : 0;
	}
	r = sd_journal_open_namespace(&w->journal, o->files.namespace, SD_JOURNAL_LOCAL_ONLY);
	return r < 0 ? sl_error(ctx, r, "the journal cannot be opened: %s", strerrordesc_np(-r))
		     : 0;
}

/* Notices are wanted before the first look, so that none is missed. */
static int prepare(struct sl_context *ctx, const struct shared *o, struct worker *w)
{
	int r = sd_journal_set_data_threshold(w->journal, o->field_max + 256);

	if (r == 0)
		r = matches_add(&o->matches, w->journal);
	if (r == 0 && o->follow) {
		w->fd = sd_journal_get_fd(w->journal);
		r = w->fd < 0 ? w->fd : 0;
	}
	return r < 0 ? sl_error(ctx, r, "the journal cannot be followed: %s", strerrordesc_np(-r))
		     : 0;
}

static int journal_start(struct sl_context *ctx, void *shared, void *worker)
{
	struct shared *o = shared;
	struct worker *w = worker;
	int r = open_journal(ctx, o, w);

	if (r < 0)
		return r;
	w->sequences = (struct sequences){
		.journal = w->journal, .files = &o->files, .matches = &o->matches
	};
	entry_init(&w->entry, &o->fields, o->field_max);
	r = prepare(ctx, o, w);
	if (r < 0) {
		sd_journal_close(w->journal);
		entry_fini(&w->entry);
	}
	return r;
}

static void journal_stop(struct sl_context *ctx, void *shared, void *worker)
{
	struct worker *w = worker;

	(void)ctx;
	(void)shared;
	sequences_fini(&w->sequences);
	entry_fini(&w->entry);
	sd_journal_close(w->journal);
}

/* A time that is told from now is that of the first process, for its successors, too: it is kept as an origin. */
static int fix_since(struct sl_context *ctx, const struct shared *o, struct worker *w)
{
	static const char name[] = "since";
	struct sl_origin origin = { .name = name }, kept;
	int r;

	if (!o->since || !since_parse(o->since, wall_clock(), &origin.place.mark))
		return 0;
	origin.origin = XXH3_64bits_withSeed(sl_stage_name(ctx), strlen(sl_stage_name(ctx)), 7);
	origin.origin = XXH3_64bits_withSeed(o->since, strlen(o->since), origin.origin);
	r = sl_checkpoint_begin(ctx, &origin, &kept);
	if (r > 0)
		w->sequences.since = kept.place.mark;
	return r < 0 ? r : 0;
}

static int begin(struct sl_context *ctx, const struct shared *o, struct worker *w)
{
	int r = fix_since(ctx, o, w);

	if (r == 0)
		r = sequences_scan(ctx, &w->sequences);
	if (r < 0)
		return r;
	sequences_recall(ctx, &w->sequences);
	w->has_begun = true;
	if (w->sequences.count == 0)
		sl_log(ctx, SL_LOG_WARNING, "there is no journal%s%s that this user may read%s",
			o->files.path ? " in " : "", o->files.path ? o->files.path : "",
			o->follow ? " yet: waits for one" : "");
	return 0;
}

/* --- cuts --------------------------------------------------------------------------------------- */

static void begin_cut(const struct sequence *sequence, struct sl_cut *cut)
{
	cut->origin = sequence->origin;
	cut->name = sequence->name;
	cut->start = sequence->position;
	cut->end = sequence->position;
	cut->mark = sequence->mark;
	cut->is_apart = true;
}

static void end_cut(struct sequence *sequence, struct sl_cut *cut, uint64_t end)
{
	cut->end = end;
	cut->mark = sequence->mark;
	sequence->position = end;
}

/* The entry at which the journal stands. */
static int take(
	struct sl_context *ctx, struct worker *w, struct sequence *sequence, struct sl_writer *out)
{
	uint64_t time = 1;
	int r = entry_put(ctx, &w->entry, w->journal, &w->sequences.place, out);

	if (r < 0)
		return r;
	(void)sd_journal_get_realtime_usec(w->journal, &time);
	sequence->mark = time;
	sequence->position = w->sequences.place.number + 1;
	w->done++;
	return 0;
}

static bool is_full(const struct sl_cut *cut)
{
	return cut->out->count >= cut->want || cut->out->size >= cut->size_max;
}

/* Entries up to a number. 1: there may be more; 0: there are none now; 2: up to there. */
static int take_many(struct sl_context *ctx, struct worker *w, struct sequence *sequence,
	struct sl_cut *cut, uint64_t until, bool is_again)
{
	int r;

	while (is_again || !is_full(cut)) {
		r = sequences_next(ctx, &w->sequences, sequence);
		if (r <= 0)
			return r;
		if (until && w->sequences.place.number >= until)
			return 2;
		r = take(ctx, w, sequence, cut->out);
		if (r < 0)
			return r;
	}
	return 1;
}

/* A cut that was made before: what is there of it. */
static int cut_again(struct sl_context *ctx, struct worker *w, struct sl_cut *cut)
{
	struct sequence *sequence = sequences_find(ctx, &w->sequences, cut->origin);
	struct sl_place place;
	int r;

	if (!sequence) {
		cut->origin = 0;
		return SL_END;
	}
	if (sl_checkpoint(ctx, cut->origin, &place))
		sequence->position = place.position;
	begin_cut(sequence, cut);
	r = take_many(ctx, w, sequence, cut, cut->until, true);
	end_cut(sequence, cut, cut->until);
	return r < 0 ? r : SL_MORE;
}

/* Its files have gone, and with them what was not read. */
static int cut_ended(struct sl_context *ctx, struct sequence *sequence, struct sl_cut *cut)
{
	if (!sequence->is_read)
		sl_log_about(ctx, SL_ABOUT_MISSED, SL_LOG_WARNING,
			"%s: its files are not there any more: what they held behind entry %llu, "
			"if "
			"anything, was not read",
			sequence->name, (unsigned long long)sequence->position - 1);
	sequence->is_done = true;
	begin_cut(sequence, cut);
	cut->origin_done = true;
	return SL_MORE;
}

/* Where nothing matches: up to what was there when it was last looked at, but for an entry that may have been in the making. */
static void pass_over(
	const struct shared *o, struct sequence *sequence, uint64_t bound, struct sl_cut *cut)
{
	uint64_t end = bound && bound < sequence->last ? bound : sequence->last;

	sequence->is_read = true;
	if (cut->out->count > 0 || end <= sequence->position)
		return;
	if (o->follow && end - sequence->position < ADVANCE)
		return;
	sequence->mark = bound && end == bound ? 0 : wall_clock();
	end_cut(sequence, cut, end);
}

/* 1: a cut is made; 0: there is nothing of this sequence. */
static int cut_of(struct sl_context *ctx, const struct shared *o, struct worker *w,
	struct sequence *sequence, struct sl_cut *cut)
{
	uint64_t bound = sl_bound(ctx, sequence->origin, sequence->position);
	int r;

	begin_cut(sequence, cut);
	r = take_many(ctx, w, sequence, cut, bound, false);
	if (r < 0)
		return r;
	end_cut(sequence, cut, sequence->position);
	if (r == 0)
		pass_over(o, sequence, bound, cut);
	if (r == 2) {
		sequence->mark = 0;
		end_cut(sequence, cut, bound);
	}
	return cut->end > cut->start;
}

/* The sequences take turns. */
static int cut_next(
	struct sl_context *ctx, const struct shared *o, struct worker *w, struct sl_cut *cut)
{
	struct sequences *s = &w->sequences;
	int r = 0;

	for (uint32_t i = 0; i < s->count && r == 0; i++) {
		struct sequence *sequence = &s->items[s->turn++ % s->count];

		if (sequence->is_ended && !sequence->is_done)
			return cut_ended(ctx, sequence, cut) == SL_MORE;
		if (!sequence->is_ended && !sequence->is_read)
			r = cut_of(ctx, o, w, sequence, cut);
	}
	return r;
}

/* --- waiting ------------------------------------------------------------------------------------ */

/* Until something has happened to the files; 1: a folder of the journal has come that was not there. */
static int wait_for_event(
	struct sl_context *ctx, const struct shared *o, const struct worker *w, int events)
{
	uint64_t usec = UINT64_MAX;
	int r = sd_journal_get_timeout(w->journal, &usec);
	int64_t until = usec < SL_NEVER / USEC_NS ? (int64_t)usec * USEC_NS : SL_NEVER;

	if (r < 0)
		return sl_error(ctx, r, "the journal cannot be waited for");
	if (w->folders == FILES_FOLDERS_ALL) {
		r = sl_wait_fd(ctx, w->fd, (short)events, until);
		return r == -ETIMEDOUT ? 0 : r;
	}
	do {
		int64_t look = sl_now() + AGAIN_AFTER;

		r = sl_wait_fd(ctx, w->fd, (short)events, look < until ? look : until);
		if (files_folders(&o->files) & ~w->folders)
			return r < 0 && r != -ETIMEDOUT ? r : 1;
	} while (r == -ETIMEDOUT && sl_now() < until);
	return r == -ETIMEDOUT ? 0 : r;
}

static int open_again(struct sl_context *ctx, const struct shared *o, struct worker *w)
{
	int r;

	sequences_wake(&w->sequences, true);
	sd_journal_close(w->journal);
	w->sequences.journal = w->journal = NULL;
	r = open_journal(ctx, o, w);
	w->sequences.journal = w->journal;
	return r < 0 ? r : prepare(ctx, o, w);
}

static int wait_for_more(struct sl_context *ctx, const struct shared *o, struct worker *w)
{
	int events = sd_journal_get_events(w->journal);
	int r;

	if (events < 0)
		return sl_error(ctx, events, "the journal cannot be waited for");
	r = wait_for_event(ctx, o, w, events);
	if (r < 0)
		return r;
	if (r > 0) {
		r = open_again(ctx, o, w);
		return r < 0 ? r : sequences_scan(ctx, &w->sequences);
	}
	r = sd_journal_process(w->journal);
	if (r < 0)
		return sl_error(ctx, r, "the journal: %s", strerrordesc_np(-r));
	sequences_wake(&w->sequences, r == SD_JOURNAL_INVALIDATE);
	return sequences_scan(ctx, &w->sequences);
}

static int begin_or_wait(struct sl_context *ctx, const struct shared *o, struct worker *w)
{
	int r = w->has_begun ? wait_for_more(ctx, o, w) : begin(ctx, o, w);

	while (r == -EAGAIN) {
		r = sl_sleep_until(ctx, sl_now() + AGAIN_AFTER);
		if (r == 0)
			r = w->has_begun ? sequences_scan(ctx, &w->sequences) : begin(ctx, o, w);
	}
	return r;
}

static int journal_produce(struct sl_context *ctx, void *shared, void *worker, struct sl_cut *cut)
{
	const struct shared *o = shared;
	struct worker *w = worker;
	int r = w->has_begun ? 0 : begin_or_wait(ctx, o, w);

	if (r < 0)
		return r;
	if (cut->until)
		return cut_again(ctx, w, cut);
	while ((r = cut_next(ctx, o, w, cut)) == 0 && o->follow) {
		r = begin_or_wait(ctx, o, w);
		if (r < 0)
			return r;
	}
	sl_progress(ctx, w->done, 0, "records");
	if (r < 0)
		return r;
	if (r == 0 && w->sequences.count == 0)
		cut->origin = 0;
	return r == 0 ? SL_END : SL_MORE;
}

/* Either folder of the machine's journal may come later: with `Storage=auto` journald moves from one to the other. */
static void journal_files(struct sl_context *ctx, const void *shared, sl_files_fn *tell, void *user)
{
	const struct shared *o = shared;

	(void)ctx;
	if (o->files.path) {
		tell(user, o->files.path, SL_FILES_READ);
		return;
	}
	tell(user, "/run/log/journal", SL_FILES_READ);
	tell(user, "/var/log/journal", SL_FILES_READ);
	/* Names of folders. */
	tell(user, "/etc/machine-id", SL_FILES_READ | SL_FILES_EXACT);
}

static const struct sl_option options[];

static const struct sl_stage journal_source = {
	.abi = SL_ABI,
	.name = "journal",
	.role = SL_SOURCE,
	.summary = "entries of systemd's journal, also those that come later",
	.flags = SL_ONE_PROCESS | SL_ONE_THREAD | SL_RESUMES | SL_WAITS | SL_CONFINED |
		 SL_NEEDS_FILES,
	.shared_size = sizeof(struct shared),
	.worker_size = sizeof(struct worker),
	.check = journal_check,
	.start = journal_start,
	.produce = journal_produce,
	.stop = journal_stop,
	.files = journal_files,
	.options = options,
};

/* clang-format off */
static const struct sl_option options[] = {
	{ SL_OPTION("unit", STRINGS, struct shared, matches.unit),
	  .help = "only what these units log, or systemd logs of them", .example = "[ \"ssh.service\", \"cron.service\" ]" },
	{ SL_OPTION("priority", CHOICE, struct shared, matches.priority), .fallback = "any", .choices = priority_names,
	  .help = "only entries that are so grave, or graver", .example = "\"warning\"" },
	{ SL_OPTION("match", STRINGS, struct shared, matches.match),
	  .help = "only entries with these fields: all of them; any of those of one field; \"+\" between groups is or",
	  .example = "[ \"_TRANSPORT=kernel\", \"+\", \"_COMM=sshd\" ]" },
	{ SL_OPTION("fields", STRINGS, struct shared, fields),
	  .help = "the fields that a record has, of those that the entry has; absent: all", .example = "[ \"__REALTIME_TIMESTAMP\", \"_SYSTEMD_UNIT\", \"MESSAGE\" ]" },
	{ SL_OPTION("since", STRING, struct shared, since),
	  .help = "where the first start begins: \"now\", how long ago, or a time; absent: with the oldest entry", .example = "\"2h\"" },
	{ SL_OPTION("follow", BOOL, struct shared, follow), .fallback = "false",
	  .help = "at the end wait for more, instead of ending", .example = "true" },
	{ SL_OPTION("namespace", STRING, struct shared, files.namespace),
	  .help = "a namespace of this machine's journal; absent: the default one", .example = "\"noisy\"" },
	{ SL_OPTION("path", STRING, struct shared, files.path),
	  .help = "a folder with files of a journal, or one such file; absent: this machine's", .example = "\"/var/log/journal/remote\"" },
	{ SL_OPTION("field_max", SIZE, struct shared, field_max), .fallback = "16MiB", .min = 1024, .max = 1 << 30,
	  .help = "the longest field; an entry with a longer one is refused", .example = "\"1MiB\"" },
	{ 0 },
};
/* clang-format on */

SL_MODULE(&journal_source);
