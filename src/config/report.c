/* SPDX-License-Identifier: MIT */
/* See report.h. */
#include "config/report.h"

#include <errno.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/secret.h"

struct report {
	FILE *out;
	bool is_journal;
	unsigned error_count;
};

static void print(void *user, bool is_error, const char *file, unsigned line, const char *text)
{
	struct report *report = user;
	_cleanup_free_ char *shown = strdup(text);

	if (report->is_journal)
		(void)fprintf(report->out, "<%d>", is_error ? LOG_LEVEL_ERROR : LOG_LEVEL_WARNING);
	(void)fputs(file, report->out);
	if (line > 0)
		(void)fprintf(report->out, ":%u", line);
	(void)fprintf(report->out, ": %s%s\n",
		is_error ? "" : "warning: ", shown ? secret_hide(shown) : err_name(ENOMEM));
	report->error_count += is_error;
}

static int write_all(int fd, const char *data, size_t size)
{
	while (size > 0) {
		ssize_t n = write(fd, data, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		data += n;
		size -= (size_t)n;
	}
	return 0;
}

static int write_graph(const struct graph *graph, int fd)
{
	struct sl_writer bytes;
	int r;

	sl_writer_init(&bytes);
	r = graph_encode(graph, &bytes);
	if (r == 0)
		r = write_all(fd, bytes.data, bytes.mark);
	sl_writer_fini(&bytes);
	return r;
}

int report_check(const char *path, const char *const *parameters, const char *runtime,
	const struct load_stages *stages, FILE *problems, int graph_fd)
{
	struct report report = { .out = problems, .is_journal = log_is_journal() };
	struct graph *graph = NULL;
	int r = load_config(path, parameters, runtime, stages, print, &report, &graph);

	if (r < 0) {
		(void)fprintf(problems, "%s%u error%s\n", report.is_journal ? "<3>" : "",
			report.error_count, report.error_count == 1 ? "" : "s");
		return EX_CONFIG;
	}
	if (graph_fd >= 0)
		r = write_graph(graph, graph_fd);
	if (r < 0)
		(void)fprintf(problems, "%s: cannot hand the graph on: %s\n", path, err_name(r));
	graph_free(graph);
	return r < 0 ? EX_IOERR : 0;
}

static void print_error(
	void *user, bool is_error, const char *file, unsigned line, const char *text)
{
	if (is_error)
		print(user, is_error, file, line, text);
}

int report_tests(const char *path, const char *const *parameters, const struct load_stages *stages,
	FILE *problems, int fd)
{
	struct report report = { .out = problems, .is_journal = log_is_journal() };
	struct graph *graph = NULL;
	struct sl_writer tests;
	int status = EX_CONFIG;

	sl_writer_init(&tests);
	if (load_tests(path, parameters, NULL, stages, print_error, &report, &graph, &tests) == 0)
		status = write_all(fd, tests.data, tests.mark) < 0 ? EX_IOERR : 0;
	sl_writer_fini(&tests);
	graph_free(graph);
	return status;
}

int report_name(const char *path, const char *const *parameters, FILE *problems, int fd)
{
	struct report report = { .out = problems, .is_journal = log_is_journal() };
	char name[64];

	if (load_name(path, parameters, print, &report, name, sizeof(name)) < 0)
		return EX_CONFIG;
	return write_all(fd, name, strlen(name)) < 0 ? EX_IOERR : 0;
}
