/* SPDX-License-Identifier: MIT */
/*
 * The source "listen", in parts:
 *
 *   listen      options, callbacks, what is given next             message   a message becomes a record, or a dead letter
 *   stream      connections: accepting, reading, ending them       datagram  one socket, a message (or some lines) at a time
 *   frame       where a message ends                               syslog*   what a message says
 *
 * One thread. Reading and giving take turns: nothing is read while something that was read waits to be given, so that what is in
 * memory is one read of some connections, and of each the begin of one message.
 */
#ifndef STAGES_LISTEN_LISTEN_H
#define STAGES_LISTEN_LISTEN_H

#include <time.h>

#include <sluice/stage.h>

#include "frame.h"

enum format { FORMAT_LINES, FORMAT_NDJSON, FORMAT_SYSLOG };

struct listen {
	const char *address;
	int format;
	int framing;
	uint64_t line_max;
	int64_t max_connections;
	int64_t idle_timeout;   /* 0: none */
	uint64_t socket_buffer; /* 0: the system's */
	const char *peer_field; /* NULL: none */
};

#define PEER_SIZE 64
#define ENDING_MAX 256

/* Who talks to us. */
struct connection {
	int fd;
	int64_t heard; /* sl_now() */
	struct frames frames;
	bool is_waiting; /* in `waiting`: it has something to give */
	bool is_ended;   /* the other side has closed it, or broken it */
	bool is_broken;  /* ... broken it */
	bool is_tcp;
	uint64_t settle_at;                       /* of `ending`: behind its last message */
	struct connection *prev, *next;           /* of `all`: who was heard longest ago is first */
	struct connection *wait_prev, *wait_next; /* of `waiting` */
	char peer[PEER_SIZE];
};

struct listener {
	const struct listen *options;
	struct sl_context *ctx; /* of the call */
	struct sl_cut *cut;     /* of the call */
	struct frame_rules rules;
	int fd;    /* the socket; borrowed */
	int epoll; /* of it and all connections */
	bool is_datagram;
	bool is_shared;   /* with other processes of the stage */
	bool is_watched;  /* the socket is in epoll */
	int64_t watch_at; /* when accepting is tried again; 0: not by time */
	int64_t said_full_at, said_trouble_at, said_drops_at;
	struct connection *all, *waiting;
	int64_t count;             /* of `all` */
	struct connection *ending; /* all is given, and not settled; the first to end is first */
	int64_t ending_count;
	int64_t settled_at;       /* when to look what is settled */
	char *spare;              /* a buffer that a connection had; NULL: none */
	struct connection single; /* of datagrams */

	uint64_t origin;
	uint64_t position; /* messages, refused and lost ones included */
	bool has_place;
	uint32_t drops; /* datagrams that the kernel dropped, as far as is told */
	time_t now;
	struct sl_writer scratch, row;
};

/* Has the cut room for more? */
bool listen_has_room(const struct listener *l);
/* Gives what of it is whole. 1: all is given; 0: the cut is full; negative errno. */
int listen_give(struct listener *l, struct connection *connection);

/* --- message.c -------------------------------------------------------------------------------------- */

/* One message, as a record or a dead letter: 0 or negative errno. */
int message_take(struct listener *l, const char *peer, const char *text, size_t size);
/* Gives up on it. */
void message_refuse(
	struct listener *l, const char *peer, const char *reason, const char *text, size_t size);

/* --- stream.c --------------------------------------------------------------------------------------- */

/* 0 or negative errno, said. */
int stream_open(struct listener *l);
/* Accepts and reads what is there, once. */
int stream_read(struct listener *l);
/* Gives what was read. */
int stream_give(struct listener *l);
/* When something is to be done although nothing comes; SL_NEVER. */
int64_t stream_due(const struct listener *l);
/* Does it. */
void stream_tick(struct listener *l);
void stream_close(struct listener *l);

/* --- datagram.c ------------------------------------------------------------------------------------- */

int datagram_open(struct listener *l);
/* Reads and gives until nothing is there or the cut is full. */
int datagram_give(struct listener *l);
/* Counts what the kernel dropped since. */
void datagram_count_drops(struct listener *l);
void datagram_close(struct listener *l);

/* --- peer.c ----------------------------------------------------------------------------------------- */

struct sockaddr;
struct ucred;

/* "192.0.2.1:514", "[::1]:514". */
void peer_print(const struct sockaddr *address, uint32_t size, char text[PEER_SIZE]);
/* "pid 17 uid 0": of this machine. */
void peer_print_process(const struct ucred *process, char text[PEER_SIZE]);

#endif
