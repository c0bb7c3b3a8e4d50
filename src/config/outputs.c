/* SPDX-License-Identifier: MIT */
/* The outputs of a draft: as its implementation lists them, or as its options name them; else one, "out". */
#include "config/loader.h"

#include <ctype.h>
#include <string.h>

#define OUTPUT_NAME_MAX 32

static const char *const default_ports[] = { "out", NULL };

static const char *const *ports_of(const struct draft *draft)
{
	if (draft->ports)
		return draft->ports;
	return draft->impl && draft->impl->ports ? draft->impl->ports : default_ports;
}

bool draft_is_vague(const struct draft *draft)
{
	return !draft->impl || (draft->impl->port && !draft->ports);
}

uint32_t draft_port_count(const struct draft *draft)
{
	uint32_t count = 0;

	if (draft->role == SL_SINK)
		return 0;
	while (ports_of(draft)[count])
		count++;
	return count;
}

const char *draft_port(const struct draft *draft, uint32_t port)
{
	return ports_of(draft)[port];
}

/* --- named by options ----------------------------------------------------------------------------------- */

/* The line that names the output, in a group among the options; else the stage's. */
static unsigned output_line(const struct draft *draft, const char *name)
{
	for (int i = 0; i < config_setting_length(draft->setting); i++) {
		const config_setting_t *group =
			config_setting_get_elem(draft->setting, (unsigned)i);
		const config_setting_t *member = config_setting_is_group(group)
							 ? config_setting_get_member(group, name)
							 : NULL;

		if (member)
			return config_setting_source_line(member);
	}
	return draft->line;
}

static bool is_output_name(const char *name)
{
	bool is_right = islower((unsigned char)name[0]) && strlen(name) <= OUTPUT_NAME_MAX;

	for (const char *at = name; *at; at++)
		is_right =
			is_right && (islower((unsigned char)*at) || isdigit((unsigned char)*at) ||
					    *at == '-' || *at == '_');
	return is_right;
}

/* Can `ports[count - 1]` stand behind those before it? Else reported. */
static bool check_output(
	struct loader *loader, const struct draft *draft, const char *const *ports, uint32_t count)
{
	const char *name = ports[count - 1];

	if (!is_output_name(name)) {
		problems_error(&loader->problems, output_line(draft, name),
			"`%.64s` cannot name an output: write a lower-case letter first, then "
			"lower-case letters, digits, `-` and `_`, %d at most",
			name, OUTPUT_NAME_MAX);
		return false;
	}
	for (uint32_t i = 0; i < count - 1; i++)
		if (strcmp(ports[i], name) == 0) {
			problems_error(&loader->problems, output_line(draft, name),
				"`%s` has two outputs `%s`: write another name for one",
				draft->name, name);
			return false;
		}
	return true;
}

void outputs_keep(struct loader *loader, struct draft *draft, const void *shared)
{
	bool is_right = true;
	uint32_t count = 0;
	const char **ports;

	while (draft->impl->port(shared, count))
		count++;
	ports = arena_alloc_array(&loader->arena, count + 1, sizeof(*ports));
	for (uint32_t i = 0; ports && i < count; i++) {
		const char *port = draft->impl->port(shared, i);

		ports[i] = arena_copy(&loader->arena, port, strlen(port));
		if (!ports[i])
			return;
		is_right = check_output(loader, draft, ports, i + 1) && is_right;
	}
	if (count == 0)
		problems_error(&loader->problems, draft->line, "`%s` has no outputs", draft->name);
	else if (is_right)
		draft->ports = ports;
}
