/* SPDX-License-Identifier: MIT */
/*
 * Source "listen": messages that others send. The supervisor opens the socket (sl_listener) and keeps it over the deaths of this process; the
 * connections end with it. What was read cannot be read again: a successor leaves the places of what its predecessor had read and not settled
 * empty, and says so. The parts are in listen.h.
 */
#include "listen.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define OTHER_DESCRIPTORS 64 /* of links, stores and so on */

static const char *const formats[] = { "lines", "ndjson", "syslog", NULL };
static const char *const framings[] = { "auto", "newline", "octets", NULL };

/* --- opening -------------------------------------------------------------------------------------- */

static const char *listen_target(const void *shared)
{
	const struct listen *o = shared;

	return o->address;
}

static bool listen_is_live(const void *shared)
{
	(void)shared;
	return true;
}

static int listen_check(struct sl_context *ctx, const void *shared)
{
	const struct listen *o = shared;
	bool is_datagram =
		strncmp(o->address, "udp:", 4) == 0 || strncmp(o->address, "unixgram:", 9) == 0;

	if (is_datagram && o->framing == FRAMING_OCTETS)
		return sl_error(ctx, -EINVAL,
			"`framing` is about streams, and %s has datagrams, which have an end of "
			"their own: remove it",
			o->address);
	if (o->peer_field && !*o->peer_field)
		return sl_error(ctx, -EINVAL,
			"`peer_field` is empty: write a name, as \"peer\", or remove it");
	return 0;
}

/* One descriptor for each connection. */
static int raise_limit(struct sl_context *ctx, const struct listen *o)
{
	struct rlimit limit;
	rlim_t wanted = (rlim_t)o->max_connections + ENDING_MAX + OTHER_DESCRIPTORS;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= wanted)
		return 0;
	if (limit.rlim_max < wanted)
		return sl_error(ctx, -EMFILE,
			"`max_connections` wants %llu open descriptors, and the process may have "
			"%llu: lower it, or raise LimitNOFILE= of the unit (`ulimit -Hn` in a "
			"shell)",
			(unsigned long long)wanted, (unsigned long long)limit.rlim_max);
	limit.rlim_cur = wanted;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
	return 0;
}

static int listen_open(struct sl_context *ctx, void *shared)
{
	struct listen *o = shared;

	if (sl_listener(ctx) < 0)
		return sl_error(ctx, -EBADF, "%s: no socket was opened for this stage", o->address);
	if (o->format == FORMAT_SYSLOG && !o->peer_field)
		o->peer_field = "peer";
	return raise_limit(ctx, o);
}

static int listen_start(struct sl_context *ctx, void *shared, void *worker)
{
	const struct listen *o = shared;
	struct listener *l = worker;
	const char *name = sl_stage_name(ctx);
	int type = 0;
	socklen_t size = sizeof(type);

	*l = (struct listener){ .options = o, .ctx = ctx, .fd = sl_listener(ctx), .epoll = -1 };
	(void)getsockopt(l->fd, SOL_SOCKET, SO_TYPE, &type, &size);
	l->is_datagram = type != SOCK_STREAM;
	l->is_shared = sl_process_count(ctx) > 1;
	l->origin = XXH3_64bits_withSeed(name, strlen(name), 5 + ((uint64_t)sl_process(ctx) << 8));
	l->rules = (struct frame_rules){
		.framing = o->framing != FRAMING_AUTO || o->format == FORMAT_SYSLOG
				   ? (enum framing)o->framing
				   : FRAMING_NEWLINE,
		.is_datagram = l->is_datagram && o->format == FORMAT_SYSLOG,
		.max = o->line_max,
	};
	if (l->is_datagram && !l->rules.is_datagram)
		l->rules.framing = FRAMING_NEWLINE;
	sl_writer_init(&l->scratch);
	sl_writer_init(&l->row);
	return l->is_datagram ? datagram_open(l) : stream_open(l);
}

static void listen_stop(struct sl_context *ctx, void *shared, void *worker)
{
	struct listener *l = worker;

	(void)shared;
	l->ctx = ctx;
	if (l->is_datagram)
		datagram_close(l);
	else
		stream_close(l);
	sl_writer_fini(&l->scratch);
	sl_writer_fini(&l->row);
}

/* --- giving --------------------------------------------------------------------------------------- */

bool listen_has_room(const struct listener *l)
{
	return l->cut->out->count < l->cut->want && l->cut->out->size < l->cut->size_max;
}

static int give_one(struct listener *l, const struct connection *c, enum frame_outcome outcome,
	const char *text, size_t size)
{
	switch (outcome) {
	case FRAME_WHOLE:
		return message_take(l, c->peer, text, size);
	case FRAME_TOO_LONG:
		message_refuse(l, c->peer, "it is longer than `line_max`", text, size);
		return 0;
	case FRAME_CUT:
		message_refuse(l, c->peer, "the connection ended in the middle of it", text, size);
		return 0;
	case FRAME_BROKEN:
		message_refuse(l, c->peer,
			"it does not begin with an octet count, and where the next message begins "
			"cannot be known: the connection is closed",
			text, size);
		return 0;
	default:
		return 0;
	}
}

int listen_give(struct listener *l, struct connection *c)
{
	while (listen_has_room(l)) {
		const char *text;
		size_t size;
		enum frame_outcome outcome = frames_next(&c->frames, &l->rules, &text, &size);
		int r;

		if (outcome == FRAME_NONE)
			return 1;
		r = give_one(l, c, outcome, text, size);
		if (r < 0)
			return r;
	}
	return 0;
}

static int read_and_give(struct listener *l)
{
	int r;

	if (l->is_datagram)
		return datagram_give(l);
	r = stream_read(l);
	return r < 0 ? r : stream_give(l);
}

/* What was read before, then what comes; at least one message, or an error. */
static int fill(struct listener *l)
{
	uint64_t before = l->position;
	int r = l->is_datagram ? listen_give(l, &l->single) : stream_give(l);

	while (r >= 0 && l->position == before) {
		r = sl_wait_fd(l->ctx, l->epoll, POLLIN, l->is_datagram ? SL_NEVER : stream_due(l));
		if (r < 0 && r != -ETIMEDOUT)
			return r;
		l->now = time(NULL);
		if (!l->is_datagram)
			stream_tick(l);
		r = read_and_give(l);
	}
	return r < 0 ? sl_error(l->ctx, r, "%s: cannot be read: %s", l->options->address,
			       strerrordesc_np(-r))
		     : 0;
}

/* --- the place ------------------------------------------------------------------------------------ */

static void find_place(struct listener *l)
{
	struct sl_place place;

	if (l->has_place)
		return;
	if (sl_checkpoint(l->ctx, l->origin, &place)) {
		l->position = place.position;
		l->drops = (uint32_t)place.mark;
	}
	l->has_place = true;
}

/* Messages that a predecessor had read: the engine knows whether they were settled, and then nothing of this is kept or said. */
static int leave_out(struct listener *l, struct sl_cut *cut)
{
	char where[300];

	(void)snprintf(where, sizeof(where), "%s, messages %llu to %llu", l->options->address,
		(unsigned long long)l->position, (unsigned long long)cut->until - 1);
	(void)sl_reject(l->ctx, where, (struct sl_value){ 0 },
		"they had been read by a process that ended before they were settled: they are "
		"lost, but for those that had got further by then");
	l->position = cut->until;
	cut->end = l->position;
	return SL_MORE;
}

static int listen_produce(struct sl_context *ctx, void *shared, void *worker, struct sl_cut *cut)
{
	struct listener *l = worker;
	int r;

	(void)shared;
	l->ctx = ctx;
	l->cut = cut;
	l->now = time(NULL);
	find_place(l);
	cut->origin = l->origin;
	cut->name = l->options->address;
	cut->start = cut->end = l->position;
	cut->mark = l->drops;
	if (cut->until)
		return leave_out(l, cut);
	r = fill(l);
	if (r < 0)
		return r;
	if (l->is_datagram)
		datagram_count_drops(l);
	cut->end = l->position;
	cut->mark = l->drops;
	sl_progress(ctx, l->position, 0, "records");
	return SL_MORE;
}

static const struct sl_option options[];

const struct sl_stage sl_stage_source_listen = {
	.abi = SL_ABI,
	.name = "listen",
	.role = SL_SOURCE,
	.summary =
		"messages that are sent here, over TCP, UDP or Unix sockets: lines, ndjson, syslog",
	.flags = SL_ONE_THREAD | SL_RESUMES | SL_TAKES_OVER | SL_WAITS | SL_CONFINED,
	.shared_size = sizeof(struct listen),
	.worker_size = sizeof(struct listener),
	.check = listen_check,
	.target = listen_target,
	.is_live = listen_is_live,
	.open = listen_open,
	.start = listen_start,
	.produce = listen_produce,
	.stop = listen_stop,
	.options = options,
};

/* clang-format off */
static const struct sl_option options[] = {
	{ SL_OPTION("address", STRING, struct listen, address), .required = true,
	  .help = "where: tcp://, udp://, unix://, unixgram://, or fd:NAME for a socket that systemd opens", .example = "\"tcp://127.0.0.1:5514\"" },
	{ SL_OPTION("format", CHOICE, struct listen, format), .fallback = "lines", .choices = formats,
	  .help = "what a message is: a string, a JSON document, or syslog as of RFC 5424 and RFC 3164", .example = "\"syslog\"" },
	{ SL_OPTION("framing", CHOICE, struct listen, framing), .fallback = "auto", .choices = framings,
	  .help = "where a message ends in a stream: at a newline, or after an octet count in front (RFC 6587); auto: newline, for syslog as each message begins", .example = "\"octets\"" },
	{ SL_OPTION("peer_field", STRING, struct listen, peer_field),
	  .help = "a field with who sent it; absent: \"peer\" for syslog, else none", .example = "\"peer\"" },
	{ SL_OPTION("line_max", SIZE, struct listen, line_max), .fallback = "64KiB", .min = 64, .max = 16 << 20,
	  .help = "the longest message; a longer one is refused", .example = "\"1MiB\"" },
	{ SL_OPTION("max_connections", INT, struct listen, max_connections), .fallback = "1000", .min = 1, .max = 1000000,
	  .help = "connections of one process; more wait until one ends", .example = "100" },
	{ SL_OPTION("idle_timeout", DURATION, struct listen, idle_timeout), .fallback = "0",
	  .help = "a connection over which nothing came for so long is closed; \"0\": never", .example = "\"10m\"" },
	{ SL_OPTION("socket_buffer", SIZE, struct listen, socket_buffer), .min = 4096, .max = 1 << 30,
	  .help = "what the kernel keeps of what was not read yet, for datagrams and for each connection; absent: as the system has it", .example = "\"4MiB\"" },
	{ 0 },
};
/* clang-format on */
