/* SPDX-License-Identifier: MIT */
/*
 * One Lua of one worker: what a script may use, how long it may run, and how much memory it may take. Nothing here blocks.
 */
#ifndef STAGES_LUA_MACHINE_H
#define STAGES_LUA_MACHINE_H

#include <lua.h>

#include <sluice/record.h>

struct machine_limits {
	int instructions;
	uint64_t heap;
};

struct machine {
	lua_State *L;
	struct machine_limits limits;
	uint64_t used;
	int function; /* `transform`, in the registry */
	uint64_t seed[2];
	bool is_seeded;
	char reason[512]; /* why the last call failed */
};

/* Runs the script, which stands at `text`, once. 0 or a negative errno, with a reason. machine_close in every case. */
int machine_open(struct machine *machine, const struct machine_limits *limits, const char *name,
	const char *text, size_t size);
void machine_close(struct machine *machine);

/* Puts what `transform` makes of the record. 0; -EINVAL: an error, with a reason, and `out` is as it was; -ENOMEM: `out` has none. */
int machine_call(struct machine *machine, struct sl_value record, struct sl_writer *out);
/* math.random of the next record begins here. */
void machine_seed(struct machine *machine, uint64_t a, uint64_t b);

#endif
