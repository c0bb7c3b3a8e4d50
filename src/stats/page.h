/* SPDX-License-Identifier: MIT */
/*
 * One page of counters per instance, in a memfd that the supervisor makes and every successor inherits: so counts
 * outlive a process. The instance writes, the supervisor reads; relaxed atomics, no locks. For display, for finding hung
 * workers, and for what a process that died was working on; conservation is counted elsewhere (link/tally.h).
 */
#ifndef STATS_PAGE_H
#define STATS_PAGE_H

#include <stdatomic.h>
#include <stdint.h>

#define PAGE_WORKERS_MAX 64

enum page_worker_state { PAGE_IDLE, PAGE_BUSY, PAGE_WAITING };

/*
 * What stage code is working on: a batch by its name, and a record of it by its place. Written by the thread that runs it, and
 * read when its process is gone, or stands still. ALONE: and nothing else is worked on in this process.
 */
enum page_work_kind {
	PAGE_WORK_NONE,
	PAGE_WORK_BATCH, /* one of its records, or all */
	PAGE_WORK_RECORD,
	PAGE_WORK_ALONE,
	PAGE_WORK_NOBODYS, /* in `culprit`: what ended the process was no worker's doing */
};

struct page_work {
	_Atomic uint32_t kind;
	_Atomic uint32_t index;
	_Atomic uint64_t run, origin, start, path;
};

/*
 * A worker's time. Of the wall time since it started: cpu_ns computing, the engine's part for its batches included; in_calls_ns
 * inside stage code, with coroutines of all tasks together; waited_ns the part of that which stage code spent in waits of
 * task.h; paused_ns the part in which the engine made it wait, for its `rate` or before another try.
 */
struct page_worker {
	_Atomic uint32_t state;
	_Atomic uint64_t
		calls; /* into stage code: a worker that is busy while this stands still is hung */
	_Atomic int64_t cpu_ns;
	_Atomic int64_t in_calls_ns;
	_Atomic uint64_t records; /* whose time is in in_calls_ns */
	_Atomic int64_t waited_ns;
	_Atomic int64_t paused_ns;
	_Atomic uint64_t held; /* times that a task kept its worker for over 100 ms */
	_Atomic int64_t held_max_ns;
	_Atomic uint64_t tasks; /* alive now */
	_Atomic uint64_t tasks_max;
	_Atomic uint64_t
		stack_deepest;      /* bytes of a task's stack that were touched at most, sampled */
	_Atomic uint64_t unguarded; /* stacks without a guard page */
	_Atomic int64_t since_ns;   /* monotonic: when `calls` was seen to move last */
	struct page_work work;
};

/* What holds the instance up, for people. */
enum page_blocked { PAGE_FREE, PAGE_NO_INPUT, PAGE_NO_CREDIT, PAGE_NO_ROOM, PAGE_BLOCKED_COUNT };

struct page {
	_Atomic uint64_t records_in;
	_Atomic uint64_t records_out;
	_Atomic uint64_t records_dead;
	_Atomic uint64_t batches_in;
	_Atomic uint64_t batches_again;  /* given again after a death */
	_Atomic uint64_t progress_done;  /* sources */
	_Atomic uint64_t progress_total; /* 0: unknown */
	_Atomic uint32_t progress_is_bytes;
	_Atomic uint32_t blocked;
	_Atomic int64_t blocked_ns[PAGE_BLOCKED_COUNT]; /* wall time in each state of `blocked` */
	_Atomic uint64_t retried;                       /* records tried again */
	_Atomic uint64_t queued;                        /* batches at hand, not begun */
	_Atomic uint64_t held_bytes;                    /* retention */
	_Atomic uint64_t position;                      /* source: end of the last batch cut */
	_Atomic uint64_t settled;                       /* source: floor of the current origin */
	_Atomic uint64_t
		store_records;        /* one end of a store: ever put into it; or ever taken out */
	_Atomic uint64_t store_bytes; /* the same */
	_Atomic int64_t
		oldest_ns; /* source: when the oldest cut that is not settled was made; 0: none */
	_Atomic int64_t pump_beat_ns;
	_Atomic int64_t
		first_record_ns; /* monotonic: the first record in (sink) or out (others); 0: none yet */
	struct page_work
		culprit; /* the work of the thread in which a signal ended the process; NONE: nobody could say */
	struct page_worker workers[PAGE_WORKERS_MAX];
};

/*
 * A batch whose work ended a process (suspected: which record it was, and whether it was one, is to be found out), or a record that
 * ended two (poison: not to be given to its stage again). Written by the supervisor, before any instance can be given that batch again;
 * an instance only moves `state` from SUSPECTED to CLEARED or EXCUSED. `state` has the number of the death above its lowest
 * PAGE_SUSPECT_BITS, so that a cell that was taken for another death is another one.
 */
enum page_suspect_state {
	PAGE_SUSPECT_FREE,
	PAGE_SUSPECT_SUSPECTED,
	PAGE_SUSPECT_POISON,
	PAGE_SUSPECT_CLEARED, /* it went through: the death is unexplained */
	PAGE_SUSPECT_EXCUSED, /* the same, and the death is accounted for */
};

#define PAGE_SUSPECT_BITS 3
#define PAGE_SUSPECTS_MAX 1024
#define PAGE_ANY_RECORD UINT32_MAX
#define PAGE_CAUSE_HUNG 0 /* others: the signal */
#define PAGE_CAUSE_NO_MEMORY 1000

struct page_suspect {
	_Atomic uint64_t state;
	_Atomic uint32_t stage;
	_Atomic uint32_t index; /* of the record; PAGE_ANY_RECORD: not known */
	_Atomic uint32_t cause;
	_Atomic uint64_t run, origin, start, path;
};

/*
 * What all instances of a pipeline share, in one more memfd of the supervisor's: for each stage when its `rate` allows the next
 * record (monotonic ns); and the suspects, of which `suspects_used` cells were ever used.
 */
#define PAGE_STAGES_MAX 1024
struct page_shared {
	_Atomic int64_t next_ns[PAGE_STAGES_MAX];
	_Atomic uint32_t suspects_used;
	struct page_suspect suspects[PAGE_SUSPECTS_MAX];
};

#define page_add(counter, n) atomic_fetch_add_explicit(&(counter), (n), memory_order_relaxed)
#define page_set(counter, n) atomic_store_explicit(&(counter), (n), memory_order_relaxed)
#define page_get(counter) atomic_load_explicit(&(counter), memory_order_relaxed)

/* Makes a page: a descriptor (close-on-exec), or negative errno. */
int page_create(void);
int page_shared_create(void);
struct page_shared *page_shared_map(int fd, int *ret_error);
void page_shared_unmap(struct page_shared *shared);
/* Maps it, read and write; NULL and -errno in *ret_error. The descriptor may be closed afterwards. */
struct page *page_map(int fd, int *ret_error);
void page_unmap(struct page *page);

#endif
