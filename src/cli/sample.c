/* SPDX-License-Identifier: MIT */
/* See sample.h. */
#include "cli/sample.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

#define WORKER "worker " /* how worker threads are called */

/* Up to size - 1 bytes of a file of /proc; false: it is gone. */
static bool read_text(const char *path, char *text, size_t size)
{
	FILE *file = fopen(path, "re");
	size_t n = file ? fread(text, 1, size - 1, file) : 0;

	text[n] = '\0';
	if (file)
		(void)fclose(file);
	return n > 0;
}

/* Fields 14 to 17 of /proc/PID/stat: its processor time in user and system mode, and that of its ended children. */
static bool read_times(pid_t pid, double *ret_own, double *ret_ended)
{
	char path[64], text[1024];
	unsigned long user, system;
	long ended_user, ended_system;
	double tick = 1.0 / (double)sysconf(_SC_CLK_TCK);
	const char *behind_name;

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	behind_name = read_text(path, text, sizeof(text)) ? strrchr(text, ')') : NULL;
	if (!behind_name ||
		sscanf(behind_name, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %ld %ld",
			&user, &system, &ended_user, &ended_system) != 4)
		return false;
	*ret_own = (double)(user + system) * tick;
	*ret_ended = (double)(ended_user + ended_system) * tick;
	return true;
}

/* The programs that run now, of a thread. */
static double running_children(const char *thread)
{
	char path[128], text[4096];
	double sum = 0;

	(void)snprintf(path, sizeof(path), "%s/children", thread);
	(void)read_text(path, text, sizeof(text));
	for (char *at = text, *end; (end = at); at = end) {
		long pid = strtol(at, &end, 10);
		double own, ended;

		if (end == at)
			break;
		if (read_times((pid_t)pid, &own, &ended))
			sum += own + ended;
	}
	return sum;
}

/* The second number of /proc/PID/task/TID/schedstat, ns. */
static double run_delay(const char *thread)
{
	char path[128], text[128];
	unsigned long long delay = 0;

	(void)snprintf(path, sizeof(path), "%s/comm", thread);
	if (!read_text(path, text, sizeof(text)) || strncmp(text, WORKER, strlen(WORKER)) != 0)
		return 0;
	(void)snprintf(path, sizeof(path), "%s/schedstat", thread);
	if (!read_text(path, text, sizeof(text)) || sscanf(text, "%*u %llu", &delay) != 1)
		return 0;
	return (double)delay / NSEC_PER_SEC;
}

static bool look_at(pid_t pid, struct sample_process *process)
{
	struct sample_process found = { 0 };
	char path[64];
	double own;
	const struct dirent *entry;
	DIR *threads;

	(void)snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	threads = opendir(path);
	if (!threads)
		return false;
	while ((entry = readdir(threads))) {
		char thread[96];

		if (entry->d_name[0] == '.')
			continue;
		(void)snprintf(thread, sizeof(thread), "%s/%.16s", path, entry->d_name);
		found.children += running_children(thread);
		found.preempted += run_delay(thread);
	}
	(void)closedir(threads);
	if (read_times(pid, &own, &process->children))
		found.children += process->children;
	*process = found;
	return true;
}

void sample_look(const struct supervisor *supervisor, struct sample_process *processes)
{
	for (uint32_t i = 0; i < supervisor_child_count(supervisor); i++) {
		struct supervisor_child child = supervisor_child(supervisor, i);
		struct sample_process now = processes[i];

		/* Between one look and the next it may have ended: then the last one stays, which is more. */
		if (child.pid > 0 && look_at(child.pid, &now) &&
			now.children + now.preempted >=
				processes[i].children + processes[i].preempted)
			processes[i] = now;
	}
}

static double seconds_of(int64_t ns)
{
	return (double)ns / NSEC_PER_SEC;
}

void sample_sum(const struct supervisor *supervisor, const struct sample_process *processes,
	struct advice_measured *measured)
{
	memset(measured, 0, supervisor_graph(supervisor)->stage_count * sizeof(*measured));
	for (uint32_t i = 0; i < supervisor_child_count(supervisor); i++) {
		struct supervisor_child child = supervisor_child(supervisor, i);
		struct advice_measured *m = &measured[child.stage];

		m->in += (double)page_get(child.page->records_in);
		m->no_input += seconds_of(page_get(child.page->blocked_ns[PAGE_NO_INPUT]));
		m->no_credit += seconds_of(page_get(child.page->blocked_ns[PAGE_NO_CREDIT]) +
					   page_get(child.page->blocked_ns[PAGE_NO_ROOM]));
		m->computing += processes[i].children;
		m->preempted += processes[i].preempted;
		for (int k = 0; k < PAGE_WORKERS_MAX; k++) {
			const struct page_worker *worker = &child.page->workers[k];

			m->records += (double)page_get(worker->records);
			m->computing += seconds_of(page_get(worker->cpu_ns));
			m->calls += seconds_of(page_get(worker->in_calls_ns));
			m->waited += seconds_of(page_get(worker->waited_ns));
			m->paused += seconds_of(page_get(worker->paused_ns));
		}
	}
}
