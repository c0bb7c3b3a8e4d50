/* SPDX-License-Identifier: MIT */
/* See ledger.h. */
#include "ledger.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "needs.h"

#define TIDY_INTERVAL SL_SECOND
#define NUMBER_SIZE 24

/* Parameters as text: the sink, then numbers. */
#define PARAMETERS_MAX 8
struct parameters {
	const char *values[PARAMETERS_MAX];
	char numbers[PARAMETERS_MAX][NUMBER_SIZE];
	int count;
};

static void add_text(struct parameters *p, const char *text)
{
	p->values[p->count++] = text;
}

static void add_number(struct parameters *p, uint64_t number)
{
	char *text = p->numbers[p->count];

	(void)snprintf(text, NUMBER_SIZE, "%" PRIu64, number);
	add_text(p, text);
}

/* --- the table ---------------------------------------------------------------------------------- */

/* Several processes may make it at once; who may not make tables can use one that is there. */
static const char table[] =
	"DO $$BEGIN IF to_regclass('" LEDGER "') IS NULL THEN"
	" PERFORM pg_advisory_xact_lock(7308332045);"
	" CREATE TABLE IF NOT EXISTS " LEDGER " (sink text NOT NULL, home text NOT NULL,"
	" run numeric(20) NOT NULL, origin numeric(20) NOT NULL, path numeric(20) NOT NULL,"
	" start numeric(20) NOT NULL, stop numeric(20) NOT NULL, dead bigint NOT NULL DEFAULT 0,"
	" PRIMARY KEY (sink, run, origin, path, start)); END IF; END$$";

#define OF_ORIGIN "sink = $1 AND run = $2 AND origin = $3"

/*
 * $4: path, $5: start, $6: end. It is there below the floor, or as a part of a larger one, which was cut otherwise before a power cut, or by
 * its name.
 */
static const char note[] =
	"WITH had AS (SELECT 1 FROM " LEDGER " WHERE " OF_ORIGIN
	" AND path = 0 AND start = 0 AND stop >= $6 UNION ALL SELECT 1 FROM"
	" (SELECT start, stop FROM " LEDGER " WHERE " OF_ORIGIN " AND path = $4 AND start <= $5"
	" ORDER BY start DESC LIMIT 1) AS before WHERE stop >= $6 AND (start < $5 OR stop > $6)),"
	" noted AS (INSERT INTO " LEDGER " (sink, run, origin, path, start, stop, home)"
	" SELECT $1, $2, $3, $4, $5, $6, $7 WHERE NOT EXISTS (SELECT FROM had)"
	" ON CONFLICT DO NOTHING RETURNING 1)"
	" SELECT EXISTS (SELECT FROM noted), EXISTS (SELECT FROM had)";

#define OF_BATCH OF_ORIGIN " AND path = $4 AND start = $5"
static const char recall[] = "SELECT dead FROM " LEDGER " WHERE " OF_BATCH;
static const char note_dead[] = "UPDATE " LEDGER " SET dead = $6 WHERE " OF_BATCH;

/* $4: the floor, $5: home. */
static const char tidy[] =
	"WITH floor AS (INSERT INTO " LEDGER " (sink, run, origin, path, start, stop, home)"
	" VALUES ($1, $2, $3, 0, 0, $4, $5) ON CONFLICT (sink, run, origin, path, start)"
	" DO UPDATE SET stop = greatest(" LEDGER ".stop, excluded.stop))"
	" DELETE FROM " LEDGER " WHERE " OF_ORIGIN " AND path <> 0 AND stop <= $4";

/* What other runs from here left behind. */
static const char forget_runs[] =
	"DELETE FROM " LEDGER " WHERE sink = $1 AND run <> $2 AND home = $3";

static int forget(struct sl_context *ctx, PGconn *conn, const struct ledger *ledger)
{
	struct parameters p = { .count = 0 };

	add_text(&p, sl_full_name(ctx));
	add_number(&p, sl_run(ctx));
	add_text(&p, ledger->home);
	return pg_ask(ctx, conn, forget_runs, p.count, p.values, NULL);
}

int ledger_begin(struct sl_context *ctx, PGconn *conn, struct ledger *ledger)
{
	char host[200] = "";
	int r = needs_ledger(ctx, conn);

	if (r == 0)
		r = pg_run(ctx, conn, table, NULL);

	(void)gethostname(host, sizeof(host) - 1);
	(void)snprintf(ledger->home, sizeof(ledger->home), "%s:%s", host, sl_state(ctx));
	if (r == 0)
		r = forget(ctx, conn, ledger);
	if (r == 0)
		r = pg_prepare(ctx, conn, "note", note);
	if (r == 0)
		r = pg_prepare(ctx, conn, "recall", recall);
	if (r == 0)
		r = pg_prepare(ctx, conn, "dead", note_dead);
	if (r == 0)
		r = pg_prepare(ctx, conn, "tidy", tidy);
	return r > 0 ? -EIO : r;
}

/* --- batches ------------------------------------------------------------------------------------ */

static void name_batch(struct sl_context *ctx, struct parameters *p, const struct sl_identity *id)
{
	p->count = 0;
	add_text(p, sl_full_name(ctx));
	add_number(p, id->run);
	add_number(p, id->origin);
	add_number(p, id->path);
	add_number(p, id->start);
}

static void hear_floor(struct ledger *ledger, const struct sl_identity *id)
{
	unsigned i = 0;

	ledger->run = id->run;
	if (id->floor == 0)
		return;
	while (i < ledger->floor_count && ledger->floors[i].origin != id->origin)
		i++;
	/* One that finds no place is heard of again. */
	if (i == LEDGER_FLOORS)
		return;
	if (i == ledger->floor_count) {
		ledger->floor_count++;
		ledger->floors[i].origin = id->origin;
		ledger->floors[i].floor = 0;
	}
	if (ledger->floors[i].floor < id->floor)
		ledger->floors[i].floor = id->floor;
}

/* By its name; nothing is known of what lies below the floor, and nobody counts it. */
static int recall_dead(
	struct sl_context *ctx, PGconn *conn, const struct sl_identity *id, uint64_t *ret_dead)
{
	struct parameters p;
	PGresult *result;
	int r;

	name_batch(ctx, &p, id);
	r = pg_execute(ctx, conn, "recall", p.count, p.values, &result);
	if (r < 0)
		return r;
	*ret_dead = PQntuples(result) > 0 ? strtoull(PQgetvalue(result, 0, 0), NULL, 10) : 0;
	PQclear(result);
	return 0;
}

int ledger_note(struct sl_context *ctx, PGconn *conn, struct ledger *ledger,
	const struct sl_identity *id, uint64_t *ret_dead)
{
	struct parameters p;
	PGresult *result;
	bool is_new, is_below;
	int r;

	hear_floor(ledger, id);
	name_batch(ctx, &p, id);
	add_number(&p, id->end);
	add_text(&p, ledger->home);
	r = pg_execute(ctx, conn, "note", p.count, p.values, &result);
	if (r < 0)
		return r;
	is_new = r == 0 && *PQgetvalue(result, 0, 0) == 't';
	is_below = r == 0 && *PQgetvalue(result, 0, 1) == 't';
	PQclear(result);
	*ret_dead = 0;
	if (is_new || is_below)
		return is_new;
	return recall_dead(ctx, conn, id, ret_dead);
}

int ledger_note_dead(
	struct sl_context *ctx, PGconn *conn, const struct sl_identity *id, uint64_t dead)
{
	struct parameters p;
	int r;

	name_batch(ctx, &p, id);
	add_number(&p, dead);
	r = pg_execute(ctx, conn, "dead", p.count, p.values, NULL);
	return r > 0 ? -EIO : r;
}

/* --- tidying ------------------------------------------------------------------------------------ */

static int raise_floor(
	struct sl_context *ctx, PGconn *conn, const struct ledger *ledger, unsigned i)
{
	struct parameters p = { .count = 0 };

	add_text(&p, sl_full_name(ctx));
	add_number(&p, ledger->run);
	add_number(&p, ledger->floors[i].origin);
	add_number(&p, ledger->floors[i].floor);
	add_text(&p, ledger->home);
	return pg_execute(ctx, conn, "tidy", p.count, p.values, NULL);
}

/* It need not survive the server's death: then what was forgotten is there again. */
int ledger_tidy(struct sl_context *ctx, PGconn *conn, struct ledger *ledger, bool is_last)
{
	int r;

	if (ledger->floor_count == 0 || (!is_last && sl_now() < ledger->tidy_at))
		return 0;
	r = pg_run(ctx, conn, "BEGIN; SET LOCAL synchronous_commit = off", NULL);
	for (unsigned i = 0; i < ledger->floor_count && r == 0; i++)
		r = raise_floor(ctx, conn, ledger, i);
	if (r == 0)
		r = pg_run(ctx, conn, "COMMIT", NULL);
	ledger->floor_count = 0;
	ledger->tidy_at = sl_now() + TIDY_INTERVAL;
	return r > 0 ? -EIO : r;
}

/* --- after a power cut -------------------------------------------------------------------------- */

static int tell_row(const PGresult *result, int row, sl_known_fn *tell, void *user)
{
	uint64_t origin = strtoull(PQgetvalue(result, row, 0), NULL, 10);
	int r = tell(user, origin, strtoull(PQgetvalue(result, row, 1), NULL, 10));

	return r == 0 ? tell(user, origin, strtoull(PQgetvalue(result, row, 2), NULL, 10)) : r;
}

int ledger_tell(struct sl_context *ctx, PGconn *conn, sl_known_fn *tell, void *user)
{
	struct parameters p = { .count = 0 };
	PGresult *result = NULL;
	int r = pg_run(ctx, conn, table, NULL);

	add_text(&p, sl_full_name(ctx));
	add_number(&p, sl_run(ctx));
	if (r == 0)
		r = pg_ask(ctx, conn,
			"SELECT origin, start, stop FROM " LEDGER " WHERE sink = $1 AND run = $2",
			p.count, p.values, &result);
	for (int row = 0; r == 0 && row < PQntuples(result); row++)
		r = tell_row(result, row, tell, user);
	PQclear(result);
	return r > 0 ? -EIO : r;
}
