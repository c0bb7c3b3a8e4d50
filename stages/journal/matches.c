/* SPDX-License-Identifier: MIT */
/* See matches.h. */
#include "matches.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define UNIT_MAX 255

const char *const priority_names[] = { "any", "emerg", "alert", "crit", "err", "warning", "notice",
	"info", "debug", NULL };

/* --- checking ----------------------------------------------------------------------------------- */

static bool is_match(const char *text)
{
	size_t size = strcspn(text, "=");

	if (text[size] != '=' || size == 0 || size > 64 || strncmp(text, "__", 2) == 0)
		return false;
	for (size_t i = 0; i < size; i++)
		if (!isupper((unsigned char)text[i]) && !isdigit((unsigned char)text[i]) &&
			text[i] != '_')
			return false;
	return !isdigit((unsigned char)text[0]);
}

static int check_match(struct sl_context *ctx, const struct sl_strings *match, uint32_t i)
{
	const char *text = match->items[i];
	bool is_edge = i == 0 || i + 1 == match->count;

	if (strcmp(text, "+") != 0)
		return is_match(text)
			       ? 0
			       : sl_error(ctx, -EINVAL,
					 "`match`: \"%.60s\" is no match: write "
					 "\"FIELD=value\", as in \"_UID=0\", or \"+\" for or",
					 text);
	if (is_edge || strcmp(match->items[i - 1], "+") == 0)
		return sl_error(ctx, -EINVAL,
			"`match`: \"+\" stands between matches: [ \"_UID=0\", \"+\", "
			"\"_COMM=sshd\" ]");
	return 0;
}

static int check_unit(struct sl_context *ctx, const char *unit)
{
	if (!*unit || strlen(unit) > UNIT_MAX - sizeof(".service"))
		return sl_error(ctx, -EINVAL, "`unit`: \"%.40s\" is no name of a unit", unit);
	if (strpbrk(unit, "*?[/ "))
		return sl_error(ctx, -EINVAL,
			"`unit`: \"%.60s\": a unit is named in full: write each, as in [ "
			"\"ssh.service\", \"cron.service\" ]",
			unit);
	return 0;
}

int matches_check(struct sl_context *ctx, const struct matches *matches)
{
	int r = 0;

	for (uint32_t i = 0; i < matches->unit.count && r == 0; i++)
		r = check_unit(ctx, matches->unit.items[i]);
	for (uint32_t i = 0; i < matches->match.count && r == 0; i++)
		r = check_match(ctx, &matches->match, i);
	return r;
}

bool matches_any(const struct matches *matches)
{
	return matches->unit.count > 0 || matches->match.count > 0 || matches->priority > 0;
}

/* --- adding ------------------------------------------------------------------------------------- */

/* Entries in which all of these stand, or what was added before. */
static int add_group(sd_journal *journal, const char *const *matches)
{
	int r = sd_journal_add_disjunction(journal);

	for (; *matches && r == 0; matches++)
		r = sd_journal_add_match(journal, *matches, 0);
	return r;
}

/* What the unit says, and what systemd says of it: its starts and stops, its crashes. */
static int add_unit(sd_journal *journal, const char *unit)
{
	static const char crash[] = "MESSAGE_ID=fc2e22bc6ee647b6b90729ab34a250b1";
	static const char *const fields[] = { "_SYSTEMD_UNIT", "UNIT", "COREDUMP_UNIT",
		"OBJECT_SYSTEMD_UNIT" };
	char text[4][UNIT_MAX + 32];
	const char *suffix = strchr(unit, '.') ? "" : ".service";
	int r;

	for (int i = 0; i < 4; i++)
		(void)snprintf(text[i], sizeof(text[i]), "%s=%s%s", fields[i], unit, suffix);
	r = add_group(journal, (const char *[]){ text[0], NULL });
	if (r == 0)
		r = add_group(journal, (const char *[]){ "_PID=1", text[1], NULL });
	if (r == 0)
		r = add_group(journal, (const char *[]){ "_UID=0", crash, text[2], NULL });
	return r == 0 ? add_group(journal, (const char *[]){ "_UID=0", text[3], NULL }) : r;
}

static int add_priority(sd_journal *journal, int priority)
{
	char text[] = "PRIORITY=0";
	int r = 0;

	for (int i = 0; i < priority && r == 0; i++) {
		text[sizeof(text) - 2] = (char)('0' + i);
		r = sd_journal_add_match(journal, text, 0);
	}
	return r;
}

int matches_add(const struct matches *matches, sd_journal *journal)
{
	int r = 0;

	for (uint32_t i = 0; i < matches->unit.count && r == 0; i++)
		r = add_unit(journal, matches->unit.items[i]);
	if (r == 0)
		r = sd_journal_add_conjunction(journal);
	if (r == 0)
		r = add_priority(journal, matches->priority);
	if (r == 0)
		r = sd_journal_add_conjunction(journal);
	for (uint32_t i = 0; i < matches->match.count && r == 0; i++)
		r = strcmp(matches->match.items[i], "+") == 0
			    ? sd_journal_add_disjunction(journal)
			    : sd_journal_add_match(journal, matches->match.items[i], 0);
	return r;
}
