/* SPDX-License-Identifier: MIT */
/* See fields.h. */
#include "fields.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <msgpuck.h>
#include <uthash.h>

#include "../sql/key_text.h"

#define KEYS_MAX 4096 /* different keys that are remembered; others are looked at each time */
#define PLACES_MAX 256
#define NO_VALUE UINT32_MAX

/* A name of the record that comes out, of which the options say something. */
struct target {
	char *key; /* as MessagePack */
	size_t key_size;
	const char *name;
	uint32_t value;         /* the expression, or NO_VALUE */
	uint64_t stamp;         /* the last record that has it */
	const struct key *from; /* from which of its fields */
};

/* A name of the record that comes in. */
struct key {
	struct key_text name;
	bool is_dropped;
	struct target *target; /* NULL: it stays as it is */
	UT_hash_handle hh;
};

struct fields {
	const struct sl_pairs *set, *rename;
	const struct sl_strings *drop, *keep;
	struct target *targets; /* those of `set`, then those of `rename` */
	struct key *keys;
	struct key *places[PLACES_MAX]; /* the key at each place of the last record */
	struct key other;               /* one of those that are not remembered */
	uint64_t stamp;
	struct piece *pieces;
	uint32_t count, capacity;
};

/* --- names -------------------------------------------------------------------------------------- */

static bool is_name(const char *name, const char *text, size_t size)
{
	return strlen(name) == size && memcmp(name, text, size) == 0;
}

static bool is_listed(const struct sl_strings *list, const char *text, size_t size)
{
	for (uint32_t i = 0; i < list->count; i++)
		if (is_name(list->items[i], text, size))
			return true;
	return false;
}

/* The target of that name; NULL: the options do not say it. */
static struct target *find_target(const struct fields *fields, const char *text, size_t size)
{
	uint32_t count = fields->set->count + fields->rename->count;

	for (uint32_t i = 0; i < count; i++)
		if (is_name(fields->targets[i].name, text, size))
			return &fields->targets[i];
	return NULL;
}

/* What becomes of a field of that name. */
static void decide(struct fields *fields, struct key *key, const char *text, size_t size)
{
	const char *name = NULL;

	key->is_dropped = is_listed(fields->drop, text, size) ||
			  (fields->keep->count > 0 && !is_listed(fields->keep, text, size));
	for (uint32_t i = 0; i < fields->rename->count; i++)
		if (is_name(fields->rename->names[i], text, size))
			name = fields->rename->values[i];
	key->target =
		name ? find_target(fields, name, strlen(name)) : find_target(fields, text, size);
}

static struct key *add_key(struct fields *fields, const char *text, size_t size)
{
	struct key *key = calloc(1, sizeof(*key));

	if (!key || !key_text_init(&key->name, text, size)) {
		free(key);
		return NULL;
	}
	decide(fields, key, text, size);
	HASH_ADD_KEYPTR(hh, fields->keys, key->name.text, key->name.size, key);
	if (!key->hh.tbl) {
		free(key->name.text);
		free(key);
		return NULL;
	}
	return key;
}

static struct key *find_key(struct fields *fields, const char *text, size_t size)
{
	struct key *key = NULL;

	HASH_FIND(hh, fields->keys, text, size, key);
	if (key)
		return key;
	if (HASH_COUNT(fields->keys) < KEYS_MAX && !memchr(text, '\0', size))
		key = add_key(fields, text, size);
	if (key)
		return key;
	decide(fields, &fields->other, text, size);
	return &fields->other;
}

static struct key *key_at(
	struct fields *fields, uint32_t place, const char *text, uint32_t size, const char *end)
{
	struct key *key = place < PLACES_MAX ? fields->places[place] : NULL;

	if (key && key_text_is(&key->name, text, size, end))
		return key;
	key = find_key(fields, text, size);
	if (place < PLACES_MAX)
		fields->places[place] = key == &fields->other ? NULL : key;
	return key;
}

/* --- pieces ------------------------------------------------------------------------------------- */

static struct piece *new_piece(struct fields *fields)
{
	uint32_t capacity = fields->capacity ? 2 * fields->capacity : 64;
	void *p;

	if (fields->count < fields->capacity)
		return &fields->pieces[fields->count++];
	p = reallocarray(fields->pieces, capacity, sizeof(*fields->pieces));
	if (!p)
		return NULL;
	fields->pieces = p;
	fields->capacity = capacity;
	return &fields->pieces[fields->count++];
}

/* What follows what was added last is one piece with it. */
static int add_bytes(struct fields *fields, const char *begin, const char *end)
{
	struct piece *last = fields->count > 0 ? &fields->pieces[fields->count - 1] : NULL;

	if (last && last->data && begin == last->data + last->size) {
		last->size = (size_t)(end - last->data);
		return 0;
	}
	last = new_piece(fields);
	if (!last)
		return -ENOMEM;
	last->data = begin;
	last->size = (size_t)(end - begin);
	return 0;
}

static int add_value(struct fields *fields, uint32_t value)
{
	struct piece *piece = new_piece(fields);

	if (!piece)
		return -ENOMEM;
	piece->data = NULL;
	piece->value = value;
	return 0;
}

/* A field whose name will be that of a target. 1: it is in the record; 0: not once more. */
static int add_target(
	struct fields *fields, const struct key *key, const char *value, const char *end)
{
	struct target *target = key->target;
	bool is_again = target->stamp == fields->stamp;
	int r;

	if (is_again && target->value != NO_VALUE)
		return 0;
	if (is_again && target->from != key)
		return -EEXIST;
	target->stamp = fields->stamp;
	target->from = key;
	r = add_bytes(fields, target->key, target->key + target->key_size);
	if (r == 0 && target->value != NO_VALUE)
		r = add_value(fields, target->value);
	else if (r == 0)
		r = add_bytes(fields, value, end);
	return r < 0 ? r : 1;
}

/* The pairs that are in none of the record's fields. */
static int add_rest(struct fields *fields, uint32_t *count)
{
	int r = 0;

	for (uint32_t i = 0; i < fields->set->count && r == 0; i++) {
		const struct target *target = &fields->targets[i];

		if (target->stamp == fields->stamp)
			continue;
		r = add_bytes(fields, target->key, target->key + target->key_size);
		if (r == 0)
			r = add_value(fields, target->value);
		++*count;
	}
	return r;
}

/* One field: 1: it is in the record; 0: not. */
static int cut_field(struct fields *fields, const struct key *key, const char *begin,
	const char *value, const char *end)
{
	int r;

	if (key ? key->is_dropped : fields->keep->count > 0)
		return 0;
	if (key && key->target)
		return add_target(fields, key, value, end);
	r = add_bytes(fields, begin, end);
	return r < 0 ? r : 1;
}

static int cut_map(
	struct fields *fields, struct sl_value record, uint32_t *ret_count, const char **ret_name)
{
	const char *at = record.data;
	uint32_t pairs = mp_decode_map(&at);

	*ret_count = 0;
	for (uint32_t i = 0; i < pairs; i++) {
		const struct key *key = NULL;
		const char *begin = at, *value;
		int r;

		if (mp_typeof(*at) == MP_STR) {
			uint32_t size;
			const char *text = mp_decode_str(&at, &size);

			key = key_at(fields, i, text, size, record.data + record.size);
		} else {
			mp_next(&at);
		}
		value = at;
		mp_next(&at);
		r = cut_field(fields, key, begin, value, at);
		if (r == -EEXIST)
			*ret_name = key->target->name;
		if (r < 0)
			return r;
		*ret_count += (uint32_t)r;
	}
	return 0;
}

/* A record that is no map is one with the one field `value`. */
static int cut_bare(struct fields *fields, struct sl_value record, uint32_t *ret_count)
{
	static const char key[] = "\xa5value";
	const char *text = key + 1;
	const char *end = record.data + record.size;
	const struct key *name = find_key(fields, text, 5);
	int r;

	*ret_count = 0;
	if (name->is_dropped)
		return 0;
	*ret_count = 1;
	if (name->target)
		return add_target(fields, name, record.data, end);
	r = add_bytes(fields, key, key + sizeof(key) - 1);
	return r < 0 ? r : add_bytes(fields, record.data, end);
}

int fields_cut(struct fields *fields, struct sl_value record, const struct piece **ret_at,
	uint32_t *ret_pieces, uint32_t *ret_count, const char **ret_name)
{
	int r;

	fields->stamp++;
	fields->count = 0;
	r = mp_typeof(*record.data) == MP_MAP ? cut_map(fields, record, ret_count, ret_name)
					      : cut_bare(fields, record, ret_count);
	if (r >= 0)
		r = add_rest(fields, ret_count);
	*ret_at = fields->pieces;
	*ret_pieces = fields->count;
	return r;
}

/* --- beginning and end -------------------------------------------------------------------------- */

static int set_target(struct target *target, const char *name, uint32_t value)
{
	size_t size = strlen(name);

	target->key = malloc(size + 5);
	if (!target->key)
		return -ENOMEM;
	target->key_size = (size_t)(mp_encode_str(target->key, name, (uint32_t)size) - target->key);
	target->name = name;
	target->value = value;
	return 0;
}

static int set_targets(struct fields *fields)
{
	uint32_t sets = fields->set->count;
	int r = 0;

	fields->targets = calloc(sets + fields->rename->count + 1, sizeof(*fields->targets));
	if (!fields->targets)
		return -ENOMEM;
	for (uint32_t i = 0; i < sets && r == 0; i++)
		r = set_target(&fields->targets[i], fields->set->names[i], i);
	for (uint32_t i = 0; i < fields->rename->count && r == 0; i++)
		r = set_target(&fields->targets[sets + i], fields->rename->values[i], NO_VALUE);
	return r;
}

/* Every name that the options say is remembered, so that all others are alike. */
static int add_keys(struct fields *fields, const char *const *names, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		if (find_key(fields, names[i], strlen(names[i])) == &fields->other)
			return -ENOMEM;
	return 0;
}

static int add_all_keys(struct fields *fields)
{
	const struct sl_strings lists[] = { { fields->set->names, fields->set->count },
		{ fields->rename->names, fields->rename->count },
		{ fields->rename->values, fields->rename->count }, *fields->drop, *fields->keep };
	int r = 0;

	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]) && r == 0; i++)
		r = add_keys(fields, lists[i].items, lists[i].count);
	return r;
}

struct fields *fields_new(const struct sl_pairs *set, const struct sl_pairs *rename,
	const struct sl_strings *drop, const struct sl_strings *keep)
{
	struct fields *fields = calloc(1, sizeof(*fields));

	if (!fields)
		return NULL;
	fields->set = set;
	fields->rename = rename;
	fields->drop = drop;
	fields->keep = keep;
	if (set_targets(fields) == 0 && add_all_keys(fields) == 0)
		return fields;
	fields_free(fields);
	return NULL;
}

void fields_free(struct fields *fields)
{
	struct key *key, *next;

	if (!fields)
		return;
	HASH_ITER (hh, fields->keys, key, next) {
		HASH_DEL(fields->keys, key);
		free(key->name.text);
		free(key);
	}
	for (uint32_t i = 0; fields->targets && i < fields->set->count + fields->rename->count; i++)
		free(fields->targets[i].key);
	free(fields->targets);
	free(fields->pieces);
	free(fields);
}
