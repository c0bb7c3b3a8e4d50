/* SPDX-License-Identifier: MIT */
/*
 * The resolved graph: what a config file means after every check. `sluice-stage --check` makes it (load.h), the
 * supervisor and every stage process read it. It travels as one MessagePack value, so that the supervisor needs
 * neither libconfig nor any stage's code. Everything in a graph is constant and belongs to it (one arena).
 */
#ifndef CONFIG_GRAPH_H
#define CONFIG_GRAPH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include <sluice/stage.h>

enum graph_order { GRAPH_ORDER_KEEP, GRAPH_ORDER_ANY };
enum graph_on_error { GRAPH_ON_ERROR_DEAD_LETTER, GRAPH_ON_ERROR_DROP, GRAPH_ON_ERROR_STOP };

/* "source" ...: by enum sl_role; ends with NULL. */
extern const char *const graph_roles[];

/* What a replay calls the source of its dead letters: nothing that a config could write. */
#define GRAPH_DEAD_LETTERS "dead letters"

/* The stage is given whole batches, and a record of one waits for none of another's. */
#define GRAPH_WHOLE_BATCHES (1u << 31)
/* A source that cannot go on where it stood: but what it has given is in a store. */
#define GRAPH_DURABLE (1u << 30)

/*
 * The two stages that `when_full` or `intake` adds: the sink STAGE~in writes batches into a store in the state folder, the source
 * STAGE~out reads them. No link goes from one to the other. A config could write neither their implementation nor their names. A stage with
 * state (SL_HAS_STATE, which both of them have then) is nothing else than such two, the first of them of its own implementation.
 */
#define GRAPH_SPILL "spill"
#define GRAPH_SPILL_IN "~in"
#define GRAPH_SPILL_OUT "~out"

/* The hidden sink that `peek` and `test` put where they look: it writes what comes to it into a file of the state folder, as MessagePack. */
#define GRAPH_TAP "tap"
/* An option that a source may have beside its own, which a config could not write: so many records it reads, and then it ends. */
#define GRAPH_READ_MAX "~records"

struct graph_stage {
	const char *name;   /* "vat" */
	const char *impl;   /* "sql" */
	const char *module; /* absolute path of the module that it is in; NULL: it is built in */
	enum sl_role role;
	unsigned flags;   /* SL_ONE_PROCESS ... of the implementation, and GRAPH_WHOLE_BATCHES */
	const char *file; /* where it stands in the config */
	uint32_t line;
	uint32_t processes;  /* >= 1 */
	uint32_t threads;    /* >= 1 */
	uint32_t coroutines; /* tasks of each worker; 0: it calls the stage directly */
	uint64_t stack_size; /* of a task */
	int64_t rate_ns;     /* from one record to the next, for the whole stage; 0: no limit */
	int64_t timeout_ns;  /* of one record; 0: none */
	int64_t retries;     /* of one record; -1: without end */
	uint32_t queue;  /* credit: batches per upstream instance and this stage's instance, >= 1 */
	uint64_t retain; /* bytes per outlet */
	enum graph_order order;
	enum graph_on_error on_error;
	uint64_t dead_max;            /* refused records per process; 0: no limit */
	const char *const *partition; /* field names; NULL when none */
	uint32_t partition_count;
	uint32_t restart_max;       /* deaths allowed ... */
	int64_t restart_within_ns;  /* ... within this time; one more stops the pipeline */
	int64_t restart_backoff_ns; /* first wait; doubles up to 30 times itself */
	int64_t stall_timeout_ns;   /* a worker in one call for longer is hung; 0: never */
	bool sandbox;               /* what it does not need is taken from its processes */
	uint64_t memory_max;        /* bytes of one process; 0: no limit */
	uint32_t cpu_weight;        /* of one process, 1 to 10000; 0: as all that have none */
	uint32_t tasks_max;         /* threads and programs of one process; 0: no limit */
	const char *const *ports;   /* outputs; none for a sink */
	uint32_t port_count;
	const uint32_t *inputs; /* indexes of links that end here */
	uint32_t input_count;
	const uint32_t *outputs; /* indexes of links that begin here */
	uint32_t output_count;
	const char *
		listen; /* of a source: the address (base/address.h) that is opened for it; NULL: none */
	struct sl_value options; /* a map: option name -> resolved value (see schema.h) */
	uint64_t
		options_shape; /* a hash of them in which a credential is its name; 0: none is in them */
};

struct graph_link {
	uint32_t upstream;   /* stage index */
	uint32_t port;       /* of the upstream stage */
	uint32_t downstream; /* stage index */
};

struct graph {
	const char *name;         /* of the pipeline */
	const char *file;         /* absolute path of the config */
	int64_t drain_timeout_ns; /* to settle what was read, at a stop or a reload */
	int64_t sync_interval_ns; /* between points (state/point.h); 0: none are made */
	struct graph_stage
		*stages; /* in topological order: a stage stands behind all that it takes from */
	uint32_t stage_count;
	struct graph_link *links;
	uint32_t link_count;
	const char *const *secrets; /* that are in options: no message may show them */
	uint32_t secret_count;
	/* Hash of what decides how records are cut, named and changed: stages, links, processes, partitions, the stages' own options; not
	 * how many at once, how fast or how often. */
	uint64_t shape;
};

/* Serialises `graph` into `out`, one record. 0 or -ENOMEM. */
int graph_encode(const struct graph *graph, struct sl_writer *out);
/* Reads what graph_encode wrote; `data` is copied, so that nothing of it is borrowed. */
int graph_decode(const char *data, size_t size, struct graph **ret_graph, struct err *err);
/* From a file: as above, or -EBADMSG: it is empty. */
int graph_read(int fd, struct graph **ret_graph, struct err *err);
void graph_free(struct graph *graph);
/* Do they mean the same? Where in which file it stands does not count. */
bool graph_is_same(const struct graph *a, const struct graph *b);

/* Records that one instance of a stage works on at once. */
uint64_t graph_concurrency(const struct graph_stage *stage);
/*
 * How many records such a stage wishes in one batch before it has measured anything: one, so that its workers share what
 * there is; more where nobody is there to share with, or where all of a batch begins at once.
 */
uint32_t graph_first_wish(const struct graph_stage *stage);
/* The source that reads what that sink, the first half of a store, writes; -ENOENT: it is none, or there is none. */
int graph_find_out(const struct graph *graph, uint32_t in);
/* A store, as its first half was told. `name`, of the file, is borrowed from the graph and not terminated. */
struct graph_store {
	const char *name;
	size_t name_size;
	uint64_t max; /* bytes */
	bool drops;   /* what comes when it is full is given up */
	uint32_t out; /* its second half */
};
/* 0; -ENOENT as above. */
int graph_store(const struct graph *graph, uint32_t in, struct graph_store *ret);
/*
 * The same graph without stores, but for those of state: what went into one goes to the stages behind it. For whoever runs a part of a pipeline, or runs it apart, and must
 * not touch its stores. 0 or negative errno.
 */
int graph_join(const struct graph *graph, struct graph **ret_graph, struct err *err);
/*
 * What a stage that no config names takes over from the one it stands beside: where an error points, the stack, the patience with deaths, the sandbox. One process with one
 * thread; the caller adds name, impl, role, options and the rest.
 */
struct graph_stage graph_beside(const struct graph_stage *stage);
/* A pipeline whose config gives it no name has that of the file, up to its first dot; what may not be part of a name becomes "_". */
enum { PIPELINE_NAME_SIZE = 49 };
bool graph_is_name_char(char c);
void graph_name_of_file(const char *path, char ret_name[static PIPELINE_NAME_SIZE]);
/* The stage's index, or -ENOENT. */
int graph_find(const struct graph *graph, const char *name);
/* Sum of `retain` over all outlets of all instances: the declared memory bound, bytes. */
uint64_t graph_memory(const struct graph *graph);

#endif
