/* SPDX-License-Identifier: MIT */
/* The processors that this process may use. */
#ifndef BASE_CORES_H
#define BASE_CORES_H

#include <sched.h>

static inline unsigned cores_count(void)
{
	cpu_set_t cores;

	return sched_getaffinity(0, sizeof(cores), &cores) < 0 ? 1 : (unsigned)CPU_COUNT(&cores);
}

#endif
