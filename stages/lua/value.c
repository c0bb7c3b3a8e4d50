/* SPDX-License-Identifier: MIT */
/* See value.h. */
#include "value.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ARRAY "sluice.array"
#define RAW "sluice.raw"
#define DEPTH_MAX 60
#define BIN_HEAD 5

/* In the registry: from a table to the bytes that it came from, so that no other table has its address meanwhile. */
static const char origins;

struct raw {
	size_t size;
	char bytes[];
};

/* --- from records ------------------------------------------------------------------------------- */

static void push_null(lua_State *L)
{
	lua_pushlightuserdata(L, NULL);
}

static bool is_null(lua_State *L, int index)
{
	return lua_islightuserdata(L, index) && !lua_touserdata(L, index);
}

static void push_raw(lua_State *L, struct sl_value value)
{
	struct raw *raw = lua_newuserdatauv(L, sizeof(*raw) + value.size, 0);

	raw->size = value.size;
	memcpy(raw->bytes, value.data, value.size);
	luaL_setmetatable(L, RAW);
}

static void push_array(lua_State *L, struct sl_value value)
{
	struct sl_cursor c = sl_walk(value);
	struct sl_value key, item;

	lua_createtable(L, (int)sl_count(value), 0);
	for (lua_Integer i = 1; sl_next(&c, &key, &item); i++) {
		value_push(L, item);
		lua_rawseti(L, -2, i);
	}
	luaL_setmetatable(L, ARRAY);
}

/* The key at the top: whether the table below it has it already. */
static bool has_key(lua_State *L)
{
	bool has;

	lua_pushvalue(L, -1);
	has = lua_rawget(L, -3) != LUA_TNIL;
	lua_pop(L, 1);
	return has;
}

static void push_key(lua_State *L, struct sl_value key)
{
	const char *text;
	int64_t integer;
	size_t size;

	if (sl_get_str(key, &text, &size))
		lua_pushlstring(L, text, size);
	else if (sl_get_int(key, &integer))
		lua_pushinteger(L, integer);
	else
		(void)luaL_error(L, "a field's name is of kind %s, which Lua cannot have here",
			sl_kind_name(sl_kind(key)));
}

static void note_origin(lua_State *L, struct sl_value value)
{
	lua_rawgetp(L, LUA_REGISTRYINDEX, &origins);
	lua_pushvalue(L, -2);
	lua_pushlstring(L, (const char *)&value, sizeof(value));
	lua_rawset(L, -3);
	lua_pop(L, 1);
}

static void push_map(lua_State *L, struct sl_value value)
{
	struct sl_cursor c = sl_walk(value);
	struct sl_value key, item;
	bool is_plain = true;

	lua_createtable(L, 0, (int)sl_count(value));
	while (sl_next(&c, &key, &item)) {
		push_key(L, key);
		is_plain = is_plain && !has_key(L);
		value_push(L, item);
		lua_rawset(L, -3);
	}
	/* One in which a name stands twice has lost a field: it is a new one. */
	if (is_plain)
		note_origin(L, value);
}

void value_push(lua_State *L, struct sl_value value)
{
	const char *text;
	int64_t integer;
	double real;
	size_t size;
	bool truth;

	luaL_checkstack(L, 8, "it is nested too deep");
	switch (sl_kind(value)) {
	case SL_NIL:
		push_null(L);
		break;
	case SL_BOOL:
		(void)sl_get_bool(value, &truth);
		lua_pushboolean(L, truth);
		break;
	case SL_INT:
		if (sl_get_int(value, &integer))
			lua_pushinteger(L, integer);
		else
			push_raw(L, value);
		break;
	case SL_FLOAT:
		(void)sl_get_double(value, &real);
		lua_pushnumber(L, real);
		break;
	case SL_STR:
		(void)sl_get_str(value, &text, &size);
		lua_pushlstring(L, text, size);
		break;
	case SL_ARRAY:
		push_array(L, value);
		break;
	case SL_MAP:
		push_map(L, value);
		break;
	default:
		push_raw(L, value);
	}
}

void value_forget(lua_State *L)
{
	lua_newtable(L);
	lua_rawsetp(L, LUA_REGISTRYINDEX, &origins);
}

/* --- the order of fields ------------------------------------------------------------------------ */

/* False: it did not come from this record as a map. */
static bool find_origin(lua_State *L, int index, struct sl_value *ret)
{
	const char *bytes;

	lua_rawgetp(L, LUA_REGISTRYINDEX, &origins);
	lua_pushvalue(L, index);
	lua_rawget(L, -2);
	bytes = lua_tostring(L, -1);
	if (bytes)
		memcpy(ret, bytes, sizeof(*ret));
	lua_pop(L, 2);
	return bytes;
}

struct key {
	const char *text; /* NULL: an integer */
	size_t size;
	lua_Integer integer;
};

static int compare(const void *a, const void *b)
{
	const struct key *x = a, *y = b;
	int r;

	if (!x->text || !y->text)
		return x->text || y->text ? (x->text ? 1 : -1)
					  : (x->integer > y->integer) - (x->integer < y->integer);
	r = memcmp(x->text, y->text, x->size < y->size ? x->size : y->size);
	return r != 0 ? r : (x->size > y->size) - (x->size < y->size);
}

static void read_key(lua_State *L, int index, struct key *key)
{
	*key = (struct key){ 0 };
	if (lua_type(L, index) == LUA_TSTRING)
		key->text = lua_tolstring(L, index, &key->size);
	else if (lua_isinteger(L, index))
		key->integer = lua_tointeger(L, index);
	else
		(void)luaL_error(L, "a field's name is a %s: it must be a string or an integer",
			luaL_typename(L, index));
}

static uint32_t count_entries(lua_State *L, int table)
{
	uint32_t count = 0;

	for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1))
		count++;
	return count;
}

static bool came_with(struct sl_value origin, const struct key *key)
{
	struct sl_value name, value;
	int64_t integer;

	if (!origin.data)
		return false;
	if (key->text)
		return sl_find(origin, key->text, key->size).data != NULL;
	for (struct sl_cursor c = sl_walk(origin); sl_next(&c, &name, &value);)
		if (sl_get_int(name, &integer) && integer == key->integer)
			return true;
	return false;
}

/* Pushes a userdata with the table's keys that did not come with it, in order. */
static struct key *push_new_keys(
	lua_State *L, int table, struct sl_value origin, uint32_t count, uint32_t *ret_count)
{
	struct key *keys = lua_newuserdatauv(L, count * sizeof(*keys) + 1, 0);
	uint32_t found = 0;

	for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1)) {
		struct key key;

		read_key(L, -2, &key);
		if (!came_with(origin, &key))
			keys[found++] = key;
	}
	qsort(keys, found, sizeof(*keys), compare);
	*ret_count = found;
	return keys;
}

static void push_name(lua_State *L, const struct key *key)
{
	if (key->text)
		lua_pushlstring(L, key->text, key->size);
	else
		lua_pushinteger(L, key->integer);
}

/* --- to records --------------------------------------------------------------------------------- */

static void put(lua_State *L, int index, struct sl_writer *out, int depth);

static void put_array(lua_State *L, int table, uint32_t count, struct sl_writer *out, int depth)
{
	sl_put_array(out, count);
	for (uint32_t i = 1; i <= count; i++) {
		lua_rawgeti(L, table, i);
		put(L, lua_gettop(L), out, depth);
		lua_pop(L, 1);
	}
}

/* How many of the fields with which it came are there still. */
static uint32_t count_kept(lua_State *L, int table, struct sl_value origin)
{
	struct sl_value name, value;
	uint32_t count = 0;

	for (struct sl_cursor c = sl_walk(origin); sl_next(&c, &name, &value); lua_pop(L, 1)) {
		push_key(L, name);
		count += lua_rawget(L, table) != LUA_TNIL;
	}
	return count;
}

static void put_kept(
	lua_State *L, int table, struct sl_value origin, struct sl_writer *out, int depth)
{
	struct sl_value name, value;

	for (struct sl_cursor c = sl_walk(origin); sl_next(&c, &name, &value); lua_pop(L, 1)) {
		push_key(L, name);
		if (lua_rawget(L, table) == LUA_TNIL)
			continue;
		sl_put_value(out, name);
		put(L, lua_gettop(L), out, depth);
	}
}

static void put_map(lua_State *L, int table, uint32_t count, struct sl_value origin,
	struct sl_writer *out, int depth)
{
	uint32_t kept = origin.data ? count_kept(L, table, origin) : 0;
	uint32_t added = 0;
	struct key *keys = NULL;

	if (kept < count)
		keys = push_new_keys(L, table, origin, count, &added);
	sl_put_map(out, kept + added);
	if (origin.data)
		put_kept(L, table, origin, out, depth);
	for (uint32_t i = 0; i < added; i++) {
		if (keys[i].text)
			sl_put_str(out, keys[i].text, keys[i].size);
		else
			sl_put_int(out, keys[i].integer);
		push_name(L, &keys[i]);
		lua_rawget(L, table);
		put(L, lua_gettop(L), out, depth);
		lua_pop(L, 1);
	}
	if (keys)
		lua_pop(L, 1);
}

static bool has_metatable(lua_State *L, int index, const char *name)
{
	bool is_it;

	if (!lua_getmetatable(L, index))
		return false;
	luaL_getmetatable(L, name);
	is_it = lua_rawequal(L, -1, -2);
	lua_pop(L, 2);
	return is_it;
}

static void put_table(lua_State *L, int table, struct sl_writer *out, int depth)
{
	uint32_t count = count_entries(L, table);
	struct sl_value origin = { 0 };

	if (depth >= DEPTH_MAX)
		(void)luaL_error(
			L, "a value is nested more than %d deep, or holds itself", DEPTH_MAX);
	if (has_metatable(L, table, ARRAY)) {
		if (lua_rawlen(L, table) != count)
			(void)luaL_error(L, "an array has holes, or fields with names: write null "
					    "where there is nothing");
		put_array(L, table, count, out, depth + 1);
	} else if (find_origin(L, table, &origin) || count == 0 || lua_rawlen(L, table) != count) {
		put_map(L, table, count, origin, out, depth + 1);
	} else {
		put_array(L, table, count, out, depth + 1);
	}
}

static void put(lua_State *L, int index, struct sl_writer *out, int depth)
{
	const struct raw *raw;
	const char *text;
	size_t size;

	luaL_checkstack(L, 8, "it is nested too deep");
	switch (lua_type(L, index)) {
	case LUA_TBOOLEAN:
		sl_put_bool(out, lua_toboolean(L, index));
		return;
	case LUA_TNUMBER:
		if (lua_isinteger(L, index))
			sl_put_int(out, lua_tointeger(L, index));
		else
			sl_put_double(out, lua_tonumber(L, index));
		return;
	case LUA_TSTRING:
		text = lua_tolstring(L, index, &size);
		sl_put_str(out, text, size);
		return;
	case LUA_TTABLE:
		put_table(L, index, out, depth);
		return;
	default:
		break;
	}
	raw = luaL_testudata(L, index, RAW);
	if (raw)
		sl_put_value(out, (struct sl_value){ raw->bytes, raw->size });
	else if (is_null(L, index))
		sl_put_nil(out);
	else
		(void)luaL_error(L, "a %s is no value of a record", luaL_typename(L, index));
}

void value_put(lua_State *L, int index, struct sl_writer *out)
{
	put(L, index, out, 0);
}

bool value_is_list(lua_State *L, int index)
{
	struct sl_value origin;

	if (!lua_istable(L, index))
		return false;
	if (has_metatable(L, index, ARRAY))
		return true;
	return !find_origin(L, index, &origin) && lua_rawlen(L, index) == count_entries(L, index);
}

/* --- globals ------------------------------------------------------------------------------------ */

/* array(t): t is an array, also when it is empty. */
static int lua_array(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TTABLE);
	lua_settop(L, 1);
	luaL_setmetatable(L, ARRAY);
	return 1;
}

/* map(t): t is a map, also when it is empty or its names are 1, 2, 3. */
static int lua_map(lua_State *L)
{
	static const char empty = (char)0x80;

	luaL_checktype(L, 1, LUA_TTABLE);
	lua_settop(L, 1);
	lua_pushnil(L);
	lua_setmetatable(L, 1);
	note_origin(L, (struct sl_value){ &empty, 1 });
	return 1;
}

/* binary(text). Its bytes behind the head of a MessagePack bin 32. */
static int lua_binary(lua_State *L)
{
	size_t size;
	const char *bytes = luaL_checklstring(L, 1, &size);
	struct raw *raw;

	luaL_argcheck(L, size <= UINT32_MAX, 1, "larger than 4 GiB");
	raw = lua_newuserdatauv(L, sizeof(*raw) + BIN_HEAD + size, 0);
	raw->size = BIN_HEAD + size;
	raw->bytes[0] = (char)0xc6;
	for (int i = 0; i < 4; i++)
		raw->bytes[1 + i] = (char)(size >> (24 - 8 * i));
	memcpy(raw->bytes + BIN_HEAD, bytes, size);
	luaL_setmetatable(L, RAW);
	return 1;
}

/* tostring() of binary data is its bytes. */
static int raw_tostring(lua_State *L)
{
	const struct raw *raw = luaL_checkudata(L, 1, RAW);
	struct sl_value value = { raw->bytes, raw->size };
	const char *bytes;
	char text[64];
	size_t size;

	if (sl_get_bin(value, &bytes, &size)) {
		lua_pushlstring(L, bytes, size);
		return 1;
	}
	sl_print(value, text, sizeof(text));
	lua_pushstring(L, text);
	return 1;
}

/* keys[i], t[keys[i]], from the list that `pairs` has made. */
static int pairs_next(lua_State *L)
{
	lua_Integer i = lua_tointeger(L, lua_upvalueindex(2)) + 1;

	for (; lua_rawgeti(L, lua_upvalueindex(1), i) != LUA_TNIL; i++) {
		lua_pushvalue(L, -1);
		if (lua_gettable(L, 1) != LUA_TNIL) {
			lua_pushinteger(L, i);
			lua_replace(L, lua_upvalueindex(2));
			return 2;
		}
		lua_pop(L, 2);
	}
	return 1;
}

static void append_keys(lua_State *L, int list, const struct key *keys, uint32_t count)
{
	lua_Integer at = (lua_Integer)lua_rawlen(L, list);

	for (uint32_t i = 0; i < count; i++) {
		push_name(L, &keys[i]);
		lua_rawseti(L, list, ++at);
	}
}

/* pairs(t), in the order in which the table would be put. */
static int lua_pairs(lua_State *L)
{
	struct sl_value origin = { 0 }, name, value;
	uint32_t count, added;
	const struct key *keys;
	lua_Integer at = 0;

	luaL_checktype(L, 1, LUA_TTABLE);
	lua_settop(L, 1);
	count = count_entries(L, 1);
	lua_createtable(L, (int)count, 0);
	if (find_origin(L, 1, &origin))
		for (struct sl_cursor c = sl_walk(origin); sl_next(&c, &name, &value);) {
			push_key(L, name);
			lua_rawseti(L, 2, ++at);
		}
	keys = push_new_keys(L, 1, origin, count, &added);
	append_keys(L, 2, keys, added);
	lua_settop(L, 2);
	lua_pushinteger(L, 0);
	lua_pushcclosure(L, pairs_next, 2);
	lua_pushvalue(L, 1);
	return 2;
}

static void make_metatable(lua_State *L, const char *name, lua_CFunction to_string)
{
	luaL_newmetatable(L, name);
	lua_pushboolean(L, 0);
	lua_setfield(L, -2, "__metatable");
	if (to_string) {
		lua_pushcfunction(L, to_string);
		lua_setfield(L, -2, "__tostring");
	}
	lua_pop(L, 1);
}

void value_open(lua_State *L)
{
	make_metatable(L, ARRAY, NULL);
	make_metatable(L, RAW, raw_tostring);
	value_forget(L);
	push_null(L);
	lua_setglobal(L, "null");
	lua_register(L, "array", lua_array);
	lua_register(L, "map", lua_map);
	lua_register(L, "binary", lua_binary);
	lua_register(L, "pairs", lua_pairs);
}
