/* SPDX-License-Identifier: MIT */
/* See table.h. */
#include "table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"

/* --- reading ------------------------------------------------------------------------------------ */

/* A domain is what it is made of. */
static const char columns_query[] =
	"SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname), a.attname,"
	" quote_ident(a.attname), coalesce(b.oid, t.oid), t.typcategory = 'A',"
	" coalesce(b.typelem, t.typelem), a.atthasdef OR a.attidentity <> ''"
	" FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
	" JOIN pg_attribute a ON a.attrelid = c.oid JOIN pg_type t ON t.oid = a.atttypid"
	" LEFT JOIN pg_type b ON b.oid = t.typbasetype AND t.typtype = 'd'"
	" WHERE c.oid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped"
	" AND a.attgenerated = '' ORDER BY a.attnum";

enum { AT_TABLE, AT_NAME, AT_QUOTED, AT_TYPE, AT_IS_ARRAY, AT_ELEMENT, AT_HAS_DEFAULT };

static enum into into_of(const char *oid)
{
	switch (strtoul(oid, NULL, 10)) {
	case PG_JSONOID:
	case PG_JSONBOID:
		return INTO_JSON;
	case PG_BYTEAOID:
		return INTO_BYTES;
	default:
		return INTO_PLAIN;
	}
}

static int read_column(const PGresult *result, int row, struct column *column)
{
	bool is_array = *PQgetvalue(result, row, AT_IS_ARRAY) == 't';

	column->name = strdup(PQgetvalue(result, row, AT_NAME));
	column->quoted = strdup(PQgetvalue(result, row, AT_QUOTED));
	if (!column->name || !column->quoted)
		return -ENOMEM;
	column->name_size = strlen(column->name);
	column->target.into = is_array ? INTO_ARRAY : into_of(PQgetvalue(result, row, AT_TYPE));
	column->target.element = into_of(PQgetvalue(result, row, AT_ELEMENT));
	column->has_default = *PQgetvalue(result, row, AT_HAS_DEFAULT) == 't';
	return 0;
}

static int read_columns(const PGresult *result, struct table *table)
{
	int count = PQntuples(result);
	int r = 0;

	if (count == 0)
		return -ENOENT;
	table->columns = calloc((size_t)count, sizeof(*table->columns));
	table->quoted = strdup(PQgetvalue(result, 0, AT_TABLE));
	if (!table->columns || !table->quoted)
		return -ENOMEM;
	table->count = (uint32_t)count;
	for (int row = 0; row < count && r == 0; row++)
		r = read_column(result, row, &table->columns[row]);
	return r;
}

static int mark_keys(
	struct sl_context *ctx, const char *name, const struct sl_strings *key, struct table *table)
{
	for (uint32_t i = 0; i < key->count; i++) {
		uint32_t at = table_find(table, key->items[i], strlen(key->items[i]), 0);

		if (at == UINT32_MAX)
			return sl_error(ctx, -EINVAL, "the table %s has no column `%s`: see `key`",
				name, key->items[i]);
		table->key_count += !table->columns[at].is_key;
		table->columns[at].is_key = true;
	}
	return 0;
}

int table_read(struct sl_context *ctx, PGconn *conn, const char *name, const struct sl_strings *key,
	struct table *table)
{
	PGresult *result;
	int r = pg_ask(ctx, conn, columns_query, 1, &name, &result);

	if (r == SL_REJECTED)
		r = pg_failed(ctx, conn, result);
	if (r == 0)
		r = read_columns(result, table);
	PQclear(result);
	if (r == 0)
		r = mark_keys(ctx, name, key, table);
	if (r < 0)
		table_fini(table);
	return r;
}

void table_fini(struct table *table)
{
	for (uint32_t i = 0; i < table->count; i++) {
		free(table->columns[i].name);
		free(table->columns[i].quoted);
	}
	free(table->columns);
	free(table->quoted);
	*table = (struct table){ 0 };
}

uint32_t table_find(const struct table *table, const char *name, size_t size, uint32_t hint)
{
	for (uint32_t n = 0; n < table->count; n++) {
		uint32_t i = hint + n < table->count ? hint + n : hint + n - table->count;

		if (table->columns[i].name_size == size &&
			memcmp(table->columns[i].name, name, size) == 0)
			return i;
	}
	return UINT32_MAX;
}

/* --- making ------------------------------------------------------------------------------------- */

/* A field, and what kinds of values it was seen with: bits of enum sl_kind. */
struct field {
	const char *name;
	size_t size;
	unsigned kinds;
	bool is_large; /* an integer beyond bigint */
};

struct fields {
	struct field *items;
	uint32_t count;
};

static int see(struct fields *fields, const char *name, size_t size, struct sl_value v)
{
	struct field *field = fields->items;
	int64_t integer;

	while (field < fields->items + fields->count &&
		(field->size != size || memcmp(field->name, name, size) != 0))
		field++;
	if (field == fields->items + fields->count) {
		struct field *grown =
			reallocarray(fields->items, fields->count + 1, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		fields->items = grown;
		field = grown + fields->count++;
		*field = (struct field){ .name = name, .size = size };
	}
	field->kinds |= 1u << sl_kind(v);
	field->is_large |= sl_kind(v) == SL_INT && !sl_get_int(v, &integer);
	return 0;
}

static int see_record(struct fields *fields, struct sl_value record)
{
	struct sl_cursor c = sl_walk(record);
	struct sl_value key, value;
	const char *name;
	size_t size;
	int r = 0;

	if (sl_kind(record) != SL_MAP)
		return see(fields, TABLE_BARE, sizeof(TABLE_BARE) - 1, record);
	while (r == 0 && sl_next(&c, &key, &value))
		if (sl_get_str(key, &name, &size))
			r = see(fields, name, size, value);
	return r;
}

static const char *type_of(const struct field *field)
{
	unsigned kinds = field->kinds & ~(1u << SL_NIL);

	if (kinds & (1u << SL_MAP | 1u << SL_ARRAY))
		return " jsonb";
	if (kinds == 1u << SL_BOOL)
		return " boolean";
	if (kinds == 1u << SL_INT)
		return field->is_large ? " numeric" : " bigint";
	if (kinds && (kinds & ~(1u << SL_INT | 1u << SL_FLOAT)) == 0)
		return " double precision";
	return kinds == 1u << SL_BIN ? " bytea" : " text";
}

/* PostgreSQL's own quoting, of a name that need not be 0-terminated. */
static int put_name(struct sl_writer *sql, PGconn *conn, const char *name, size_t size)
{
	char *quoted = PQescapeIdentifier(conn, name, size);

	if (!quoted)
		return -EINVAL;
	text_add(sql, quoted);
	PQfreemem(quoted);
	return 0;
}

static int write_create(struct sl_writer *sql, PGconn *conn, const char *quoted,
	const struct fields *fields, const struct sl_strings *key)
{
	int r = 0;

	text_add(sql, "SELECT pg_advisory_xact_lock(7308332046); CREATE TABLE IF NOT EXISTS ");
	text_add(sql, quoted);
	for (uint32_t i = 0; i < fields->count && r == 0; i++) {
		text_add(sql, i == 0 ? " (" : ", ");
		r = put_name(sql, conn, fields->items[i].name, fields->items[i].size);
		text_add(sql, type_of(&fields->items[i]));
	}
	for (uint32_t i = 0; i < key->count && r == 0; i++) {
		text_add(sql, i == 0 ? ", PRIMARY KEY (" : ", ");
		r = put_name(sql, conn, key->items[i], strlen(key->items[i]));
	}
	text_add(sql, key->count > 0 ? "))" : ")");
	return r;
}

/* The name, quoted part by part. */
static int quote(struct sl_context *ctx, PGconn *conn, const char *name, PGresult **ret)
{
	int r = pg_ask(ctx, conn,
		"SELECT string_agg(quote_ident(part), '.' ORDER BY n)"
		" FROM unnest(parse_ident($1)) WITH ORDINALITY AS parts (part, n)",
		1, &name, ret);

	if (r == SL_REJECTED) {
		r = pg_failed(ctx, conn, *ret);
		PQclear(*ret);
		*ret = NULL;
	}
	return r;
}

int table_create(struct sl_context *ctx, PGconn *conn, const char *name,
	const struct sl_strings *key, const struct sl_batch *first)
{
	struct fields fields = { 0 };
	struct sl_writer sql;
	PGresult *result = NULL;
	int r = 0;

	sl_writer_init(&sql);
	for (uint32_t i = 0; i < sl_batch_count(first) && r == 0; i++)
		r = see_record(&fields, sl_batch_record(first, i));
	if (r == 0)
		r = quote(ctx, conn, name, &result);
	if (r == 0)
		r = write_create(&sql, conn, PQgetvalue(result, 0, 0), &fields, key);
	if (r == -EINVAL)
		r = sl_error(
			ctx, r, "cannot create the table %s: a field's name is no UTF-8", name);
	if (r == 0)
		r = text_end(&sql) ? pg_run(ctx, conn, sql.data, NULL) : -ENOMEM;
	PQclear(result);
	sl_writer_fini(&sql);
	free(fields.items);
	return r > 0 ? -EIO : r;
}
