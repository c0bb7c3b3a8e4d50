/* SPDX-License-Identifier: MIT */
/* Points (state/point.h) of a pipeline, made and gone back to by a process of their own: sluice-stage --point. */
#ifndef ENGINE_POINTS_H
#define ENGINE_POINTS_H

#include <stdint.h>

/* Makes one, beside the running stages (`action` "make"), or goes back to the last one ("restore"). The exit status. */
int points_answer(
	const char *action, const char *state, uint64_t run, uint64_t series, int graph_fd);

#endif
