/* SPDX-License-Identifier: MIT */
/*
 * The state machines of a link's two ends and of an instance, as tables: (state, event) -> next state. What a pair
 * does not name is refused: state_next answers -EPROTO and the caller changes nothing. Tables and pictures:
 * doc/architecture.md.
 */
#ifndef LINK_STATES_H
#define LINK_STATES_H

/* How an outlet sees one downstream instance. */
enum outlet_peer_state {
	OUTLET_PEER_ABSENT, /* not there yet, or reaped and not yet followed */
	OUTLET_PEER_LIVE,   /* said HELLO; batches flow */
	OUTLET_PEER_ENDED,  /* was sent SENTINEL */
	OUTLET_PEER_DONE,   /* said BYE, or exited 0 after the sentinel */
	OUTLET_PEER_STATES,
};

enum outlet_peer_event {
	OUTLET_PEER_HELLO,
	OUTLET_PEER_SENTINEL, /* everything is settled: it is being sent */
	OUTLET_PEER_BYE,
	OUTLET_PEER_GONE,   /* the supervisor reaped it: a crash */
	OUTLET_PEER_FINISH, /* the supervisor reaped it: exit 0 */
	OUTLET_PEER_EVENTS,
};

/* How an inlet sees one upstream instance. */
enum inlet_peer_state {
	INLET_PEER_ABSENT,
	INLET_PEER_OPEN,  /* connected, HELLO sent */
	INLET_PEER_ENDED, /* its sentinel is here */
	INLET_PEER_LEFT,  /* BYE sent, or it finished before we came */
	INLET_PEER_STATES,
};

enum inlet_peer_event {
	INLET_PEER_UP,
	INLET_PEER_SENTINEL,
	INLET_PEER_BYE,
	INLET_PEER_GONE,
	INLET_PEER_FINISH,
	INLET_PEER_EVENTS,
};

/* The life of an instance. */
enum instance_state {
	INSTANCE_STARTING,  /* opening the stage, binding outlets */
	INSTANCE_RUNNING,   /* taking input */
	INSTANCE_DRAINING,  /* input has ended; work and outlets are not empty yet */
	INSTANCE_FINISHING, /* workers run finish and stop */
	INSTANCE_ENDING,    /* sentinels are out, BYEs awaited */
	INSTANCE_DONE,      /* exit 0 */
	INSTANCE_STATES,
};

enum instance_event {
	INSTANCE_READY,
	INSTANCE_INPUT_ENDED,
	INSTANCE_SETTLED,  /* nothing in work, nothing unsettled */
	INSTANCE_FINISHED, /* all workers have stopped */
	INSTANCE_LEFT,     /* all downstream instances are done */
	INSTANCE_EVENTS,
};

extern const int outlet_peer_table[OUTLET_PEER_STATES][OUTLET_PEER_EVENTS];
extern const int inlet_peer_table[INLET_PEER_STATES][INLET_PEER_EVENTS];
extern const int instance_table[INSTANCE_STATES][INSTANCE_EVENTS];

extern const char *const outlet_peer_state_names[OUTLET_PEER_STATES];
extern const char *const inlet_peer_state_names[INLET_PEER_STATES];
extern const char *const instance_state_names[INSTANCE_STATES];

/* The next state, or -EPROTO. */
int outlet_peer_next(enum outlet_peer_state state, enum outlet_peer_event event);
int inlet_peer_next(enum inlet_peer_state state, enum inlet_peer_event event);
int instance_next(enum instance_state state, enum instance_event event);

#endif
