/* SPDX-License-Identifier: MIT */
/*
 * Values of records as Lua has them, and back. Integers and floats stay apart; null is a value of its own, since nil in a table is nothing; arrays are tables with a
 * metatable that says so. What Lua has no kind for (binary, integers beyond 63 bits, extensions) is a userdata that keeps the bytes.
 *
 * Lua's own order of the fields in a table is at random in each process, and the same batch must be the same bytes: a map has the order in
 * which it came, then its new fields by name. Where they came from is known until value_forget: so long the record's bytes must stay.
 *
 * All of this raises Lua's errors: it runs inside a lua_pcall.
 */
#ifndef STAGES_LUA_VALUE_H
#define STAGES_LUA_VALUE_H

#include <lauxlib.h>
#include <lua.h>

#include <sluice/record.h>

/* `array`, `map`, `binary`, `null` and `pairs` as globals. */
void value_open(lua_State *L);
/* Begins a record. */
void value_forget(lua_State *L);
void value_push(lua_State *L, struct sl_value value);
/* Of what stands at the absolute index. */
void value_put(lua_State *L, int index, struct sl_writer *out);
/* Whether what stands there is a list: no map, and no empty map that came as one. */
bool value_is_list(lua_State *L, int index);

#endif
