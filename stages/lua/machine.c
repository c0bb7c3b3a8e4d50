/* SPDX-License-Identifier: MIT */
/* See machine.h. Everything that may raise one of Lua's errors runs inside lua_pcall. */
#include "machine.h"

#include <errno.h>
#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "value.h"

/* --- limits ------------------------------------------------------------------------------------- */

static void *allocate(void *user, void *old, size_t old_size, size_t size)
{
	struct machine *m = user;
	size_t had = old ? old_size : 0;
	void *new;

	if (size == 0) {
		free(old);
		m->used -= had;
		return NULL;
	}
	if (size > had && m->used + (size - had) > m->limits.heap)
		return NULL;
	new = realloc(old, size);
	if (new)
		m->used = m->used - had + size;
	return new;
}

/* From now on each instruction is one too many: who catches the error with pcall comes no further. */
static void out_of_time(lua_State *L, lua_Debug *debug)
{
	struct machine *m = *(struct machine **)lua_getextraspace(L);

	(void)debug;
	lua_sethook(L, out_of_time, LUA_MASKCOUNT, 1);
	luaL_where(L, 0);
	lua_pushfstring(L, "it ran for more than %d instructions (instructions_max)",
		m->limits.instructions);
	lua_concat(L, 2);
	(void)lua_error(L);
}

/* --- what a script has -------------------------------------------------------------------------- */

/* A finalizer would run where no limit holds. */
static int safe_setmetatable(lua_State *L)
{
	if (lua_istable(L, 2)) {
		lua_pushliteral(L, "__gc");
		if (lua_rawget(L, 2) != LUA_TNIL)
			return luaL_error(L, "a metatable cannot have __gc here");
		lua_pop(L, 1);
	}
	lua_pushvalue(L, lua_upvalueindex(1));
	lua_insert(L, 1);
	lua_call(L, lua_gettop(L) - 1, 1);
	return 1;
}

/* math.random, which begins anew with each record that uses it. */
static int seeded_random(lua_State *L)
{
	struct machine *m = *(struct machine **)lua_getextraspace(L);

	if (!m->is_seeded) {
		m->is_seeded = true;
		lua_pushvalue(L, lua_upvalueindex(2));
		lua_pushinteger(L, (lua_Integer)m->seed[0]);
		lua_pushinteger(L, (lua_Integer)m->seed[1]);
		lua_call(L, 2, 0);
	}
	lua_pushvalue(L, lua_upvalueindex(1));
	lua_insert(L, 1);
	lua_call(L, lua_gettop(L) - 1, 1);
	return 1;
}

static void open_libraries(lua_State *L)
{
	static const luaL_Reg libraries[] = { { LUA_GNAME, luaopen_base },
		{ LUA_STRLIBNAME, luaopen_string }, { LUA_TABLIBNAME, luaopen_table },
		{ LUA_MATHLIBNAME, luaopen_math }, { LUA_UTF8LIBNAME, luaopen_utf8 } };

	for (size_t i = 0; i < sizeof(libraries) / sizeof(libraries[0]); i++) {
		luaL_requiref(L, libraries[i].name, libraries[i].func, 1);
		lua_pop(L, 1);
	}
}

static void remove_field(lua_State *L, const char *table, const char *name)
{
	lua_getglobal(L, table);
	lua_pushnil(L);
	lua_setfield(L, -2, name);
	lua_pop(L, 1);
}

static void close_doors(lua_State *L)
{
	static const char *const names[] = { "collectgarbage", "dofile", "load", "loadfile",
		"print", "require", "warn" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		remove_field(L, LUA_GNAME, names[i]);
	remove_field(L, LUA_STRLIBNAME, "dump");
	lua_getglobal(L, "setmetatable");
	lua_pushcclosure(L, safe_setmetatable, 1);
	lua_setglobal(L, "setmetatable");
	lua_getglobal(L, LUA_MATHLIBNAME);
	lua_getfield(L, -1, "random");
	lua_getfield(L, -2, "randomseed");
	lua_pushcclosure(L, seeded_random, 2);
	lua_setfield(L, -2, "random");
	lua_pop(L, 1);
	remove_field(L, LUA_MATHLIBNAME, "randomseed");
}

/* --- calls -------------------------------------------------------------------------------------- */

struct call {
	struct machine *machine;
	struct sl_value record;
	struct sl_writer *out;
	const char *name, *text; /* of the script */
	size_t size;
};

static int fail(struct machine *m, int status)
{
	lua_State *L = m->L;
	const char *text = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : NULL;

	if (status == LUA_ERRMEM)
		text = "the script wants more memory than `heap_max`";
	(void)snprintf(m->reason, sizeof(m->reason), "%s",
		text ? text : "the script raised an error that is no text");
	lua_settop(L, 0);
	if (status == LUA_ERRMEM)
		(void)lua_gc(L, LUA_GCCOLLECT);
	return -EINVAL;
}

/* In protected mode, within the limits. */
static int call(struct machine *m, lua_CFunction function, struct call *what)
{
	lua_State *L = m->L;
	int status;

	lua_sethook(L, out_of_time, LUA_MASKCOUNT, m->limits.instructions);
	lua_pushcfunction(L, function);
	lua_pushlightuserdata(L, what);
	status = lua_pcall(L, 1, 0, 0);
	if (status == LUA_OK)
		return 0;
	return fail(m, status);
}

static int begin(lua_State *L)
{
	const struct call *what = lua_touserdata(L, 1);

	lua_settop(L, 0);
	open_libraries(L);
	close_doors(L);
	value_open(L);
	if (luaL_loadbufferx(L, what->text, what->size, what->name, "t") != LUA_OK)
		return lua_error(L);
	lua_call(L, 0, 1);
	if (lua_isnil(L, 1))
		lua_getglobal(L, "transform");
	if (!lua_isfunction(L, -1))
		return luaL_error(L, "the script has no function transform(record)");
	what->machine->function = luaL_ref(L, LUA_REGISTRYINDEX);
	return 0;
}

static void put_record(lua_State *L, int index, struct sl_writer *out)
{
	value_put(L, index, out);
	(void)sl_record_done(out);
}

static int transform(lua_State *L)
{
	const struct call *what = lua_touserdata(L, 1);
	lua_Integer count;

	lua_settop(L, 0);
	value_forget(L);
	lua_rawgeti(L, LUA_REGISTRYINDEX, what->machine->function);
	value_push(L, what->record);
	lua_call(L, 1, 1);
	if (lua_isnil(L, 1))
		return 0;
	if (!value_is_list(L, 1)) {
		put_record(L, 1, what->out);
		return 0;
	}
	count = (lua_Integer)lua_rawlen(L, 1);
	for (lua_Integer i = 1; i <= count; i++) {
		if (lua_rawgeti(L, 1, i) == LUA_TNIL)
			return luaL_error(L, "the list of records has a hole");
		put_record(L, 2, what->out);
		lua_settop(L, 1);
	}
	return 0;
}

int machine_call(struct machine *machine, struct sl_value record, struct sl_writer *out)
{
	struct call what = { .machine = machine, .record = record, .out = out };
	size_t size = out->size, mark = out->mark;
	uint32_t count = out->count;
	int r = call(machine, transform, &what);

	if (out->error)
		return -ENOMEM;
	if (r < 0) {
		out->size = size;
		out->mark = mark;
		out->count = count;
	}
	return r;
}

void machine_seed(struct machine *machine, uint64_t a, uint64_t b)
{
	machine->seed[0] = a;
	machine->seed[1] = b;
	machine->is_seeded = false;
}

int machine_open(struct machine *machine, const struct machine_limits *limits, const char *name,
	const char *text, size_t size)
{
	struct call what = { .machine = machine, .name = name, .text = text, .size = size };

	*machine = (struct machine){ .limits = *limits };
	machine->L = lua_newstate(allocate, machine);
	if (!machine->L) {
		(void)snprintf(machine->reason, sizeof(machine->reason),
			"no memory for Lua: see `heap_max`");
		return -ENOMEM;
	}
	*(struct machine **)lua_getextraspace(machine->L) = machine;
	return call(machine, begin, &what);
}

void machine_close(struct machine *machine)
{
	if (machine->L)
		lua_close(machine->L);
	machine->L = NULL;
}
