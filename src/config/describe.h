/* SPDX-License-Identifier: MIT */
/* The option tables for people: every page about options is made from them, so that none can be wrong. */
#ifndef CONFIG_DESCRIBE_H
#define CONFIG_DESCRIBE_H

#include <stdio.h>

#include "config/load.h"

/* `sluice describe`: what the stage is, its options, then those that every stage of its role has. */
void describe_print(const struct sl_stage *stage, FILE *out);
/* `sluice list`: all stages by role, one line each. */
void describe_list(const struct load_stages *stages, FILE *out);
/* The option reference of all stages, as the roff of a section of sluice.conf(5). */
void describe_roff(const struct load_stages *stages, FILE *out);
/* The option table of one stage, as markdown. */
void describe_markdown(const struct sl_stage *stage, FILE *out);

#endif
