/* SPDX-License-Identifier: MIT */
/*
 * The table `sluice_committed`: the names of the batches whose rows are in the database, inserted in the transaction of the rows. Its rows:
 *
 *     sink, run, origin, path, start, stop     a batch, `dead` of its records refused
 *     sink, run, origin, 0,    0,     stop     the floor of an origin: what ends at or below it is there
 *
 * `home` is the state folder of the pipeline and its machine: rows of other runs from there are forgotten, those of pipelines of the same
 * name elsewhere are not. Positions are numeric: an unsigned 64-bit number fits into no integer of PostgreSQL.
 */
#ifndef STAGES_POSTGRES_LEDGER_H
#define STAGES_POSTGRES_LEDGER_H

#include "connection.h"

#define LEDGER "sluice_committed"
#define LEDGER_FLOORS 64

/* Of one connection. Zeroed: not begun. */
struct ledger {
	struct {
		uint64_t origin;
		uint64_t floor;
	} floors[LEDGER_FLOORS]; /* heard of since the last tidying */
	unsigned floor_count;
	int64_t tidy_at;
	uint64_t run;
	char home[400];
};

/* Makes the table where there is none; forgets what other runs left behind. */
int ledger_begin(struct sl_context *ctx, PGconn *conn, struct ledger *ledger);
/* In the transaction: 1: it is new, and noted; 0: it is there already, with *ret_dead of its records refused. */
int ledger_note(struct sl_context *ctx, PGconn *conn, struct ledger *ledger,
	const struct sl_identity *id, uint64_t *ret_dead);
int ledger_note_dead(
	struct sl_context *ctx, PGconn *conn, const struct sl_identity *id, uint64_t dead);
/* Between transactions: forgets what is not needed again, not more than once a second unless `is_last`. */
int ledger_tidy(struct sl_context *ctx, PGconn *conn, struct ledger *ledger, bool is_last);
/* Tells where what is there of this run begins and ends. */
int ledger_tell(struct sl_context *ctx, PGconn *conn, sl_known_fn *tell, void *user);

#endif
