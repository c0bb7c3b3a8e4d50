/* SPDX-License-Identifier: MIT */
/*
 * A file that is followed: read as it grows, over renames, until it has gone and nothing more comes.
 *
 *                 a byte came                      the end                 more came
 *     found --> [ready] ------> reads, a cut at a time -----> [still] -----------------> [ready]
 *                                                                | no pattern leads to it, and nothing came for rotate_wait
 *                                                                v
 *                                                             [done] --> rests until its checkpoint says so too
 *
 * What is ready is read in turn. A file that took another one's place waits until that one was read to its end. A file that was
 * truncated is done, and begins as its next generation. All belongs to the source's one worker.
 */
#ifndef STAGES_FILE_TAIL_H
#define STAGES_FILE_TAIL_H

#include <uthash.h>

#include "codec_options.h"
#include "inputs.h"
#include "watch.h"

enum tail_ending { TAIL_GOES_ON, TAIL_IS_DONE, TAIL_WAS_TRUNCATED };

struct tail {
	struct file_id id;
	char *name; /* its path when it was seen first: of its origin */
	char *path; /* where it is now, as far as is known */
	struct input_place at;
	uint64_t size;   /* seen last */
	uint64_t read;   /* bytes that the decoder has read */
	int64_t changed; /* when `read` did: sl_now() */
	int fd;          /* -1: not open */
	int watch;       /* -1: none */
	struct sl_decoder *decoder;
	struct input_refusal refusal;
	uint64_t after; /* origin behind which its first records come */
	enum tail_ending ending;
	bool is_foreign; /* another process follows it */
	bool is_claimed; /* and has said so */
	bool is_ignored; /* it cannot be followed */
	bool is_gone;    /* no pattern leads to it */
	bool is_ready;
	bool is_still;   /* all that is there was read */
	bool is_resting; /* done */
	bool has_complained;
	char *old_path; /* that led to it, and leads to no other one yet */
	int64_t moved;  /* since when: sl_now() */

	/* while the files are scanned */
	bool is_seen;
	char *other; /* another path that leads to it */

	struct tail *before, *behind; /* read before this one; waits for this one */
	struct tail *prev, *next;     /* ready */
	struct tail *warm_prev, *warm_next;
	UT_hash_handle hh;       /* by id */
	UT_hash_handle hh_watch; /* by watch */
};

/* An origin whose file is not there any more: it is said once that it is done. */
struct ended {
	uint64_t origin;
	struct sl_place place;
	char *name;
	struct ended *next;
};

struct follow {
	/* given */
	const struct sl_strings *patterns;
	const struct codec_options *codec;
	int64_t rotate_wait;

	struct watch watch;
	int *folders; /* numbers of their watches */
	size_t folder_count;
	bool misses_folder;   /* one cannot be watched now */
	struct tail *tails;   /* by id */
	struct tail *watched; /* by watch */
	struct tail *ready;   /* the next one first */
	struct tail *warm;    /* open; the one that was read longest ago first */
	uint32_t open_count, open_max, decoder_count;
	struct ended *ended; /* the first was said when has_said_ended */
	bool has_said_ended;
	bool has_begun;
	bool makes_again; /* the first cuts are those of a predecessor */
	bool must_scan, must_retry;
	int64_t scan_at, scan_not_before, looked_at;
	int64_t scanned;      /* when the last scan began, by the wall clock */
	uint64_t done, total; /* bytes */
};

/* Its name and path are copied. NULL: no memory. */
struct tail *tail_new(
	struct follow *follow, const char *name, const char *path, const struct file_id *id);
void tail_free(struct follow *follow, struct tail *tail);
struct tail *tail_find(const struct follow *follow, const struct file_id *id);
/* Not while it waits for another one, or rests. */
void tail_set_ready(struct follow *follow, struct tail *tail);
void tail_set_size(struct follow *follow, struct tail *tail, uint64_t size);
/* `behind` waits until `tail` is still. */
void tail_chain(struct follow *follow, struct tail *tail, struct tail *behind);
/* It was done, and leads to the same file again. */
void tail_revive(struct sl_context *ctx, struct follow *follow, struct tail *tail);
/* Its file cannot be found: what was read is all there is. */
void tail_give_up(struct sl_context *ctx, struct follow *follow, struct tail *tail);
/* An open descriptor, from which the file is read when it has no name any more. False: not now. */
bool tail_open(struct sl_context *ctx, struct follow *follow, struct tail *tail);

void tail_close(struct follow *follow, struct tail *tail);
void tail_stop_watching(struct follow *follow, struct tail *tail);
/* Its place is known: it can be made again. */
void tail_drop_decoder(struct follow *follow, struct tail *tail);
void tail_make_room_for_decoder(struct follow *follow);

enum { TAIL_NOTHING = 2 };
/* Nothing is to be had of it until an event, or a scan, says otherwise. TAIL_NOTHING. */
int tail_be_still(struct follow *follow, struct tail *tail);
/* Reads a cut: SL_MORE; TAIL_NOTHING: there is none now; negative errno, said. */
int tail_step(struct sl_context *ctx, struct follow *follow, struct tail *tail, struct sl_cut *cut);
/* Reads the cut up to `until` again; SL_END: it is not what it was; TAIL_NOTHING: it is not at its path. */
int tail_again(
	struct sl_context *ctx, struct follow *follow, struct tail *tail, struct sl_cut *cut);

#endif
