/* SPDX-License-Identifier: MIT */
/*
 * The words that supervisor and instance say to each other, over one SOCK_SEQPACKET pair per child. This is the
 * whole contract of a child:
 *
 *   supervisor                                  instance
 *   START (run, series, epoch; folders; graph, pages, listener) ->
 *                                            <- READY            its outlets are bound
 *   PEER_UP (upstream instance, epoch)       ->                  connect to it
 *   PEER_GONE (neighbour, epoch)             ->                  it was *reaped*: give its batches again
 *   PEER_DONE (neighbour, how)               ->                  it finished; it will not come back
 *   STOP                                     ->                  a source reads no more
 *   PAUSE, RESUME                            ->                  a source reads no more for now; goes on
 *                                            <- PAUSED           ... and all that it read is settled
 *                                            <- SILENT (neighbour) answers no PING: look at it
 *                                            <- FAILED (text)    why it is about to exit
 *                                            <- TALLY (counts)   a source: all settled batches, once each
 *   ASK_TALLY                              ->                  a source tells its counts so far
 *                                            <- TALLY_NOW (counts)
 *                                            <- DONE (how)       exits 0 now
 *
 * Both ends are the same build, so a word is a plain struct. One thread at each end. Never blocks: a full socket
 * answers -EAGAIN, which only a peer that stopped reading can cause.
 */
#ifndef BASE_WORD_H
#define BASE_WORD_H

#include <stddef.h>
#include <stdint.h>

enum word_type {
	WORD_START = 1,
	WORD_READY,
	WORD_PEER_UP,
	WORD_PEER_GONE,
	WORD_PEER_DONE,
	WORD_STOP,
	WORD_PAUSE,
	WORD_RESUME,
	WORD_PAUSED,
	WORD_SILENT,
	WORD_FAILED,
	WORD_TALLY,
	WORD_DONE,
	WORD_ASK_TALLY,
	WORD_TALLY_NOW,
};

/* How a stream ended. */
enum word_how { WORD_HOW_END, WORD_HOW_STOP };

#define WORD_FDS_MAX 4
#define WORD_PAYLOAD_MAX 65536

struct word {
	uint32_t type;
	uint32_t stage; /* index in the graph */
	uint32_t instance;
	uint32_t epoch;
	uint32_t how;   /* START: 1: work of two shapes of the graph may mix */
	uint32_t error; /* FAILED: positive errno */
	uint64_t run;
	uint64_t series; /* START: see state/checkpoint.h */
	uint64_t term;   /* START: of all processes from one start, or reload, to the next stop */
};

/* The descriptor at which a stage process finds its end of the pair. */
#define WORD_CHILD_FD 3

/* 0 or negative errno. `fds` are borrowed. */
int word_send(int socket, const struct word *word, const void *payload, size_t size, const int *fds,
	size_t fd_count);

/*
 * Receives one word: 1, 0 (the other end is closed), -EAGAIN, another negative errno. `payload` takes up to
 * WORD_PAYLOAD_MAX bytes. `ret_fds` takes WORD_FDS_MAX descriptors (close-on-exec), -1 where there was none.
 */
int word_receive(int socket, struct word *ret_word, char *payload, size_t *ret_size,
	int ret_fds[WORD_FDS_MAX]);

#endif
