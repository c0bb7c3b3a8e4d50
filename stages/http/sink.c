/* SPDX-License-Identifier: MIT */
/*
 * Sink "http": sends records to a web server, many in one request. A request never holds records of two batches, and what is cut of a batch is cut the
 * same way each time, so each request has a name of its own that a repeat has too (key.h). The server's answer is the commit: `write` returns
 * when there is one for each record, however long the server is away.
 */
#include "sink.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pointer.h"
#include "send.h"
#include "target.h"

#define KEY_HEADER_MAX 200

struct worker {
	struct pieces pieces;
	bool is_away;
};

/* All of them: what is wrong with a server today may be right tomorrow. */
static const char *const again[] = { "408", "425", "429", "5xx", NULL };
static const char *const content_types[] = { [BODY_NDJSON] = "application/x-ndjson",
	[BODY_JSON] = "application/json",
	[BODY_RECORD] = "application/json",
	[BODY_CSV] = "text/csv" };

/* --- options -------------------------------------------------------------------------------------- */

static int check_key_header(struct sl_context *ctx, const char *name)
{
	static const char token[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
				    "-_";

	if (strspn(name, token) != strlen(name) || strlen(name) > KEY_HEADER_MAX)
		return sl_error(ctx, -EINVAL,
			"`key_header`: \"%.40s\" is no name of a header: write "
			"\"Idempotency-Key\", or "
			"\"\" for none",
			name);
	return 0;
}

static int check_body(struct sl_context *ctx, const struct sink *o)
{
	struct reason reason;

	if (o->method && (strcmp(o->method, "GET") == 0 || strcmp(o->method, "HEAD") == 0))
		return sl_error(ctx, -EINVAL, "`method`: %s has no body: write \"POST\" or \"PUT\"",
			o->method);
	if (o->before && o->body != BODY_NDJSON)
		return sl_error(ctx, -EINVAL,
			"`before` is a line before each record: it needs body = \"ndjson\"");
	if (o->before && strpbrk(o->before, "\r\n"))
		return sl_error(ctx, -EINVAL, "`before` is one line: leave the line break out");
	if (o->columns.count > 0 && o->body != BODY_CSV)
		return sl_error(ctx, -EINVAL, "`columns` needs body = \"csv\"");
	if (o->items && o->body == BODY_RECORD)
		return sl_error(ctx, -EINVAL,
			"`items` is for answers that speak of several records: leave it out, or "
			"write body = \"ndjson\"");
	if (o->items && pointer_check(o->items, &reason) < 0)
		return sl_error(ctx, -EINVAL, "`items`: %s", reason.text);
	if (o->retry_wait > o->retry_wait_max)
		return sl_error(ctx, -EINVAL, "`retry_wait` is longer than `retry_wait_max`");
	return 0;
}

static bool is_s3(const char *sigv4)
{
	const char *service = strrchr(sigv4, ':');

	return service && strcmp(service, ":s3") == 0;
}

static int check_signature(struct sl_context *ctx, const struct sink *o)
{
	unsigned colons = 0;

	if (!o->sigv4)
		return 0;
	for (const char *at = o->sigv4; (at = strchr(at, ':')); at++)
		colons++;
	if (colons != 3)
		return sl_error(ctx, -EINVAL,
			"`sigv4`: \"%.60s\" names no place: write \"aws:amz:REGION:SERVICE\", as "
			"in "
			"\"aws:amz:eu-central-1:s3\"",
			o->sigv4);
	if (!o->client.username || !o->client.password)
		return sl_error(ctx, -EINVAL,
			"`sigv4` signs with keys: write the access key as `username` and the "
			"secret "
			"one as `password`");
	if (is_s3(o->sigv4) && o->body != BODY_RECORD && !template_has_key(&o->url_template))
		return sl_error(ctx, -EINVAL,
			"`url`: each request would replace the object that the one before wrote: "
			"put "
			"{!key} into its name");
	return 0;
}

/* Fields in quotes are the usual mistake: a string brings its own. */
static int check_before(struct sl_context *ctx, const struct template *t)
{
	struct sl_writer text, value;
	const char *why = "";
	int r;

	sl_writer_init(&text);
	sl_writer_init(&value);
	r = template_sample(t, "\"x\"", &text);
	if (r == 0)
		r = text_end(&text) ? sl_json_parse(&value, text.data, text.size, &why) : -ENOMEM;
	if (r == -EINVAL)
		r = sl_error(ctx, r,
			"`before` is no JSON once its fields are filled in (%s): write {field} "
			"without quotes, and {{ and }} for braces",
			why);
	sl_writer_fini(&text);
	sl_writer_fini(&value);
	return r;
}

static int compile_before(struct sl_context *ctx, struct sink *o)
{
	struct reason reason;
	int r;

	if (!o->before)
		return 0;
	r = template_compile(&o->before_template, o->before, false, &reason);
	if (r == -EINVAL)
		return sl_error(ctx, r, "`before`: %s", reason.text);
	return r == 0 ? check_before(ctx, &o->before_template) : r;
}

static void discard(struct sink *o)
{
	template_fini(&o->url_template);
	template_fini(&o->before_template);
	client_fini(&o->http);
}

static int compile(struct sl_context *ctx, struct sink *o)
{
	const struct client_setup setup = {
		.has_record = true,
		.has_key = true,
		.sigv4 = o->sigv4,
		.again = again,
		.accept = o->items ? "application/json" : NULL,
		.content_type = content_types[o->body],
	};
	int r = target_check_method(ctx, o->method);

	r = r ? r : target_compile(ctx, o->url, true, &o->url_template);
	r = r ? r : check_key_header(ctx, o->key_header);
	r = r ? r : check_body(ctx, o);
	r = r ? r : compile_before(ctx, o);
	r = r ? r : check_signature(ctx, o);
	return r ? r : client_compile(ctx, &o->client, &setup, &o->http);
}

static int http_check(struct sl_context *ctx, const void *shared)
{
	struct sink copy = *(const struct sink *)shared;
	int r = compile(ctx, &copy);

	discard(&copy);
	return r;
}

static int http_open(struct sl_context *ctx, void *shared)
{
	struct sink *o = shared;
	int r = compile(ctx, o);

	if (r == 0)
		r = client_check_files(ctx, &o->client);
	if (r < 0)
		discard(o);
	return r;
}

static void http_close(struct sl_context *ctx, void *shared)
{
	(void)ctx;
	discard(shared);
}

static int http_start(struct sl_context *ctx, void *shared, void *worker)
{
	struct worker *w = worker;
	int r = pieces_init(ctx, &w->pieces);

	(void)shared;
	if (r < 0)
		pieces_fini(&w->pieces);
	return r;
}

static void http_stop(struct sl_context *ctx, void *shared, void *worker)
{
	struct worker *w = worker;

	(void)ctx;
	(void)shared;
	pieces_fini(&w->pieces);
}

/* --- batches -------------------------------------------------------------------------------------- */

/* Gives up on what the server did not want, in the order of the batch; how many. */
static uint64_t reject_refused(
	struct sl_context *ctx, const struct sl_batch *in, const struct send *s, bool is_sent)
{
	uint64_t count = 0;

	for (uint32_t i = 0; i < sl_batch_count(in); i++) {
		if (is_sent && s->refused[i]) {
			(void)sl_reject(ctx, NULL, sl_batch_record(in, i), "%s", s->refused[i]);
			count++;
		}
		free(s->refused[i]);
	}
	free(s->refused);
	return count;
}

static int64_t http_write(
	struct sl_context *ctx, void *shared, void *worker, const struct sl_batch *in)
{
	const struct sink *o = shared;
	struct worker *w = worker;
	struct send s = {
		.sink = o,
		.pieces = &w->pieces,
		.batch = in,
		.id = sl_batch_identity(in),
		.name = sl_full_name(ctx),
		.is_away = &w->is_away,
	};
	uint64_t rejected;
	int64_t begin;
	int r = pieces_make(ctx, &w->pieces, o, in);

	if (r < 0)
		return r;
	s.refused = calloc(sl_batch_count(in), sizeof(*s.refused));
	if (!s.refused)
		return -ENOMEM;
	begin = sl_now();
	r = send_parts(ctx, &s);
	if (o->body != BODY_RECORD)
		sl_waited(ctx, sl_now() - begin);
	rejected = w->pieces.rejected + reject_refused(ctx, in, &s, r == 0);
	return r < 0 ? r : (int64_t)(sl_batch_count(in) - rejected);
}

static void http_files(struct sl_context *ctx, const void *shared, sl_files_fn *tell, void *user)
{
	const struct sink *o = shared;

	(void)ctx;
	client_tell_files(&o->client, tell, user);
}

static const struct sl_option options[];
static const char *const bodies[] = { "ndjson", "json", "record", "csv", NULL };
static const char *const compressions[] = { "none", "gzip", NULL };
static const char *const refusals[] = { "bisect", "dead-letter", NULL };

const struct sl_stage sl_stage_sink_http = {
	.abi = SL_ABI,
	.name = "http",
	.role = SL_SINK,
	.summary = "sends records to a web server, many in one request: APIs, Elasticsearch, "
		   "ClickHouse, S3",
	.flags = SL_RESUMES | SL_CONFINED | SL_NEEDS_NETWORK | SL_NEEDS_FILES,
	.shared_size = sizeof(struct sink),
	.worker_size = sizeof(struct worker),
	.check = http_check,
	.open = http_open,
	.start = http_start,
	.write = http_write,
	.stop = http_stop,
	.close = http_close,
	.options = options,
	.files = http_files,
};

/* clang-format off */
static const struct sl_option options[] = {
	{ SL_OPTION("url", STRING, struct sink, url), .required = true,
	  .help = "where to; {field} is a field of the record (records that differ in it go apart), {!key} the name of the request",
	  .example = "\"https://shop.example/orders/{day}\"" },
	{ SL_OPTION("method", STRING, struct sink, method), .fallback = "POST",
	  .help = "of the request", .example = "\"PUT\"" },
	{ SL_OPTION("body", CHOICE, struct sink, body), .fallback = "ndjson", .choices = bodies,
	  .help = "ndjson: a line for each record; json: an array of them; csv: a table; record: each has a request of its own, and is its JSON",
	  .example = "\"json\"" },
	{ SL_OPTION("before", STRING, struct sink, before),
	  .help = "ndjson: a line of JSON before each record; {field} is the JSON of a field, {{ a brace",
	  .example = "\"{{\\\"index\\\": {{\\\"_id\\\": {id}}}}}\"" },
	{ SL_OPTION("columns", STRINGS, struct sink, columns),
	  .help = "csv: the names of the columns; default: the fields of the first record of a batch", .example = "[ \"id\", \"name\" ]" },
	{ SL_OPTION("batch_records", INT, struct sink, batch_records), .fallback = "10000", .min = 1, .max = 10000000,
	  .help = "most records of one request", .example = "500" },
	{ SL_OPTION("batch_bytes", SIZE, struct sink, batch_bytes), .fallback = "8MiB", .min = 1, .max = 1 << 30,
	  .help = "most bytes of one request's records, before `compress`; one record may be more", .example = "\"1MiB\"" },
	{ SL_OPTION("requests", INT, struct sink, requests), .fallback = "1", .min = 1, .max = 1000,
	  .help = "how many requests of one batch are under way at once; more than 1: records may arrive in another order", .example = "8" },
	{ SL_OPTION("compress", CHOICE, struct sink, compress), .fallback = "none", .choices = compressions,
	  .help = "gzip: the body is packed, and the header Content-Encoding says so unless `url` ends in .gz", .example = "\"gzip\"" },
	{ SL_OPTION("key_header", STRING, struct sink, key_header), .fallback = "Idempotency-Key",
	  .help = "the header with the name of the request, the same when it is sent again; \"\": none", .example = "\"X-Request-Id\"" },
	{ SL_OPTION("items", STRING, struct sink, items),
	  .help = "JSON pointer to the array, in the answer, that has the `status` of each record", .example = "\"/items\"" },
	{ SL_OPTION("on_refused", CHOICE, struct sink, on_refused), .fallback = "bisect", .choices = refusals,
	  .help = "a request whose body is refused (400, 409, 413, 422): bisect: its halves are sent, down to the record; dead-letter: all its records are given up",
	  .example = "\"dead-letter\"" },
	{ SL_OPTION("retry_wait", DURATION, struct sink, retry_wait), .fallback = "1s", .min = SL_MILLISECOND, .max = 3600 * SL_SECOND,
	  .help = "before a request is tried again; doubles each time", .example = "\"100ms\"" },
	{ SL_OPTION("retry_wait_max", DURATION, struct sink, retry_wait_max), .fallback = "1m", .min = SL_MILLISECOND, .max = 86400 * SL_SECOND,
	  .help = "up to this", .example = "\"10s\"" },
	{ SL_OPTION("give_up", DURATION, struct sink, give_up), .fallback = "0s", .max = INT64_C(31536000) * SL_SECOND,
	  .help = "for how long it is tried; then the records are given up; 0: for ever", .example = "\"1h\"" },
	{ SL_OPTION("sigv4", STRING, struct sink, sigv4),
	  .help = "sign requests for AWS and what is like it (S3), with `username` (access key) and `password` (secret key)",
	  .example = "\"aws:amz:eu-central-1:s3\"" },
	CLIENT_OPTIONS(struct sink),
	{ 0 },
};
/* clang-format on */
