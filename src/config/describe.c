/* SPDX-License-Identifier: MIT */
/* See describe.h. */
#include "config/describe.h"

#include <inttypes.h>
#include <string.h>

#include "base/units.h"
#include "config/schema.h"

static const char *const headings[] = {
	[SL_SOURCE] = "Sources", [SL_TRANSFORM] = "Transforms", [SL_SINK] = "Sinks"
};

/* --- the parts of a row, as plain text --------------------------------------------------------------- */

/* What may stand in the place of a type: "integer or auto", "one of csv, json". */
static void print_type(const struct sl_option *option, FILE *out)
{
	bool is_choice = option->type == SL_TYPE_CHOICE;

	(void)fputs(is_choice ? "one of" : schema_type_name(option->type), out);
	for (int i = 0; option->choices && option->choices[i]; i++)
		(void)fprintf(out, "%s \"%s\"",
			!is_choice ? " or"
			: i > 0    ? ","
				   : "",
			option->choices[i]);
}

static const char *print_bound(const struct sl_option *option, int64_t x, char *text, size_t size)
{
	if (option->type == SL_TYPE_SIZE)
		return units_print_size((uint64_t)x, text, size);
	if (option->type == SL_TYPE_DURATION)
		return units_print_duration(x, text, size);
	(void)snprintf(text, size, "%" PRIi64, x);
	return text;
}

/* ", 1 to 64"; nothing where there are no bounds. */
static void print_bounds(const struct sl_option *option, FILE *out)
{
	char min[32], max[32];

	if (option->min == 0 && option->max == 0)
		return;
	(void)print_bound(option, option->min, min, sizeof(min));
	if (option->max == INT64_MAX)
		(void)fprintf(out, ", at least %s", min);
	else
		(void)fprintf(
			out, ", %s to %s", min, print_bound(option, option->max, max, sizeof(max)));
}

/* As it stands behind `=` in a config: in quotes where those are needed. */
static void print_default(const struct sl_option *option, FILE *out)
{
	bool is_bare = option->type == SL_TYPE_INT || option->type == SL_TYPE_REAL ||
		       option->type == SL_TYPE_BOOL;

	if (is_bare)
		(void)fputs(option->fallback, out);
	else
		(void)fprintf(out, "\"%s%s\"", strcmp(option->fallback, "\"") == 0 ? "\\" : "",
			option->fallback);
}

static bool is_own(const struct sl_stage *stage, const struct sl_option *common)
{
	return schema_find(stage->options, common->name) != NULL;
}

/* Is that common option one of this stage? A stage's own option of the same name hides it. */
static bool is_common(const struct sl_stage *stage, const struct sl_option *option)
{
	if (!(stage->flags & SL_TASKS) && (strcmp(option->name, "coroutines") == 0 ||
						  strcmp(option->name, "stack_size") == 0))
		return false;
	if (!stage->transform &&
		(strcmp(option->name, "timeout") == 0 || strcmp(option->name, "retries") == 0))
		return false;
	if (((stage->flags & SL_ONE_PROCESS) && strcmp(option->name, "processes") == 0) ||
		((stage->flags & SL_ONE_THREAD) && strcmp(option->name, "threads") == 0))
		return false;
	if ((stage->flags & SL_HAS_STATE) && strcmp(option->name, "when_full") == 0)
		return false;
	if (stage->role == SL_SOURCE && (stage->flags & SL_RESUMES) &&
		!(stage->flags & SL_TAKES_OVER) && !stage->is_live &&
		(strcmp(option->name, "intake") == 0 || strcmp(option->name, "spill_max") == 0))
		return false;
	return schema_common_fits(option, stage->role) && !is_own(stage, option);
}

/* --- a terminal -------------------------------------------------------------------------------------- */

static void print_option(const struct sl_option *option, FILE *out)
{
	(void)fprintf(out, "  %s: ", option->name);
	print_type(option, out);
	print_bounds(option, out);
	if (option->required)
		(void)fputs(", required", out);
	if (option->fallback) {
		(void)fputs(", default ", out);
		print_default(option, out);
	}
	(void)fprintf(out, "\n      %s\n", option->help ? option->help : "");
	if (option->example)
		(void)fprintf(out, "      %s = %s;\n", option->name, option->example);
}

/* What its sandbox leaves it. */
static void print_needs(const struct sl_stage *stage, FILE *out)
{
	static const struct {
		unsigned flag;
		const char *what;
	} needs[] = { { SL_NEEDS_NETWORK, "the network" }, { SL_NEEDS_FILES, "files" } };
	const char *before = "";

	if (!(stage->flags & SL_CONFINED)) {
		(void)fputs("Does not say what it needs: its sandbox refuses nothing but new "
			    "rights.\n",
			out);
		return;
	}
	if (stage->flags & SL_NEEDS_EXEC) {
		(void)fputs("Starts programs: its sandbox refuses nothing but new rights.\n", out);
		return;
	}
	(void)fputs("Needs ", out);
	for (size_t i = 0; i < sizeof(needs) / sizeof(needs[0]); i++) {
		if (!(stage->flags & needs[i].flag))
			continue;
		(void)fprintf(out, "%s%s", before, needs[i].what);
		before = " and ";
	}
	(void)fprintf(out, "%s: its sandbox refuses %s.\n",
		*before ? "" : "neither files nor the network",
		*before ? "all others" : "both, and programs");
}

static void print_flags(const struct sl_stage *stage, FILE *out)
{
	if (stage->flags & SL_ONE_PROCESS)
		(void)fputs("Works in one process only.\n", out);
	if (stage->flags & SL_ONE_THREAD)
		(void)fputs("Works in one thread only.\n", out);
	if (stage->flags & SL_TASKS)
		(void)fputs("Works on several records of a worker at once (coroutines).\n", out);
	print_needs(stage, out);
	if (stage->flags & SL_HAS_STATE)
		(void)fputs("Keeps what it knows in a store on disk, and goes on with it after any "
			    "death.\n",
			out);
	if (stage->role != SL_SOURCE)
		return;
	if (stage->flags & SL_TAKES_OVER)
		(void)fputs("After a death, a successor reads on; what was read and not settled is "
			    "lost.\n",
			out);
	else if (stage->flags & SL_RESUMES)
		(void)fputs("After a death, a successor goes on where it stood.\n", out);
	if (stage->flags & SL_WAITS)
		(void)fputs("May wait long for its input.\n", out);
}

static void print_ports(const struct sl_stage *stage, FILE *out)
{
	if (stage->port)
		(void)fputs(
			"Its options name its outputs (written from = \"STAGE.OUTPUT\").\n", out);
	if (!stage->ports || stage->role == SL_SINK)
		return;
	(void)fputs("Outputs:", out);
	for (int i = 0; stage->ports[i]; i++)
		(void)fprintf(out, "%s %s", i > 0 ? "," : "", stage->ports[i]);
	(void)fputs(" (written from = \"STAGE.OUTPUT\")\n", out);
}

void describe_print(const struct sl_stage *stage, FILE *out)
{
	const struct sl_option *option = stage->options;

	(void)fprintf(
		out, "%s = \"%s\": %s\n", graph_roles[stage->role], stage->name, stage->summary);
	print_flags(stage, out);
	print_ports(stage, out);
	if (option && option->name)
		(void)fputs("\nIts options:\n\n", out);
	for (; option && option->name; option++)
		print_option(option, out);
	(void)fprintf(out, "\nOptions of every %s:\n\n", graph_roles[stage->role]);
	if (stage->role != SL_SOURCE)
		(void)fputs("  from: string or strings, required\n      the stage, or stages, "
			    "whose records it takes\n"
			    "      from = \"read\";\n",
			out);
	for (option = schema_common; option->name; option++)
		if (is_common(stage, option))
			print_option(option, out);
}

/* Those of a role by name, one after the other. */
static const struct sl_stage *next_stage(
	const struct load_stages *stages, int role, const struct sl_stage *after)
{
	const struct sl_stage *stage, *next = NULL;

	for (unsigned i = 0; (stage = stages->at(i)); i++)
		if (stage->role == (enum sl_role)role &&
			(!after || strcmp(stage->name, after->name) > 0) &&
			(!next || strcmp(stage->name, next->name) < 0))
			next = stage;
	return next;
}

static int name_width(const struct load_stages *stages)
{
	size_t width = 0;

	for (unsigned i = 0; stages->at(i); i++)
		if (strlen(stages->at(i)->name) > width)
			width = strlen(stages->at(i)->name);
	return (int)width;
}

void describe_list(const struct load_stages *stages, FILE *out)
{
	for (int role = SL_SOURCE; role <= SL_SINK; role++) {
		const struct sl_stage *stage = NULL;

		(void)fprintf(out, "%s%s\n", role > SL_SOURCE ? "\n" : "", headings[role]);
		while ((stage = next_stage(stages, role, stage)))
			(void)fprintf(out, "  %-*s  %s\n", name_width(stages), stage->name,
				stage->summary);
	}
}

/* --- roff -------------------------------------------------------------------------------------------- */

static void roff_text(const char *text, FILE *out)
{
	if (*text == '.' || *text == '\'')
		(void)fputs("\\&", out);
	for (; *text; text++) {
		if (*text == '\\')
			(void)fputs("\\e", out);
		else if (*text == '-')
			(void)fputs("\\-", out);
		else
			(void)fputc(*text, out);
	}
}

static void roff_option(const struct sl_option *option, FILE *out)
{
	(void)fprintf(out, ".TP\n\\fB%s\\fR (", option->name);
	print_type(option, out);
	print_bounds(option, out);
	if (option->required)
		(void)fputs(", required", out);
	if (option->fallback) {
		(void)fputs(", default ", out);
		roff_text(option->fallback, out);
	}
	(void)fputs(")\n", out);
	roff_text(option->help ? option->help : "", out);
	if (option->example) {
		(void)fprintf(out, ".\nExample: \\fB%s = ", option->name);
		roff_text(option->example, out);
		(void)fputs(";\\fR", out);
	}
	(void)fputc('\n', out);
}

void describe_roff(const struct load_stages *stages, FILE *out)
{
	(void)fputs(".SH OPTIONS OF EVERY STAGE\n", out);
	for (const struct sl_option *option = schema_common; option->name; option++)
		roff_option(option, out);
	for (int role = SL_SOURCE; role <= SL_SINK; role++) {
		const struct sl_stage *stage = NULL;

		(void)fprintf(out, ".SH %s\n",
			role == SL_SOURCE      ? "SOURCES"
			: role == SL_TRANSFORM ? "TRANSFORMS"
					       : "SINKS");
		while ((stage = next_stage(stages, role, stage))) {
			(void)fprintf(
				out, ".SS %s = \\(dq%s\\(dq\n", graph_roles[role], stage->name);
			roff_text(stage->summary, out);
			(void)fputs(".\n", out);
			for (const struct sl_option *option = stage->options;
				option && option->name; option++)
				roff_option(option, out);
		}
	}
}

/* --- markdown ---------------------------------------------------------------------------------------- */

/* A `|` would end the cell. */
static void markdown_cell(const char *text, FILE *out)
{
	for (; *text; text++) {
		if (*text == '|')
			(void)fputc('\\', out);
		(void)fputc(*text, out);
	}
}

static void markdown_option(const struct sl_option *option, FILE *out)
{
	(void)fprintf(out, "| `%s` | ", option->name);
	print_type(option, out);
	print_bounds(option, out);
	(void)fputs(" | ", out);
	if (option->required) {
		(void)fputs("required", out);
	} else if (option->fallback) {
		(void)fputc('`', out);
		print_default(option, out);
		(void)fputc('`', out);
	}
	(void)fputs(" | ", out);
	markdown_cell(option->help ? option->help : "", out);
	(void)fputs(" | ", out);
	if (option->example) {
		(void)fprintf(out, "`%s = ", option->name);
		markdown_cell(option->example, out);
		(void)fputs(";`", out);
	}
	(void)fputs(" |\n", out);
}

static void markdown_head(FILE *out)
{
	(void)fputs(
		"| option | type | default | meaning | example |\n|---|---|---|---|---|\n", out);
}

void describe_markdown(const struct sl_stage *stage, FILE *out)
{
	if (stage->options && stage->options->name)
		markdown_head(out);
	else
		(void)fputs("It has no options of its own.\n", out);
	for (const struct sl_option *option = stage->options; option && option->name; option++)
		markdown_option(option, out);
	(void)fprintf(out, "\nOptions of every %s:\n\n", graph_roles[stage->role]);
	markdown_head(out);
	for (const struct sl_option *option = schema_common; option->name; option++)
		if (is_common(stage, option))
			markdown_option(option, out);
}
