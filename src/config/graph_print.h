/* SPDX-License-Identifier: MIT */
/* A graph for people: `sluice graph`. */
#ifndef CONFIG_GRAPH_PRINT_H
#define CONFIG_GRAPH_PRINT_H

#include <stdio.h>

#include "config/graph.h"

/* Stage by stage in topological order: what it is, how many, what it may hold, where its records go. */
void graph_print_text(const struct graph *graph, FILE *out);
/* The same for Graphviz. */
void graph_print_dot(const struct graph *graph, FILE *out);

#endif
