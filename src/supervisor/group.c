/* SPDX-License-Identifier: MIT */
/* See group.h. */
#include "supervisor/group.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"

/* A large process that is killed takes its time to end. */
#define NEWS (2 * NSEC_PER_SEC)

/* --- what its files say ------------------------------------------------------------------------- */

uint64_t group_parse_count(const char *text, const char *key)
{
	size_t size = strlen(key);

	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += line > text || *line == '\n';
		if (strncmp(line, key, size) == 0 && line[size] == ' ')
			return strtoull(line + size, NULL, 10);
	}
	return 0;
}

uint64_t group_parse_number(const char *text)
{
	return *text >= '0' && *text <= '9' ? strtoull(text, NULL, 10) : UINT64_MAX;
}

static uint64_t read_number(const struct group *group, const char *file)
{
	char text[32];

	return groups_read(group->folder, file, text, sizeof(text)) < 0 ? UINT64_MAX
									: group_parse_number(text);
}

static struct group_events read_events(const struct group *group)
{
	char text[256];

	if (group->folder < 0 ||
		groups_read(group->folder, "memory.events.local", text, sizeof(text)) < 0)
		return (struct group_events){ 0 };
	return (struct group_events){
		.at_limit = group_parse_count(text, "oom"),
		.kills = group_parse_count(text, "oom_kill"),
	};
}

/* --- birth and end ------------------------------------------------------------------------------ */

void group_init(struct group *group)
{
	*group = (struct group){ .folder = -1, .enter = -1 };
}

static void close_group(struct group *group)
{
	if (group->folder >= 0)
		(void)close(group->folder);
	if (group->enter >= 0)
		(void)close(group->enter);
	group_init(group);
}

static int set(const struct group *group, const char *file, uint64_t value, const char *option,
	struct err *err)
{
	char text[32];
	int r;

	(void)snprintf(text, sizeof(text), "%" PRIu64, value);
	r = groups_write(group->folder, file, text);
	return r < 0 ? err_set(err, r, "cannot write %s into %s of its cgroup (%s): %s", text, file,
			       option, err_name(r))
		     : 0;
}

static int set_limits(const struct groups *groups, const struct graph_stage *stage,
	const struct group *group, struct err *err)
{
	int r = 0;

	if (groups->has_memory && stage->memory_max > 0) {
		/* A limit, not where swapping begins. Where there is no swap, there is no such file. */
		(void)groups_write(group->folder, "memory.swap.max", "0");
		r = set(group, "memory.max", stage->memory_max, "memory_max", err);
	}
	if (r == 0 && groups->has_cpu && stage->cpu_weight > 0)
		r = set(group, "cpu.weight", stage->cpu_weight, "cpu_weight", err);
	if (r == 0 && groups->has_tasks && stage->tasks_max > 0)
		r = set(group, "pids.max", stage->tasks_max, "tasks_max", err);
	return r;
}

static int open_group(int root, const char *name, struct group *group)
{
	int r = groups_remove(root, name);

	/* What has not ended by now stays in the new one. */
	if (r < 0 && r != -EBUSY)
		return r;
	if (mkdirat(root, name, 0755) < 0 && errno != EEXIST)
		return -errno;
	group->folder = openat(root, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (group->folder < 0)
		return -errno;
	group->enter = openat(group->folder, "cgroup.procs", O_WRONLY | O_CLOEXEC);
	return group->enter < 0 ? -errno : 0;
}

int group_make(const struct groups *groups, const char *name, const struct graph_stage *stage,
	struct group *group, struct err *err)
{
	int r;

	group_init(group);
	if (groups->root < 0)
		return 0;
	r = open_group(groups->root, name, group);
	if (r < 0)
		(void)err_set(err, r, "cannot make the cgroup %s/%s: %s", groups->path, name,
			err_name(r));
	else
		r = set_limits(groups, stage, group, err);
	if (r < 0) {
		close_group(group);
		return r;
	}
	group->seen = read_events(group);
	group->old = group->seen;
	return 0;
}

void group_remove(const struct groups *groups, const char *name, struct group *group)
{
	if (group->folder < 0)
		return;
	/* Nobody waits for that: whoever makes it again, or ends the tree, will. */
	(void)groups_write(group->folder, "cgroup.kill", "1");
	close_group(group);
	(void)unlinkat(groups->root, name, AT_REMOVEDIR);
}

/* --- deaths ------------------------------------------------------------------------------------- */

uint64_t group_look(struct group *group, int64_t now)
{
	struct group_events events = read_events(group);
	uint64_t count;

	if (events.kills != group->seen.kills || events.at_limit != group->seen.at_limit) {
		group->seen = events;
		group->seen_ns = now;
	}
	if (now - group->seen_ns < NEWS)
		return 0;
	count = group->seen.kills - group->old.kills;
	if (count == 0)
		group->old = group->seen;
	return count;
}

void group_dismiss(struct group *group)
{
	group->old = group->seen;
}

enum group_end group_why(struct group *group)
{
	struct group_events events = read_events(group);

	if (events.kills <= group->old.kills)
		return GROUP_OTHERWISE;
	return events.at_limit > group->old.at_limit ? GROUP_AT_LIMIT : GROUP_OUTSIDE;
}

struct group_use group_use(const struct group *group)
{
	if (group->folder < 0)
		return (struct group_use){ .is_there = false };
	return (struct group_use){
		.is_there = true,
		.memory = read_number(group, "memory.current"),
		.memory_peak = read_number(group, "memory.peak"),
		.memory_max = read_number(group, "memory.max"),
		.tasks = read_number(group, "pids.current"),
		.tasks_max = read_number(group, "pids.max"),
		.cpu_weight = read_number(group, "cpu.weight"),
		.kills = read_events(group).kills,
	};
}
