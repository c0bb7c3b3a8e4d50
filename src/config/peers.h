/* SPDX-License-Identifier: MIT */
/*
 * What programs of the same kind call it: whoever comes from Logstash, Fluent Bit, Vector or NiFi writes `grok`, `tail` or `throttle`, and is told what does that
 * here. Words know no case. doc/coming-from.md is the same, for reading.
 */
#ifndef CONFIG_PEERS_H
#define CONFIG_PEERS_H

#include "config/graph.h"

/* What to write instead of the stage `name`, as one clause; NULL: the word is not known. */
const char *peers_stage(enum sl_role role, const char *name);
/* The option that does what others call `name`; NULL: the word is not known. Not every stage has it. */
const char *peers_option(const char *name, unsigned i);

#endif
