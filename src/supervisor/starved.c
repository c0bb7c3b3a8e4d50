/* SPDX-License-Identifier: MIT */
/* See starved.h. */
#include "supervisor/starved.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/units.h"

#define EXITING 0x4 /* PF_EXITING of the kernel */

/* ", it had 63 MiB at most" */
static const char *print_peak(const struct group_use *use, char *text, size_t size)
{
	char peak[32];

	text[0] = '\0';
	if (use->memory_peak != UINT64_MAX)
		(void)snprintf(text, size, ", it had %s at most",
			units_print_size(use->memory_peak, peak, sizeof(peak)));
	return text;
}

static void describe(struct child *child, enum group_end end)
{
	const struct group_use use = group_use(&child->group);
	char peak[64], max[32];

	if (end == GROUP_AT_LIMIT)
		(void)snprintf(child->reason, sizeof(child->reason),
			"out of memory: killed at memory_max = %s%s",
			units_print_size(child_stage(child)->memory_max, max, sizeof(max)),
			print_peak(&use, peak, sizeof(peak)));
	else
		(void)snprintf(child->reason, sizeof(child->reason),
			"out of memory: killed by the kernel, since all of the service or of the "
			"machine is used%s",
			print_peak(&use, peak, sizeof(peak)));
}

enum group_end starved_note(struct child *child, const siginfo_t *info)
{
	enum group_end end;

	if (info->si_code == CLD_EXITED || info->si_status != SIGKILL || child->reason[0] ||
		child->supervisor->is_failing)
		return GROUP_OTHERWISE;
	end = group_why(&child->group);
	if (end == GROUP_OTHERWISE)
		return end;
	describe(child, end);
	supervisor_tell(child->supervisor, LOG_EVENT_NO_MEMORY, LOG_LEVEL_WARNING, child, "%s",
		child->reason);
	return end;
}

bool starved_has_no_more(const struct child *child)
{
	return child_stage(child)->memory_max > 0 && child->error == ENOMEM &&
	       page_get(child->page->culprit.kind) != PAGE_WORK_NONE;
}

static void tell_programs(struct child *child, uint64_t count)
{
	char max[32];

	if (child_stage(child)->memory_max > 0)
		supervisor_tell(child->supervisor, LOG_EVENT_NO_MEMORY, LOG_LEVEL_WARNING, child,
			"out of memory: %" PRIu64 " of the programs that it runs %s killed; "
			"memory_max = %s",
			count, count == 1 ? "was" : "were",
			units_print_size(child_stage(child)->memory_max, max, sizeof(max)));
	else
		supervisor_tell(child->supervisor, LOG_EVENT_NO_MEMORY, LOG_LEVEL_WARNING, child,
			"out of memory: %" PRIu64 " of the programs that it runs %s killed", count,
			count == 1 ? "was" : "were");
}

/* A process of many gibibytes takes seconds to end. */
static bool is_ending(pid_t pid)
{
	char path[64], text[512];
	unsigned flags = 0;
	const char *behind;

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	if (groups_read(AT_FDCWD, path, text, sizeof(text)) < 0)
		return true;
	behind = strrchr(text, ')');
	/* state, ppid, pgrp, session, tty, tpgid, flags */
	if (!behind || sscanf(behind + 1, " %*c %*d %*d %*d %*d %*d %u", &flags) != 1)
		return true;
	return flags & EXITING;
}

void starved_tick(struct supervisor *s, int64_t now)
{
	for (uint32_t i = 0; s->groups.has_memory && i < s->child_count; i++) {
		struct child *child = &s->children[i];
		uint64_t count = child->pid > 0 ? group_look(&child->group, now) : 0;

		if (count == 0 || is_ending(child->pid))
			continue;
		tell_programs(child, count);
		group_dismiss(&child->group);
	}
}
