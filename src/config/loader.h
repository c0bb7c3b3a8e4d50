/* SPDX-License-Identifier: MIT */
/*
 * One load in progress: what the files of this room that know libconfig share. The passes, in order:
 *
 *   text     read and flatten        syntax   why libconfig refused it
 *   resolve  stages and their roles  options  what each stage is told (convert, mismatch, expand, outputs, shape)
 *   wire     from, ports, cycles     rules    what does not go together
 *   tests    what `tests` says, with the records that test_records finds
 *   load     drives all this, makes the graph; stores adds what `when_full` and `intake` want
 *
 * Each adds what it finds to `problems` and goes on; only what cannot be looked at any further is left out.
 */
#ifndef CONFIG_LOADER_H
#define CONFIG_LOADER_H

#include <libconfig.h>

#include "config/arena.h"
#include "config/expand.h"
#include "config/load.h"
#include "config/problems.h"
#include "config/schema.h"
#include "config/text.h"

/* A stage as it takes shape. */
struct draft {
	const config_setting_t *setting;
	const char *name;
	unsigned line;
	bool has_role;
	enum sl_role role;
	const struct sl_stage
		*impl; /* NULL: not known which; its options and ports are not looked at */
	struct schema_values common;
	uint32_t processes;      /* with "auto" resolved */
	struct sl_value options; /* the map of resolved ones */
	const char *const *
		ports; /* outputs that its options name, NULL-terminated; NULL: they name none, or are wrong */
	bool is_live; /* see sl_stage */
	const char
		*target; /* the file that it writes, normalised, or where it listens; NULL: none */
	const char *written;          /* the same as the config has it */
	const config_setting_t *from; /* NULL: none */
	uint32_t input_count;
	bool is_mentioned; /* a wrong `from` seems to mean this stage: do not say that nothing takes from it */
	uint32_t position; /* in the graph */
};

struct draft_link {
	uint32_t upstream; /* drafts */
	uint32_t port;
	uint32_t downstream;
	unsigned line;
};

struct loader {
	const struct load_stages *stages;
	const char *runtime;
	struct arena arena;
	struct expand expand;
	struct text text;
	struct problems problems;
	config_t config;
	const char *name; /* of the pipeline */
	int64_t drain_timeout_ns;
	int64_t sync_interval_ns;
	bool has_slip; /* a key at the top that seems to mean `stages` */
	struct draft *drafts;
	uint32_t draft_count;
	struct draft_link *links;
	uint32_t link_count;
	uint32_t *order; /* drafts in topological order; NULL: there is a cycle */
};

/* mismatch.c. Names as a person reads them: "a", "b" and "c"; last_word is " and ". */
const char *loader_list(struct loader *loader, const char *const *names, const char *last_word);

/* mismatch.c. What a setting holds, as a message calls it. */
const char *convert_found(struct loader *loader, const config_setting_t *setting);
/* The setting's value is not what the option takes: reported. Always false. */
bool convert_mismatch(
	struct loader *loader, const struct sl_option *option, const config_setting_t *setting);

/* convert.c. The text of a string setting, expanded; NULL, and reported, when it is no string or cannot be expanded. */
const char *convert_string(struct loader *loader, const char *name, const config_setting_t *setting,
	const char *example);
/* Appends what a setting holds as one value, whatever it is. False, and reported, when it cannot be one. */
bool convert_value(struct loader *loader, const config_setting_t *setting, struct sl_writer *out);
/* Appends the resolved value of an option as one value. False, and reported, when it has none. */
bool convert_option(struct loader *loader, const struct sl_option *option,
	const config_setting_t *setting, struct sl_writer *out);

/* resolve.c: fills drafts. */
void resolve_stages(struct loader *loader);
/* The line of a setting of that stage, or of the stage when it has no such setting. */
unsigned draft_line(const struct draft *draft, const char *option);
const char *role_name(enum sl_role role);
/* The role of that name, or -ENOENT. */
int role_find(const char *name);

/* options.c: fills common, options and target. */
void options_resolve(struct loader *loader, struct draft *draft);

/* shape.c: of a draft whose options are right: graph_stage's options_shape. */
uint64_t shape_of_options(struct loader *loader, const struct draft *draft);

/* wire.c: fills links and order. */
void wire_stages(struct loader *loader);

/* outputs.c: fills ports, of a stage whose options name them and are right; `shared` holds them. */
void outputs_keep(struct loader *loader, struct draft *draft, const void *shared);
/* Are its outputs unknown, because something about it is wrong? */
bool draft_is_vague(const struct draft *draft);
uint32_t draft_port_count(const struct draft *draft);
const char *draft_port(const struct draft *draft, uint32_t port);

/* stores.c: the graph with two more stages for each store; `graph` is as the drafts are. False, and reported, when they are too many. */
bool stores_insert(struct loader *loader, struct graph *graph);

/* rules.c */
void rules_check(struct loader *loader);

#endif
