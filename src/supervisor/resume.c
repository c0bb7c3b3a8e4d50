/* SPDX-License-Identifier: MIT */
/* See resume.h. */
#include "supervisor/resume.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#define BOOT_UNKNOWN "unknown"

enum how { NONE, RUNNING, STOPPED, FINISHED, HOW_COUNT };

static const char *const how_names[HOW_COUNT] = { "none", "running", "stopped", "finished" };

struct last {
	enum how how;
	uint64_t run;
	uint64_t series;
	char begun[40];
	char boot[40]; /* "" in a file of an older version */
};

static int path_of(const struct plan *plan, const char *name, char *path)
{
	return snprintf(path, PATH_MAX, "%s/%s", plan->state, name) >= PATH_MAX ? -ENAMETOOLONG : 0;
}

static enum how how_of(const char *text)
{
	for (int i = 0; i < HOW_COUNT; i++)
		if (strcmp(how_names[i], text) == 0)
			return (enum how)i;
	return HOW_COUNT;
}

/* systemd writes it without dashes. */
static void leave_out_dashes(char *text)
{
	char *to = text;

	for (const char *at = text; *at; at++)
		if (*at != '-')
			*to++ = *at;
	*to = '\0';
}

/* 0, also when there is none; -EBADMSG. */
static int read_last(const struct plan *plan, struct last *ret, struct err *err)
{
	char path[PATH_MAX], how[16];
	struct last last = { 0 };
	FILE *file;
	int found;

	*ret = last;
	if (path_of(plan, "run", path) < 0)
		return err_set(err, -ENAMETOOLONG, "%s: the path is too long", plan->state);
	file = fopen(path, "re");
	if (!file)
		return errno == ENOENT
			       ? 0
			       : err_set(err, -errno, "cannot read %s: %s", path, err_name(errno));
	found = fscanf(file,
		"run %" SCNx64 "\nseries %" SCNx64 "\nhow %15s\nbegun %39[^\n]\nboot %39s",
		&last.run, &last.series, how, last.begun, last.boot);
	(void)fclose(file);
	if (found >= 4)
		last.how = how_of(how);
	leave_out_dashes(last.boot);
	if (found < 4 || last.how == HOW_COUNT || last.how == NONE)
		return err_set(err, -EBADMSG,
			"%s, which names the last run, is damaged: remove it, and say "
			"--from-start to begin anew, or --resume to go on where the checkpoints "
			"stand",
			path);
	*ret = last;
	return 0;
}

/* What was renamed in it stays so. */
static bool sync_folder(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool is_synced = fd >= 0 && fsync(fd) == 0;

	if (fd >= 0)
		(void)close(fd);
	return is_synced;
}

/* The old one or the whole new one, also after a power cut. */
static int write_last(const struct plan *plan, const struct last *last, struct err *err)
{
	char path[PATH_MAX], next[PATH_MAX];
	FILE *file;
	bool is_written;

	if (path_of(plan, "run", path) < 0 || path_of(plan, "run.next", next) < 0)
		return err_set(err, -ENAMETOOLONG, "%s: the path is too long", plan->state);
	file = fopen(next, "we");
	if (!file)
		return err_set(err, -errno, "cannot write %s: %s", next, err_name(errno));
	(void)fprintf(file,
		"run %016" PRIx64 "\nseries %016" PRIx64 "\nhow %s\nbegun %s\nboot %s\n", last->run,
		last->series, how_names[last->how], last->begun, last->boot);
	is_written = fflush(file) == 0 && fsync(fileno(file)) == 0;
	if (fclose(file) != 0 || !is_written || rename(next, path) < 0 || !sync_folder(plan->state))
		return err_set(err, errno ? -errno : -EIO, "cannot write %s: %s", path,
			err_name(errno ? errno : EIO));
	return 0;
}

/* Of the kernel, since it was started: a unit with ProcSubset=pid says it, since it hides the file. */
static void read_boot(char *text, size_t size)
{
	const char *given = getenv("SLUICE_BOOT_ID");
	FILE *file = given ? NULL : fopen("/proc/sys/kernel/random/boot_id", "re");

	if (given)
		(void)snprintf(text, size, "%s", given);
	else if (!file || !fgets(text, (int)size, file))
		(void)snprintf(text, size, BOOT_UNKNOWN);
	text[strcspn(text, "\n")] = '\0';
	leave_out_dashes(text);
	if (file)
		(void)fclose(file);
}

uint64_t resume_random(void)
{
	uint64_t number = 0;

	/* Not 0, which is nobody's. */
	while (number == 0)
		if (getrandom(&number, sizeof(number), 0) != sizeof(number))
			number = (uint64_t)time(NULL) << 20 | (uint64_t)getpid();
	return number;
}

/* The name of the first source that cannot go on, or NULL. */
static const char *find_forgetful(const struct graph *graph)
{
	for (uint32_t i = 0; i < graph->stage_count; i++)
		if (graph->stages[i].role == SL_SOURCE &&
			!(graph->stages[i].flags & (SL_RESUMES | GRAPH_DURABLE)))
			return graph->stages[i].name;
	return NULL;
}

static struct last begin_anew(uint64_t series)
{
	struct last last = { .how = RUNNING, .run = resume_random() };
	time_t now = time(NULL);
	struct tm tm;

	last.series = series ? series : last.run;
	(void)strftime(last.begun, sizeof(last.begun), "%Y-%m-%d %H:%M:%S", localtime_r(&now, &tm));
	return last;
}

/* What comes after `last`: *ret_resumed: the same run goes on. */
static struct last decide(const struct plan *plan, enum resume_mode mode, const struct last *last,
	bool *ret_resumed, char *note, size_t size)
{
	const char *forgetful = find_forgetful(plan->graph);
	bool is_open = last->how == RUNNING || last->how == STOPPED;
	struct last next;

	*ret_resumed = false;
	if (mode == RESUME_NEVER || last->how == NONE)
		return begin_anew(0);
	if (mode == RESUME_UNFINISHED && !is_open)
		return begin_anew(0);
	if (mode == RESUME_UNFINISHED && forgetful) {
		(void)snprintf(note, size,
			"begins anew: the source `%s` cannot go on where it stood (--resume lets "
			"the others)",
			forgetful);
		return begin_anew(0);
	}
	if (!is_open)
		return begin_anew(last->series);
	*ret_resumed = true;
	next = *last;
	next.how = RUNNING;
	(void)snprintf(note, size,
		"goes on with the run of %s, which %s (--from-start begins anew)", last->begun,
		last->how == STOPPED ? "was stopped" : "ended in the middle");
	return next;
}

int resume_begin(const struct plan *plan, enum resume_mode mode, struct resume *ret, char *ret_note,
	size_t note_size, struct err *err)
{
	struct last last, next;
	char boot[40];
	int r;

	read_boot(boot, sizeof(boot));
	ret_note[0] = '\0';
	ret->is_resumed = false;
	ret->must_go_back = false;
	ret->boot_is_unknown = false;
	if (mode == RESUME_APART) {
		ret->run = resume_random();
		ret->series = ret->run;
		return 0;
	}
	r = read_last(plan, &last, err);
	if (r < 0 && mode != RESUME_NEVER)
		return r;
	next = decide(plan, mode, &last, &ret->is_resumed, ret_note, note_size);
	/* What it had written when the machine went down may be lost, here and there. The file says so until that is mended. */
	ret->must_go_back = last.how == RUNNING && next.series == last.series && last.boot[0] &&
			    strcmp(last.boot, boot) != 0;
	(void)snprintf(next.boot, sizeof(next.boot), "%s", ret->must_go_back ? last.boot : boot);
	ret->boot_is_unknown = strcmp(boot, BOOT_UNKNOWN) == 0;
	ret->run = next.run;
	ret->series = next.series;
	return write_last(plan, &next, err);
}

int resume_went_back(const struct plan *plan, const struct resume *resume, struct err *err)
{
	struct last last;
	int r = read_last(plan, &last, err);

	if (r < 0 || last.run != resume->run)
		return r;
	read_boot(last.boot, sizeof(last.boot));
	return write_last(plan, &last, err);
}

int resume_end(
	const struct plan *plan, const struct resume *resume, bool is_stopped, struct err *err)
{
	struct last last;
	int r = read_last(plan, &last, err);

	if (r < 0 || last.run != resume->run)
		return r;
	last.how = is_stopped ? STOPPED : FINISHED;
	return write_last(plan, &last, err);
}

bool resume_is_unsettled(const struct plan *plan)
{
	struct err err;
	struct last last;

	return read_last(plan, &last, &err) == 0 && last.how == RUNNING;
}
