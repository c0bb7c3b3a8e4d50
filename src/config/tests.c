/* SPDX-License-Identifier: MIT */
/* See tests.h. What a test is made of is looked at one by one; what does not fit together, when each is right by itself. */
#include "config/tests.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "config/suggest.h"

#define NONE UINT32_MAX

#define SHAPE "tests = ( { name = \"...\"; stage = \"...\"; feed = ( ... ); expect = ( ... ); } );"

enum key { NAME, STAGE, FROM, TO, PORT, FEED, EXPECT, DEAD, TOLERANCE, KEY_COUNT };

static const char *const key_names[KEY_COUNT] = { "name", "stage", "from", "to", "port", "feed",
	"expect", "dead", "tolerance" };

struct test {
	const config_setting_t *setting;
	const config_setting_t *keys[KEY_COUNT];
	unsigned line;
	const char *name;
	uint32_t from, to; /* drafts; NONE: not known */
	uint32_t port;
	bool has_slip; /* a key that there is not: what seems to be missing may be meant by it */
	bool is_right;
};

static unsigned line_of(const struct test *test, enum key key)
{
	return test->keys[key] ? config_setting_source_line(test->keys[key]) : test->line;
}

#define WRONG(loader, test, key, ...)                                                              \
	do {                                                                                       \
		problems_error(&(loader)->problems, line_of(test, key), __VA_ARGS__);              \
		(test)->is_right = false;                                                          \
	} while (0)

/* --- its keys ------------------------------------------------------------------------------------- */

static void find_keys(struct loader *loader, struct test *test)
{
	for (int i = 0; i < config_setting_length(test->setting); i++) {
		const config_setting_t *setting =
			config_setting_get_elem(test->setting, (unsigned)i);
		const char *name = config_setting_name(setting);
		struct suggest suggest;
		int key = 0;

		suggest_init(&suggest, name);
		for (; key < KEY_COUNT && strcmp(key_names[key], name) != 0; key++)
			suggest_offer(&suggest, key_names[key]);
		if (key < KEY_COUNT) {
			test->keys[key] = setting;
			continue;
		}
		problems_error(&loader->problems, config_setting_source_line(setting),
			"a test has no `%s`: %s%s", name, suggest.best ? "write " : "",
			suggest.best ? suggest.best
				     : "it has name, stage (or from and to), feed, expect, port, "
				       "dead and tolerance");
		test->has_slip = true;
		test->is_right = false;
	}
}

static const char *text_of(
	struct loader *loader, struct test *test, enum key key, const char *example)
{
	const char *text = NULL;

	if (test->keys[key])
		text = convert_string(loader, key_names[key], test->keys[key], example);
	test->is_right = test->is_right && (text || !test->keys[key]);
	return text;
}

static void find_name(struct loader *loader, struct test *tests, uint32_t index, struct test *test)
{
	test->name = text_of(loader, test, NAME, "\"paid orders only\"");
	if (!test->keys[NAME] || (test->name && !test->name[0]))
		WRONG(loader, test, NAME, "a test has a name: write name = \"...\";");
	for (uint32_t i = 0; test->name && i < index; i++)
		if (tests[i].name && strcmp(tests[i].name, test->name) == 0)
			WRONG(loader, test, NAME, "another test is called \"%.60s\": change one",
				test->name);
}

/* --- its stages ----------------------------------------------------------------------------------- */

static uint32_t find_draft(struct loader *loader, struct test *test, enum key key)
{
	const char *name = text_of(loader, test, key, "\"vat\"");
	struct suggest suggest;

	if (!name)
		return NONE;
	suggest_init(&suggest, name);
	for (uint32_t i = 0; i < loader->draft_count; i++) {
		if (strcmp(loader->drafts[i].name, name) == 0)
			return i;
		suggest_offer(&suggest, loader->drafts[i].name);
	}
	if (suggest.best)
		WRONG(loader, test, key, "there is no stage `%.60s`: write %s = \"%s\";", name,
			key_names[key], suggest.best);
	else
		WRONG(loader, test, key,
			"there is no stage `%.60s`: write the name of one of `stages`", name);
	return NONE;
}

static void find_stages(struct loader *loader, struct test *test)
{
	bool is_alone = test->keys[STAGE] != NULL;

	test->from = find_draft(loader, test, is_alone ? STAGE : FROM);
	test->to = is_alone ? test->from : find_draft(loader, test, TO);
	if (is_alone && (test->keys[FROM] || test->keys[TO]))
		WRONG(loader, test, test->keys[FROM] ? FROM : TO,
			"a test has either `stage`, or `from` and `to`: remove one");
	else if (!is_alone && (!test->keys[FROM] || !test->keys[TO]))
		WRONG(loader, test, test->keys[FROM] ? FROM : TO,
			"a test says which stage it is about: write stage = \"...\"; or from = "
			"\"...\"; to = \"...\";");
}

static bool leads_to(struct loader *loader, uint32_t from, uint32_t to)
{
	bool *is_below = arena_alloc_array(&loader->arena, loader->draft_count, sizeof(bool));
	bool has_grown = is_below != NULL;

	if (is_below)
		is_below[from] = true;
	while (has_grown) {
		has_grown = false;
		for (uint32_t i = 0; i < loader->link_count; i++) {
			const struct draft_link *link = &loader->links[i];

			if (!is_below[link->upstream] || is_below[link->downstream])
				continue;
			is_below[link->downstream] = true;
			has_grown = true;
		}
	}
	return !is_below || is_below[to];
}

static const char *list_ports(struct loader *loader, const struct draft *draft)
{
	uint32_t count = draft_port_count(draft);
	const char **names = arena_alloc_array(&loader->arena, count + 1, sizeof(*names));

	for (uint32_t i = 0; names && i < count; i++)
		names[i] = draft_port(draft, i);
	return loader_list(loader, names, " and ");
}

static void find_port(struct loader *loader, struct test *test)
{
	const struct draft *draft = &loader->drafts[test->to];
	const char *name = text_of(loader, test, PORT, "\"out\"");
	uint32_t count = draft_port_count(draft);

	if (draft->role == SL_SINK) {
		if (test->keys[PORT])
			WRONG(loader, test, PORT,
				"`%s` is a sink and has no outputs: remove `port`", draft->name);
		return;
	}
	if (!test->keys[PORT] && count > 1 && test->keys[EXPECT])
		WRONG(loader, test, EXPECT,
			"`%s` has several outputs: say which with port = \"...\"; one of %s",
			draft->name, list_ports(loader, draft));
	for (uint32_t i = 0; name && i < count; i++) {
		if (strcmp(draft_port(draft, i), name) != 0)
			continue;
		test->port = i;
		return;
	}
	if (name)
		WRONG(loader, test, PORT, "`%s` has no output `%.60s`: write one of %s",
			draft->name, name, list_ports(loader, draft));
}

static bool is_live(const struct draft *draft)
{
	return draft->is_live || (draft->impl->flags & SL_TAKES_OVER);
}

/* What can be said only where the stages are right by themselves. */
static void check_part(struct loader *loader, struct test *test)
{
	const struct draft *from, *to;

	if (test->from == NONE || test->to == NONE)
		return;
	from = &loader->drafts[test->from];
	to = &loader->drafts[test->to];
	if (!from->impl || !to->impl || draft_is_vague(to))
		return;
	find_port(loader, test);
	if (from->role != SL_SOURCE && !test->keys[FEED] && !test->has_slip)
		WRONG(loader, test, FEED, "nothing is fed to `%s`: write feed = ( { ... } );",
			from->name);
	else if (!test->keys[FEED] && is_live(from))
		WRONG(loader, test, FEED,
			"`%s` waits for what others send: write what it would give, feed = ( { ... "
			"} );",
			from->name);
	if (test->from == test->to && from->role == SL_SINK)
		WRONG(loader, test, STAGE,
			"`%s` is a sink, and a test sees what comes to it: write from = \"...\"; "
			"to "
			"= \"%s\";",
			from->name, to->name);
	else if (test->from == test->to && from->role == SL_SOURCE && test->keys[FEED])
		WRONG(loader, test, FEED,
			"`%s` is a source, and would be replaced by `feed`: remove "
			"`feed`, or write from = \"%s\"; to = \"...\";",
			from->name, from->name);
	else if (loader->order && !leads_to(loader, test->from, test->to))
		WRONG(loader, test, TO,
			"nothing leads from `%s` to `%s`: write stages of which one "
			"takes from the other",
			from->name, to->name);
}

/* --- what it says --------------------------------------------------------------------------------- */

static void put_records(
	struct loader *loader, struct test *test, enum key key, struct sl_writer *out)
{
	sl_put_cstr(out, key_names[key]);
	if (!test->keys[key])
		sl_put_nil(out);
	else if (!test_records(loader, test->keys[key], out))
		test->is_right = false;
}

static void put_reasons(struct loader *loader, struct test *test, struct sl_writer *out)
{
	const config_setting_t *setting = test->keys[DEAD];
	bool is_one = config_setting_type(setting) == CONFIG_TYPE_STRING;
	int count = is_one ? 1 : config_setting_length(setting);

	sl_put_array(out, (uint32_t)count);
	for (int i = 0; i < count; i++) {
		const char *text = convert_string(loader, key_names[DEAD],
			is_one ? setting : config_setting_get_elem(setting, (unsigned)i),
			"( \"no such column\" )");

		sl_put_cstr(out, text ? text : "");
		test->is_right = test->is_right && text;
	}
}

static void put_dead(struct loader *loader, struct test *test, struct sl_writer *out)
{
	const config_setting_t *setting = test->keys[DEAD];
	int type = setting ? config_setting_type(setting) : CONFIG_TYPE_NONE;

	sl_put_cstr(out, key_names[DEAD]);
	if (type == CONFIG_TYPE_INT && config_setting_get_int(setting) >= 0) {
		sl_put_int(out, config_setting_get_int(setting));
	} else if (type == CONFIG_TYPE_STRING || type == CONFIG_TYPE_LIST ||
		   type == CONFIG_TYPE_ARRAY) {
		put_reasons(loader, test, out);
	} else {
		if (setting)
			WRONG(loader, test, DEAD,
				"`dead` takes how many records are given up, or a list of what "
				"their "
				"reasons hold, not %s: write dead = 1; or dead = ( \"...\" );",
				convert_found(loader, setting));
		sl_put_nil(out);
	}
}

static void put_tolerance(struct loader *loader, struct test *test, struct sl_writer *out)
{
	const config_setting_t *setting = test->keys[TOLERANCE];
	int type = setting ? config_setting_type(setting) : CONFIG_TYPE_NONE;
	double tolerance = type == CONFIG_TYPE_FLOAT ? config_setting_get_float(setting)
			   : type == CONFIG_TYPE_INT ? config_setting_get_int(setting)
						     : 0;

	if (setting && ((type != CONFIG_TYPE_FLOAT && type != CONFIG_TYPE_INT) ||
			       !(tolerance >= 0) || isinf(tolerance)))
		WRONG(loader, test, TOLERANCE,
			"`tolerance` takes a number that is not negative, not %s: write tolerance "
			"= "
			"1e-9;",
			convert_found(loader, setting));
	sl_put_cstr(out, key_names[TOLERANCE]);
	sl_put_double(out, tolerance);
}

static void put_test(struct loader *loader, struct test *test, struct sl_writer *out)
{
	struct text_place place = text_place(&loader->text, test->line);

	sl_put_map(out, 10);
	sl_put_cstr(out, "name");
	sl_put_cstr(out, test->name ? test->name : "");
	sl_put_cstr(out, "file");
	sl_put_cstr(out, place.file);
	sl_put_cstr(out, "line");
	sl_put_uint(out, place.line);
	sl_put_cstr(out, "from");
	sl_put_cstr(out, test->from == NONE ? "" : loader->drafts[test->from].name);
	sl_put_cstr(out, "to");
	sl_put_cstr(out, test->to == NONE ? "" : loader->drafts[test->to].name);
	sl_put_cstr(out, "port");
	sl_put_uint(out, test->port);
	put_records(loader, test, FEED, out);
	put_records(loader, test, EXPECT, out);
	put_dead(loader, test, out);
	put_tolerance(loader, test, out);
}

static void resolve_one(
	struct loader *loader, struct test *tests, uint32_t index, struct sl_writer *out)
{
	struct test *test = &tests[index];

	test->line = config_setting_source_line(test->setting);
	test->from = NONE;
	test->to = NONE;
	test->is_right = true;
	if (!config_setting_is_group(test->setting)) {
		WRONG(loader, test, NAME, "a test is a group, not %s: write " SHAPE,
			convert_found(loader, test->setting));
		sl_put_nil(out);
		return;
	}
	find_keys(loader, test);
	find_name(loader, tests, index, test);
	find_stages(loader, test);
	check_part(loader, test);
	if (!test->keys[EXPECT] && !test->keys[DEAD] && !test->has_slip)
		WRONG(loader, test, EXPECT,
			"the test expects nothing: write expect = ( { ... } );");
	put_test(loader, test, out);
}

void tests_resolve(struct loader *loader, struct sl_writer *out)
{
	const config_setting_t *setting = config_lookup(&loader->config, "tests");
	uint32_t count = setting ? (uint32_t)config_setting_length(setting) : 0;
	struct test *tests = arena_alloc_array(&loader->arena, count, sizeof(*tests));

	if (setting && !config_setting_is_list(setting)) {
		problems_error(&loader->problems, config_setting_source_line(setting),
			"`tests` takes a list of groups, not %s: write " SHAPE,
			convert_found(loader, setting));
		count = 0;
	}
	sl_put_array(out, count);
	for (uint32_t i = 0; tests && i < count; i++) {
		tests[i].setting = config_setting_get_elem(setting, i);
		resolve_one(loader, tests, i, out);
	}
	if (sl_record_done(out) < 0)
		loader->arena.error = -ENOMEM;
}
