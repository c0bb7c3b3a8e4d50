/* SPDX-License-Identifier: MIT */
/* See table.h. Rows lie in large blocks, which are given back together. */
#include "table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

/* No memory for a larger table of places: what was added is not in it, and `hh.tbl` says so. */
#define HASH_NONFATAL_OOM 1
#define uthash_nonfatal_oom(row) ((row)->hh.tbl = NULL)
#define HASH_FUNCTION(key, size, value) ((value) = (unsigned)XXH3_64bits(key, size))
#include <uthash.h>

#define BLOCK_SIZE ((size_t)256 << 10)
#define PLACE_SIZE 16 /* of a row, in uthash's own table */

struct row {
	UT_hash_handle hh;
	size_t fields_size;
	char bytes[]; /* the key, then the fields */
};

struct block {
	struct block *next;
	size_t size, used;
	max_align_t bytes[];
};

struct table {
	struct row *rows;
	struct block *blocks;
	uint64_t size, size_max;
	uint64_t fingerprint;
};

struct table *table_new(uint64_t size_max)
{
	struct table *table = calloc(1, sizeof(*table));

	if (table)
		table->size_max = size_max;
	return table;
}

void table_free(struct table *table)
{
	struct block *next;

	if (!table)
		return;
	HASH_CLEAR(hh, table->rows);
	for (struct block *block = table->blocks; block; block = next) {
		next = block->next;
		free(block);
	}
	free(table);
}

static struct block *new_block(struct table *table, size_t size)
{
	struct block *block = malloc(sizeof(*block) + size);

	if (!block)
		return NULL;
	*block = (struct block){ .next = table->blocks, .size = size };
	table->blocks = block;
	table->size += sizeof(*block) + size;
	return block;
}

static int new_row(struct table *table, size_t bytes, struct row **ret)
{
	size_t align = _Alignof(max_align_t);
	size_t size = (sizeof(struct row) + bytes + align - 1) / align * align;
	struct block *block = table->blocks;

	if (!block || block->size - block->used < size) {
		size_t wish = size > BLOCK_SIZE ? size : BLOCK_SIZE;

		if (table->size + wish > table->size_max)
			wish = size;
		if (table->size + wish + PLACE_SIZE > table->size_max)
			return -EFBIG;
		block = new_block(table, wish);
	}
	if (!block)
		return -ENOMEM;
	*ret = (struct row *)((char *)block->bytes + block->used);
	block->used += size;
	table->size += PLACE_SIZE;
	return 0;
}

static struct row *find(const struct table *table, const void *key, size_t key_size)
{
	struct row *row = NULL;

	HASH_FIND(hh, table->rows, key, key_size, row);
	return row;
}

static void note(struct table *table, const void *data, size_t size)
{
	table->fingerprint = XXH3_64bits_withSeed(data, size, table->fingerprint);
}

int table_add(struct table *table, const void *key, size_t key_size, struct sl_value fields,
	enum duplicates duplicates)
{
	struct row *old = find(table, key, key_size);
	struct row *row;
	int r;

	if (old && duplicates == DUPLICATES_FIRST)
		return 0;
	if (old && duplicates == DUPLICATES_ERROR)
		return -EEXIST;
	r = new_row(table, key_size + fields.size, &row);
	if (r < 0)
		return r;
	memset(&row->hh, 0, sizeof(row->hh));
	memcpy(row->bytes, key, key_size);
	memcpy(row->bytes + key_size, fields.data, fields.size);
	row->fields_size = fields.size;
	note(table, key, key_size);
	note(table, fields.data, fields.size);
	if (old)
		HASH_DEL(table->rows, old);
	HASH_ADD_KEYPTR(hh, table->rows, row->bytes, key_size, row);
	return row->hh.tbl ? 0 : -ENOMEM;
}

struct sl_value table_find(const struct table *table, const void *key, size_t key_size)
{
	const struct row *row = find(table, key, key_size);

	if (!row)
		return (struct sl_value){ 0 };
	return (struct sl_value){ row->bytes + row->hh.keylen, row->fields_size };
}

uint32_t table_count(const struct table *table)
{
	return HASH_COUNT(table->rows);
}

uint64_t table_fingerprint(const struct table *table)
{
	return table->fingerprint;
}
