/* SPDX-License-Identifier: MIT */
/* See sandbox.h. */
#include "sandbox.h"

#include <errno.h>
#include <string.h>

#include "names.h"

#define COLUMNS_TRIED_MAX 1000
#define PROGRESS_OPS 10000
#define LENGTH_MAX (64 << 20)

static int authorize(
	void *user, int action, const char *a, const char *b, const char *c, const char *d)
{
	struct sandbox *box = user;

	(void)c;
	(void)d;
	switch (action) {
	case SQLITE_READ:
		box->reads_input = box->reads_input || (a && strcmp(a, box->table) == 0);
		return SQLITE_OK;
	case SQLITE_SELECT:
	case SQLITE_RECURSIVE:
		return SQLITE_OK;
	case SQLITE_FUNCTION:
		return b && strcmp(b, "load_extension") == 0 ? SQLITE_DENY : SQLITE_OK;
	default:
		return SQLITE_DENY;
	}
}

static int on_progress(void *user)
{
	struct sandbox *box = user;

	box->timed_out = box->deadline > 0 && sl_now() > box->deadline;
	return box->timed_out;
}

int sandbox_open(struct sandbox *box)
{
	int r = sqlite3_open_v2(":memory:", &box->db,
		SQLITE_OPEN_READWRITE | SQLITE_OPEN_MEMORY | SQLITE_OPEN_NOMUTEX, NULL);

	if (r != SQLITE_OK)
		return -ENOMEM;
	/* A misspelt "column" must be an error, not a string. */
	(void)sqlite3_db_config(box->db, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
	(void)sqlite3_db_config(box->db, SQLITE_DBCONFIG_DQS_DDL, 0, NULL);
	(void)sqlite3_limit(box->db, SQLITE_LIMIT_LENGTH, LENGTH_MAX);
	(void)sqlite3_limit(box->db, SQLITE_LIMIT_ATTACHED, 0);
	(void)sqlite3_exec(box->db, "PRAGMA temp_store = MEMORY", NULL, NULL, NULL);
	/* Table-valued functions declare their columns when first used, which the authorizer would forbid. */
	(void)sqlite3_exec(
		box->db, "SELECT 1 FROM json_each('[]'), json_tree('[]')", NULL, NULL, NULL);
	sqlite3_progress_handler(box->db, PROGRESS_OPS, on_progress, box);
	return input_new(box->db, &box->input);
}

void sandbox_close(struct sandbox *box)
{
	(void)sqlite3_close(box->db);
	input_free(box->input);
	*box = (struct sandbox){ 0 };
}

static int declare(struct sandbox *box)
{
	int r;

	(void)sqlite3_set_authorizer(box->db, NULL, NULL);
	r = input_declare(box->input, box->table);
	(void)sqlite3_set_authorizer(box->db, authorize, box);
	return r;
}

/* A column that no record has had so far is added, and then is NULL. */
int sandbox_prepare(
	struct sandbox *box, const char *query, sqlite3_stmt **ret_stmt, const char **ret_tail)
{
	char before[256] = "", name[256];

	for (int i = 0; i < COLUMNS_TRIED_MAX; i++) {
		int r = declare(box);

		if (r < 0)
			return r;
		box->reads_input = false;
		if (sqlite3_prepare_v2(box->db, query, -1, ret_stmt, ret_tail) == SQLITE_OK)
			return 0;
		if (!names_missing(sqlite3_errmsg(box->db), name, sizeof(name)) ||
			strcmp(name, before) == 0)
			return -EINVAL;
		memcpy(before, name, sizeof(before));
		r = input_add_column(box->input, name, strlen(name));
		if (r <= 0)
			return r < 0 ? r : -EINVAL;
	}
	return -E2BIG;
}
