/* SPDX-License-Identifier: MIT */
/* See needs.h. */
#include "needs.h"

#include <errno.h>
#include <string.h>

#include "ledger.h"
#include "text.h"

/* One row of one column, the answer; a refusal is a failure. */
static int ask(struct sl_context *ctx, PGconn *conn, const char *query, int count,
	const char *const *values, PGresult **ret)
{
	int r = pg_ask(ctx, conn, query, count, values, ret);

	if (r == SL_REJECTED)
		r = pg_failed(ctx, conn, *ret);
	if (r < 0) {
		PQclear(*ret);
		*ret = NULL;
	}
	return r;
}

/* What is to be done by somebody who may; NULL: nothing. */
static const char rights[] =
	"SELECT CASE WHEN to_regclass('" LEDGER "') IS NULL THEN"
	" CASE WHEN current_schema() IS NULL THEN 'there is no schema in which this user could"
	" create it: see search_path'"
	" WHEN NOT has_schema_privilege(current_schema(), 'CREATE') THEN"
	" format('create it for this user, as its page says, or GRANT CREATE ON SCHEMA %I TO %I',"
	" current_schema(), current_user) END"
	" WHEN NOT (has_table_privilege('" LEDGER "', 'SELECT') AND has_table_privilege('" LEDGER
	"', 'INSERT') AND has_table_privilege('" LEDGER
	"', 'UPDATE') AND has_table_privilege('" LEDGER "', 'DELETE')) THEN"
	" format('GRANT SELECT, INSERT, UPDATE, DELETE ON " LEDGER " TO %I', current_user) END";

int needs_ledger(struct sl_context *ctx, PGconn *conn)
{
	PGresult *result = NULL;
	int r = ask(ctx, conn, rights, 0, NULL, &result);

	if (r == 0 && !PQgetisnull(result, 0, 0))
		r = sl_error(ctx, -EINVAL,
			"database %s: user %s may not use the table " LEDGER
			", which keeps each row from being there twice: %s",
			PQdb(conn), PQuser(conn), PQgetvalue(result, 0, 0));
	PQclear(result);
	return r;
}

/* $1: the table, $2: the columns of the key, with a byte 1 between them. A view has no index of its own. The second column: what there is instead. */
static const char unique[] =
	"WITH wanted AS (SELECT array_agg(name ORDER BY name COLLATE \"C\") AS key"
	" FROM (SELECT DISTINCT unnest(string_to_array($2, chr(1))) AS name) AS names),"
	" there AS (SELECT ARRAY(SELECT a.attname::text FROM pg_attribute AS a"
	" WHERE a.attrelid = i.indrelid AND a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - "
	"1])"
	" ORDER BY a.attname::text COLLATE \"C\") AS key FROM pg_index AS i"
	" WHERE i.indrelid = to_regclass($1) AND i.indisunique AND i.indimmediate"
	" AND i.indpred IS NULL AND i.indexprs IS NULL)"
	" SELECT c.relkind NOT IN ('r', 'p') OR EXISTS (SELECT FROM there, wanted"
	" WHERE there.key = wanted.key),"
	" (SELECT string_agg('(' || array_to_string(key, ', ') || ')', ', ') FROM there)"
	" FROM pg_class AS c WHERE c.oid = to_regclass($1)";

static int say_missing(
	struct sl_context *ctx, const char *table, const struct sl_strings *key, const char *there)
{
	struct sl_writer names;
	int r;

	sl_writer_init(&names);
	for (uint32_t i = 0; i < key->count; i++) {
		text_add(&names, i > 0 ? ", " : "");
		text_add(&names, key->items[i]);
	}
	r = text_end(&names)
		    ? sl_error(ctx, -EINVAL,
			      "the table %s has no primary key or unique index of just "
			      "(%s), by which mode = \"upsert\" knows a row: CREATE "
			      "UNIQUE INDEX ON %s (%s), or name other columns in `key`%s%s",
			      table, names.data, table, names.data,
			      *there ? "; it has one of " : "", there)
		    : -ENOMEM;
	sl_writer_fini(&names);
	return r;
}

int needs_key(struct sl_context *ctx, PGconn *conn, const char *table, const struct sl_strings *key)
{
	PGresult *result = NULL;
	struct sl_writer joined;
	int r;

	sl_writer_init(&joined);
	for (uint32_t i = 0; i < key->count; i++) {
		text_add(&joined, i > 0 ? "\1" : "");
		text_add(&joined, key->items[i]);
	}
	r = text_end(&joined) ? ask(ctx, conn, unique, 2,
					(const char *const[]){ table, joined.data }, &result)
			      : -ENOMEM;
	if (r == 0 && PQntuples(result) > 0 && *PQgetvalue(result, 0, 0) == 'f')
		r = say_missing(ctx, table, key, PQgetvalue(result, 0, 1));
	PQclear(result);
	sl_writer_fini(&joined);
	return r;
}
