/* SPDX-License-Identifier: MIT */
/* See load.h. */
#include "load.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

bool load_is_stopped(const struct load *load)
{
	struct pollfd fd = { .fd = load->stop_fd, .events = POLLIN };

	return poll(&fd, 1, 0) > 0;
}

static bool is_same(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

bool load_has_changed(struct load *load)
{
	struct stat st;

	switch (lookup_home(load->options)) {
	case HOME_POSTGRES:
		return true;
	case HOME_SQLITE:
		return load_sqlite_has_changed(load);
	default:
		return !load->is_seen || stat(load->options->path, &st) < 0 ||
		       !is_same(&st, &load->seen);
	}
}

/* --- files -------------------------------------------------------------------------------------- */

static void refuse(
	void *user, uint64_t line, const char *reason, const char *text, size_t text_size)
{
	struct problem *problem = user;

	(void)text;
	(void)text_size;
	if (problem->error == 0)
		(void)problem_say(
			problem, -EINVAL, "line %llu: %s", (unsigned long long)line, reason);
}

static int read_rows(struct load *load, struct build *build, struct sl_decoder *decoder)
{
	struct sl_writer row;
	uint64_t position;
	int r = 0, added = 0;

	sl_writer_init(&row);
	while (r == 0 && added == 0) {
		sl_writer_reset(&row);
		r = sl_decoder_read(decoder, &row, 1, SIZE_MAX, &position);
		if (build->problem->error < 0)
			added = build->problem->error;
		else if (r >= 0 && row.count > 0)
			added = build_add(build, (struct sl_value){ row.data, row.size });
		if (build->rows % 1024 == 0 && load_is_stopped(load))
			added = -ECANCELED;
	}
	sl_writer_fini(&row);
	if (added < 0)
		return added;
	return r == SL_DECODE_END
		       ? 0
		       : problem_say(build->problem, r, "%s", sl_decoder_reason(decoder));
}

static int read_file(struct load *load, struct build *build, int fd)
{
	const struct lookup *o = load->options;
	const struct sl_codec codec = {
		.format = lookup_format(o),
		.compression = sl_compression_of(o->path),
		.delimiter = o->delimiter,
	};
	struct sl_decoder *decoder;
	int r = 0;

	decoder = sl_decoder_new(&codec, fd, refuse, build->problem, &r);
	if (!decoder)
		return problem_say(build->problem, r, "it cannot be read: %s", strerror(-r));
	r = read_rows(load, build, decoder);
	sl_decoder_free(decoder);
	return r;
}

/* One that changes while it is read is not whole: neither what was read, nor what was wrong with it, says anything. */
int load_file(struct load *load, struct build *build)
{
	int fd = open(load->options->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat after;
	int r;

	if (fd < 0)
		return problem_say(
			build->problem, -errno, "it cannot be opened: %s", strerror(errno));
	if (fstat(fd, &load->seen) < 0 || !S_ISREG(load->seen.st_mode)) {
		(void)close(fd);
		return problem_say(build->problem, -EINVAL, "it is no regular file");
	}
	load->is_seen = true;
	r = read_file(load, build, fd);
	if (r != -ECANCELED && (fstat(fd, &after) < 0 || !is_same(&after, &load->seen))) {
		load->is_seen = false;
		r = problem_say(build->problem, -EAGAIN, "it is being written");
	}
	(void)close(fd);
	return r;
}

/* --- all ---------------------------------------------------------------------------------------- */

static int read_home(struct load *load, struct build *build)
{
	switch (lookup_home(load->options)) {
	case HOME_POSTGRES:
		return load_postgres(load, build);
	case HOME_SQLITE:
		return load_sqlite(load, build);
	default:
		return load_file(load, build);
	}
}

int load_table(struct load *load, struct problem *problem, struct table **ret)
{
	struct build build;
	int r;

	*problem = (struct problem){ 0 };
	r = build_init(&build, load->options, problem);
	if (r == 0)
		r = read_home(load, &build);
	if (r == 0)
		r = build_end(&build, ret);
	build_fini(&build);
	return r;
}

void load_fini(struct load *load)
{
	(void)sqlite3_close_v2(load->db);
	load->db = NULL;
}
