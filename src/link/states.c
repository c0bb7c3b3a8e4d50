/* SPDX-License-Identifier: MIT */
/* See states.h. In each table a row is a state, a column an event; NO is refused. */
#include "link/states.h"

#include <errno.h>

#define NO (-EPROTO)

/* clang-format off */
const int outlet_peer_table[OUTLET_PEER_STATES][OUTLET_PEER_EVENTS] = {
	/*                        HELLO             SENTINEL           BYE               GONE                FINISH          */
	[OUTLET_PEER_ABSENT] = { OUTLET_PEER_LIVE, NO,                NO,               OUTLET_PEER_ABSENT, OUTLET_PEER_DONE },
	[OUTLET_PEER_LIVE]   = { NO,               OUTLET_PEER_ENDED, NO,               OUTLET_PEER_ABSENT, OUTLET_PEER_DONE },
	[OUTLET_PEER_ENDED]  = { NO,               NO,                OUTLET_PEER_DONE, OUTLET_PEER_ABSENT, OUTLET_PEER_DONE },
	[OUTLET_PEER_DONE]   = { NO,               NO,                OUTLET_PEER_DONE, OUTLET_PEER_DONE,   OUTLET_PEER_DONE },
};

const int inlet_peer_table[INLET_PEER_STATES][INLET_PEER_EVENTS] = {
	/*                       UP               SENTINEL          BYE              GONE               FINISH          */
	[INLET_PEER_ABSENT] = { INLET_PEER_OPEN, NO,               NO,              INLET_PEER_ABSENT, INLET_PEER_LEFT },
	[INLET_PEER_OPEN]   = { NO,              INLET_PEER_ENDED, NO,              INLET_PEER_ABSENT, INLET_PEER_LEFT },
	[INLET_PEER_ENDED]  = { NO,              INLET_PEER_ENDED, INLET_PEER_LEFT, INLET_PEER_ABSENT, INLET_PEER_LEFT },
	[INLET_PEER_LEFT]   = { INLET_PEER_OPEN, NO,               NO,              INLET_PEER_LEFT,   INLET_PEER_LEFT },
};

const int instance_table[INSTANCE_STATES][INSTANCE_EVENTS] = {
	/*                        READY             INPUT_ENDED        SETTLED             FINISHED         LEFT          */
	[INSTANCE_STARTING]  = { INSTANCE_RUNNING, NO,                NO,                 NO,              NO },
	[INSTANCE_RUNNING]   = { NO,               INSTANCE_DRAINING, NO,                 NO,              NO },
	[INSTANCE_DRAINING]  = { NO,               NO,                INSTANCE_FINISHING, NO,              NO },
	[INSTANCE_FINISHING] = { NO,               NO,                NO,                 INSTANCE_ENDING, NO },
	[INSTANCE_ENDING]    = { NO,               NO,                NO,                 NO,              INSTANCE_DONE },
	[INSTANCE_DONE]      = { NO,               NO,                NO,                 NO,              NO },
};
/* clang-format on */

const char *const outlet_peer_state_names[OUTLET_PEER_STATES] = { "absent", "live", "ended",
	"done" };
const char *const inlet_peer_state_names[INLET_PEER_STATES] = { "absent", "open", "ended", "left" };
const char *const instance_state_names[INSTANCE_STATES] = {
	"starting",
	"running",
	"draining",
	"finishing",
	"ending",
	"done",
};

int outlet_peer_next(enum outlet_peer_state state, enum outlet_peer_event event)
{
	return outlet_peer_table[state][event];
}

int inlet_peer_next(enum inlet_peer_state state, enum inlet_peer_event event)
{
	return inlet_peer_table[state][event];
}

int instance_next(enum instance_state state, enum instance_event event)
{
	return instance_table[state][event];
}
