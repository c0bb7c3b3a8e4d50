/* SPDX-License-Identifier: MIT */
/* See check.h. */
#include "check.h"

#include <errno.h>
#include <string.h>

#include "build.h"
#include "server.h"

static int check_home(struct sl_context *ctx, const struct lookup *o)
{
	if (!o->path == !o->connection)
		return sl_error(ctx, -EINVAL,
			"write where the table is: `path`, a file or an SQLite database, or "
			"`connection`, a PostgreSQL server");
	if (o->table && o->query)
		return sl_error(ctx, -EINVAL, "write either `table` or `query`");
	if (o->connection && !o->table && !o->query)
		return sl_error(ctx, -EINVAL,
			"`connection` wants a `table`, or a `query`: table = \"prices\";");
	if (o->path && *o->path == '\0')
		return sl_error(ctx, -EINVAL, "`path` names no file");
	return o->connection ? server_check(ctx, o->connection) : 0;
}

static int check_format(struct sl_context *ctx, const struct lookup *o)
{
	if (lookup_home(o) != HOME_FILE) {
		if (o->format != SL_FORMAT_AUTO)
			return sl_error(ctx, -EINVAL,
				"`format` is for a file: remove it, or `table` and `query`");
		return 0;
	}
	if (lookup_format(o) == SL_FORMAT_AUTO)
		return sl_error(ctx, -EINVAL,
			"`path` does not say its format: write format = \"csv\"; or for an SQLite "
			"database table = \"prices\";");
	if (lookup_format(o) == SL_FORMAT_LINES)
		return sl_error(ctx, -EINVAL, "`format` cannot be \"lines\": they have no columns");
	return 0;
}

static bool takes(const struct lookup *o, const char *column)
{
	for (uint32_t i = 0; i < o->take.count; i++)
		if (strcmp(o->take.items[i], column) == 0)
			return true;
	return o->take.count == 0;
}

static int check_names(struct sl_context *ctx, const struct lookup *o)
{
	for (uint32_t i = 0; i < o->rename.count; i++)
		if (!takes(o, o->rename.names[i]))
			return sl_error(ctx, -EINVAL,
				"`rename` names \"%s\", which `take` does not", o->rename.names[i]);
	for (uint32_t i = 0; i < o->take.count; i++)
		for (uint32_t k = 0; k < i; k++)
			if (strcmp(o->take.items[i], o->take.items[k]) == 0)
				return sl_error(ctx, -EINVAL, "`take` names \"%s\" twice",
					o->take.items[i]);
	return 0;
}

int check_options(struct sl_context *ctx, const struct lookup *o)
{
	int r = check_home(ctx, o);

	if (r == 0)
		r = check_format(ctx, o);
	if (r < 0)
		return r;
	if (lookup_key_count(o) == 0)
		return sl_error(ctx, -EINVAL,
			"write by what the row is found: on = \"id\"; where the names are the "
			"same, "
			"else `key`: key = { article = \"id\"; };");
	if (o->missing == MISSING_NULL && o->take.count == 0)
		return sl_error(ctx, -EINVAL,
			"missing = \"null\" wants `take`, so that it is known which fields are "
			"null");
	return check_names(ctx, o);
}
