/* SPDX-License-Identifier: MIT */
/*
 * From drafts to a graph: what each stage takes from, whether anything goes in circles, what nobody takes, and an order
 * in which every stage stands behind all that it takes from.
 */
#include "config/loader.h"

#include <string.h>

#include "config/graph_room.h"
#include "config/suggest.h"

/* --- from -------------------------------------------------------------------------------------------- */

/* One `from` that is being resolved. */
struct wanted {
	uint32_t downstream;
	unsigned line;
	const char *text; /* "stage" or "stage.port" */
};

static struct draft *find_draft(struct loader *loader, const char *name)
{
	for (uint32_t i = 0; i < loader->draft_count; i++)
		if (strcmp(loader->drafts[i].name, name) == 0)
			return &loader->drafts[i];
	return NULL;
}

/* The stages to take from, when they are few enough to be read. */
static const char *list_stages(struct loader *loader, uint32_t except)
{
	const char *text = "";
	unsigned count = 0;

	for (uint32_t i = 0; i < loader->draft_count && text; i++) {
		if (loader->drafts[i].role == SL_SINK || i == except)
			continue;
		if (count < 10)
			text = arena_printf(&loader->arena, "%s%s`%s`", text,
				count > 0 ? ", " : "choose from ", loader->drafts[i].name);
		else if (count == 10)
			text = arena_printf(&loader->arena, "%s, ...", text);
		count++;
	}
	return text && *text ? text : "there is none to take from, so add a source";
}

static void report_dangling(struct loader *loader, const struct wanted *wanted, const char *name)
{
	struct suggest suggest;
	struct draft *meant;

	suggest_init(&suggest, name);
	for (uint32_t i = 0; i < loader->draft_count; i++)
		if (loader->drafts[i].role != SL_SINK && i != wanted->downstream)
			suggest_offer(&suggest, loader->drafts[i].name);
	meant = suggest.best ? find_draft(loader, suggest.best) : NULL;
	if (meant) {
		meant->is_mentioned = true;
		problems_error(&loader->problems, wanted->line,
			"there is no stage `%s`: write from = \"%s\";", name, meant->name);
	} else {
		problems_error(&loader->problems, wanted->line, "there is no stage `%s`: %s", name,
			list_stages(loader, wanted->downstream));
	}
}

/* "`split.even` or `split.odd`" */
static const char *list_ports(struct loader *loader, const struct draft *draft)
{
	uint32_t count = draft_port_count(draft);
	const char *text = "";

	for (uint32_t i = 0; i < count && text; i++)
		text = arena_printf(&loader->arena, "%s%s\"%s.%s\"", text,
			i == 0          ? ""
			: i + 1 < count ? ", "
					: " or ",
			draft->name, draft_port(draft, i));
	return text ? text : "";
}

/* One of several that is not there: the one that was meant, or all. */
static void report_no_port(struct loader *loader, const struct wanted *wanted,
	const struct draft *upstream, const char *port)
{
	struct suggest suggest;

	suggest_init(&suggest, port);
	for (uint32_t i = 0; i < draft_port_count(upstream); i++)
		suggest_offer(&suggest, draft_port(upstream, i));
	if (suggest.best)
		problems_error(&loader->problems, wanted->line,
			"`%s` has no output `%s`: write from = \"%s.%s\";", upstream->name, port,
			upstream->name, suggest.best);
	else
		problems_error(&loader->problems, wanted->line,
			"`%s` has no output `%s`: write from = %s;", upstream->name, port,
			list_ports(loader, upstream));
}

/* The index of the port named, or of the only one; false, and reported, when there is no such. */
static bool find_port(struct loader *loader, const struct wanted *wanted, struct draft *upstream,
	const char *port, uint32_t *ret_port)
{
	uint32_t count = draft_port_count(upstream);

	*ret_port = 0;
	if (draft_is_vague(upstream) || (!port && count == 1))
		return true;
	for (uint32_t i = 0; port && i < count; i++)
		if (strcmp(draft_port(upstream, i), port) == 0) {
			*ret_port = i;
			return true;
		}
	upstream->is_mentioned = true;
	if (!port)
		problems_error(&loader->problems, wanted->line,
			"`%s` has several outputs: write from = %s;", upstream->name,
			list_ports(loader, upstream));
	else if (count == 1)
		problems_error(&loader->problems, wanted->line,
			"`%s` has no output `%s`: write from = \"%s\";", upstream->name, port,
			upstream->name);
	else
		report_no_port(loader, wanted, upstream, port);
	return false;
}

static bool is_twice(const struct loader *loader, const struct draft_link *link)
{
	for (uint32_t i = 0; i < loader->link_count; i++) {
		const struct draft_link *other = &loader->links[i];

		if (other->upstream == link->upstream && other->port == link->port &&
			other->downstream == link->downstream)
			return true;
	}
	return false;
}

static void add_link(
	struct loader *loader, const struct wanted *wanted, struct draft *upstream, uint32_t port)
{
	struct draft_link link = {
		.upstream = (uint32_t)(upstream - loader->drafts),
		.port = port,
		.downstream = wanted->downstream,
		.line = wanted->line,
	};

	if (is_twice(loader, &link)) {
		problems_error(&loader->problems, wanted->line,
			"`%s` takes from `%s` twice: remove one",
			loader->drafts[wanted->downstream].name, wanted->text);
		return;
	}
	if (loader->link_count == GRAPH_LINKS_MAX) {
		problems_error(&loader->problems, wanted->line,
			"more than %d links: take from fewer stages, or write two pipelines",
			GRAPH_LINKS_MAX);
		return;
	}
	loader->links[loader->link_count++] = link;
}

static void wire(struct loader *loader, const struct wanted *wanted)
{
	const char *dot = strchr(wanted->text, '.');
	const char *name = arena_copy(&loader->arena, wanted->text,
		dot ? (size_t)(dot - wanted->text) : strlen(wanted->text));
	struct draft *upstream = name ? find_draft(loader, name) : NULL;
	uint32_t port;

	if (!name)
		return;
	/* A stage with a wrong `from` has one all the same. */
	loader->drafts[wanted->downstream].input_count++;
	if (!upstream)
		report_dangling(loader, wanted, name);
	else if (upstream->has_role && upstream->role == SL_SINK)
		problems_error(&loader->problems, wanted->line,
			"`%s` is a sink, and nothing comes out of it: take from a source or a "
			"transform",
			name);
	else if (find_port(loader, wanted, upstream, dot ? dot + 1 : NULL, &port))
		add_link(loader, wanted, upstream, port);
}

static void wire_setting(
	struct loader *loader, uint32_t downstream, const config_setting_t *setting)
{
	struct wanted wanted = { .downstream = downstream,
		.line = config_setting_source_line(setting) };

	wanted.text = convert_string(loader, "from", setting, "\"NAME\"");
	if (wanted.text)
		wire(loader, &wanted);
	else
		loader->drafts[downstream].input_count++;
}

static void wire_draft(struct loader *loader, uint32_t i)
{
	const struct draft *draft = &loader->drafts[i];
	const config_setting_t *from = draft->from;

	if (!from)
		return;
	if (draft->has_role && draft->role == SL_SOURCE) {
		problems_error(&loader->problems, config_setting_source_line(from),
			"`%s` is a source and takes from nothing: remove `from`", draft->name);
	} else if (config_setting_is_list(from) || config_setting_is_array(from)) {
		for (int k = 0; k < config_setting_length(from); k++)
			wire_setting(loader, i, config_setting_get_elem(from, (unsigned)k));
	} else {
		wire_setting(loader, i, from);
	}
}

/* --- what is left over ------------------------------------------------------------------------------- */

static void check_inputs(struct loader *loader)
{
	for (uint32_t i = 0; i < loader->draft_count; i++) {
		const struct draft *draft = &loader->drafts[i];

		if (draft->has_role && draft->role != SL_SOURCE && draft->input_count == 0)
			problems_error(&loader->problems, draft_line(draft, "from"),
				"`%s` takes from nothing: write from = \"NAME\";", draft->name);
	}
}

static bool is_taken(const struct loader *loader, uint32_t draft, uint32_t port)
{
	for (uint32_t i = 0; i < loader->link_count; i++)
		if (loader->links[i].upstream == draft && loader->links[i].port == port)
			return true;
	return false;
}

static void check_outputs(struct loader *loader)
{
	for (uint32_t i = 0; i < loader->draft_count; i++) {
		const struct draft *draft = &loader->drafts[i];
		bool is_vague = draft->impl && draft_is_vague(draft);
		uint32_t count = draft->has_role && !is_vague ? draft_port_count(draft) : 0;

		for (uint32_t port = 0; port < count && !draft->is_mentioned; port++) {
			if (is_taken(loader, i, port))
				continue;
			if (count == 1)
				problems_error(&loader->problems, draft->line,
					"nothing takes from `%s`: add a sink with from = \"%s\";",
					draft->name, draft->name);
			else
				problems_error(&loader->problems, draft->line,
					"nothing takes from `%s.%s`: add a sink with from = "
					"\"%s.%s\"; (the sink \"null\" drops records)",
					draft->name, draft_port(draft, port), draft->name,
					draft_port(draft, port));
		}
	}
}

/* --- order and cycles -------------------------------------------------------------------------------- */

enum mark { UNPLACED, PLACED, WALKED, REPORTED };

static bool is_ready(const struct loader *loader, const enum mark *marks, uint32_t draft)
{
	if (marks[draft] != UNPLACED)
		return false;
	for (uint32_t i = 0; i < loader->link_count; i++)
		if (loader->links[i].downstream == draft &&
			marks[loader->links[i].upstream] != PLACED)
			return false;
	return true;
}

/* Places stages behind all that they take from; among those that could come next, the first in the file. */
static uint32_t place(const struct loader *loader, enum mark *marks, uint32_t *order)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < loader->draft_count;) {
		if (is_ready(loader, marks, i)) {
			marks[i] = PLACED;
			order[count++] = i;
			i = 0;
		} else {
			i++;
		}
	}
	return count;
}

/* An upstream stage that could not be placed either; each unplaced stage has one. */
static const struct draft_link *unplaced_input(
	const struct loader *loader, const enum mark *marks, uint32_t draft)
{
	for (uint32_t i = 0; i < loader->link_count; i++)
		if (loader->links[i].downstream == draft &&
			marks[loader->links[i].upstream] != PLACED)
			return &loader->links[i];
	return NULL;
}

/* Prints the cycle through `start`, beginning with the stage that stands first in the file. */
static void report_cycle(struct loader *loader, enum mark *marks, uint32_t start)
{
	uint32_t first = start, at = start;
	const char *text;
	unsigned line;

	do {
		at = unplaced_input(loader, marks, at)->upstream;
		first = at < first ? at : first;
	} while (at != start);
	line = unplaced_input(loader, marks, first)->line;
	text = loader->drafts[first].name;
	at = first;
	do {
		marks[at] = REPORTED;
		at = unplaced_input(loader, marks, at)->upstream;
		text = arena_printf(
			&loader->arena, "%s -> %s", loader->drafts[at].name, text ? text : "");
	} while (at != first);
	problems_error(&loader->problems, line,
		"the stages go in a circle: %s: let `%s` take from something else",
		text ? text : "", loader->drafts[first].name);
}

/* Follows the inputs of what could not be placed until the way meets itself: there is a cycle. */
static void find_cycles(struct loader *loader, enum mark *marks)
{
	for (uint32_t i = 0; i < loader->draft_count; i++) {
		uint32_t at = i;

		if (marks[i] != UNPLACED)
			continue;
		while (marks[at] == UNPLACED) {
			marks[at] = WALKED;
			at = unplaced_input(loader, marks, at)->upstream;
		}
		if (marks[at] == WALKED)
			report_cycle(loader, marks, at);
		for (uint32_t k = 0; k < loader->draft_count; k++)
			if (marks[k] == WALKED)
				marks[k] = REPORTED;
	}
}

static void sort(struct loader *loader)
{
	uint32_t *order = arena_alloc_array(&loader->arena, loader->draft_count, sizeof(*order));
	enum mark *marks = arena_alloc_array(&loader->arena, loader->draft_count, sizeof(*marks));

	if (!order || !marks)
		return;
	if (place(loader, marks, order) == loader->draft_count)
		loader->order = order;
	else
		find_cycles(loader, marks);
}

void wire_stages(struct loader *loader)
{
	loader->links = arena_alloc_array(&loader->arena, GRAPH_LINKS_MAX, sizeof(*loader->links));
	if (!loader->links)
		return;
	for (uint32_t i = 0; i < loader->draft_count; i++)
		wire_draft(loader, i);
	check_inputs(loader);
	check_outputs(loader);
	sort(loader);
}
