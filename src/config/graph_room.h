/* SPDX-License-Identifier: MIT */
/* What graph.c and graph_decode.c share: where a graph lives, and the layout of its serialised form. */
#ifndef CONFIG_GRAPH_ROOM_H
#define CONFIG_GRAPH_ROOM_H

#include "config/arena.h"
#include "config/graph.h"

/* Another layout, another version: a supervisor and a sluice-stage of different builds refuse each other. */
#define GRAPH_VERSION 10
/* Raised when what is hashed into a shape changes, or what the same config means: then work of the two must not mix. Not with the layout. */
#define SHAPE_VERSION 10
#define GRAPH_FIELDS 8
#define GRAPH_STAGE_FIELDS 32

/* More than anyone draws, few enough that an absurd input costs nothing. */
#define GRAPH_STAGES_MAX 1024
#define GRAPH_LINKS_MAX 16384

struct graph_room {
	struct graph graph; /* first: graph_free goes from one to the other */
	struct arena arena; /* holds the room itself, too */
};

uint64_t graph_shape(const struct graph *graph);

#endif
