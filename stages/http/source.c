/* SPDX-License-Identifier: MIT */
/*
 * Source "http": asks a web server for a list, page by page, once or every `interval`. What does not work now is tried again
 * until it does. A position is the ordinal of a record since the start: a server need not say the same twice.
 */
#include <sluice/stage.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "address.h"
#include "client.h"
#include "pointer.h"

#define BACKOFF_MIN SL_SECOND
#define BACKOFF_MAX (60 * SL_SECOND)
#define EXCERPT_SIZE 120

enum next { NEXT_NONE, NEXT_LINK, NEXT_CURSOR, NEXT_PAGE };

static const char *const nexts[] = { "none", "link", "cursor", "page", NULL };

struct shared {
	const char *url;
	int64_t interval; /* 0: once */
	const char *records;
	int next;
	const char *cursor;
	const char *cursor_param;
	const char *page_param;
	int64_t page_first;
	int64_t pages_max; /* 0: no limit */
	struct client_options client;
	struct client http; /* compiled by open */
};

struct worker {
	uint64_t origin;
	uint64_t position;
	/* The page that is being given out. */
	struct sl_writer page;
	struct sl_cursor members;
	/* The poll: `url` is its next page; NULL: it is over, or none has begun. */
	char *url;
	int64_t page_number;
	int64_t pages;
	int64_t polls;
	int64_t poll_at;
	/* 0: the server answers. */
	int64_t backoff;
};

/* --- options -------------------------------------------------------------------------------------- */

static int check_pointer(struct sl_context *ctx, const char *option, const char *pointer)
{
	struct reason reason;

	if (pointer && pointer_check(pointer, &reason) < 0)
		return sl_error(ctx, -EINVAL, "`%s`: %s", option, reason.text);
	return 0;
}

static int check_param(struct sl_context *ctx, const char *option, const char *name)
{
	if (name && (!*name || strpbrk(name, "=&#?% ")))
		return sl_error(ctx, -EINVAL,
			"`%s`: \"%.40s\" is no name of a parameter: write only the name, as in "
			"\"page\"",
			option, name);
	return 0;
}

static int check_next(struct sl_context *ctx, const struct shared *o)
{
	int r = check_pointer(ctx, "records", o->records);

	r = r ? r : check_pointer(ctx, "cursor", o->cursor);
	r = r ? r : check_param(ctx, "cursor_param", o->cursor_param);
	r = r ? r : check_param(ctx, "page_param", o->page_param);
	if (r < 0)
		return r;
	if (o->next == NEXT_CURSOR && !o->cursor)
		return sl_error(ctx, -EINVAL,
			"`next` = \"cursor\" needs to know where the answer says it: write cursor "
			"= "
			"\"/next_cursor\";");
	if (o->next != NEXT_CURSOR && (o->cursor || o->cursor_param))
		return sl_error(ctx, -EINVAL,
			"`%s` says nothing without next = \"cursor\": write that",
			o->cursor ? "cursor" : "cursor_param");
	return 0;
}

static int compile(struct sl_context *ctx, struct shared *o)
{
	static const struct client_setup setup = { .accept = "application/json" };
	struct reason reason;
	int r = address_check(o->url, &reason);

	if (r == -EINVAL)
		return sl_error(ctx, r, "`url` %s", reason.text);
	if (r == 0 && strpbrk(o->url, "{}"))
		return sl_error(ctx, -EINVAL,
			"`url`: a source has no record yet whose field could stand in braces: "
			"write "
			"%%7B and %%7D for braces themselves");
	r = r ? r : check_next(ctx, o);
	return r ? r : client_compile(ctx, &o->client, &setup, &o->http);
}

static int http_check(struct sl_context *ctx, const void *shared)
{
	struct shared copy = *(const struct shared *)shared;
	int r = compile(ctx, &copy);

	client_fini(&copy.http);
	return r;
}

static int http_open(struct sl_context *ctx, void *shared)
{
	struct shared *o = shared;
	int r = compile(ctx, o);

	if (r == 0)
		r = client_check_files(ctx, &o->client);
	if (r < 0)
		client_fini(&o->http);
	return r;
}

static void http_close(struct sl_context *ctx, void *shared)
{
	struct shared *o = shared;

	(void)ctx;
	client_fini(&o->http);
}

static int http_start(struct sl_context *ctx, void *shared, void *worker)
{
	struct worker *w = worker;

	(void)shared;
	sl_writer_init(&w->page);
	w->origin = XXH3_64bits_withSeed(sl_stage_name(ctx), strlen(sl_stage_name(ctx)), 5);
	return 0;
}

static void http_stop(struct sl_context *ctx, void *shared, void *worker)
{
	struct worker *w = worker;

	(void)ctx;
	(void)shared;
	sl_writer_fini(&w->page);
	free(w->url);
}

/* --- one page ------------------------------------------------------------------------------------- */

static int fail(struct sl_context *ctx, const struct worker *w, int error, const char *why)
{
	char place[160];

	address_show(w->url, place, sizeof(place));
	return sl_error(ctx, error, "%s: %s", place, why);
}

/* Waits after an attempt that did not work. An outage is said once, however long it is. */
static int wait_again(struct sl_context *ctx, struct worker *w, const struct client_answer *answer)
{
	int64_t at;

	if (w->backoff == 0)
		sl_log(ctx, SL_LOG_WARNING, "%s: trying until it works", answer->reason.text);
	w->backoff = w->backoff == 0 ? BACKOFF_MIN : 2 * w->backoff;
	w->backoff = w->backoff < BACKOFF_MAX ? w->backoff : BACKOFF_MAX;
	at = sl_now() + w->backoff;
	return sl_sleep_until(ctx, at > answer->not_before ? at : answer->not_before);
}

static void note_recovery(struct sl_context *ctx, struct worker *w)
{
	char place[160];

	if (w->backoff == 0)
		return;
	w->backoff = 0;
	address_show(w->url, place, sizeof(place));
	sl_log(ctx, SL_LOG_INFO, "%s: works again", place);
}

/* Asks for w->url until there is an answer that will not change. 0; negative: after sl_error, or -ECANCELED. */
static int fetch(struct sl_context *ctx, const struct shared *o, struct worker *w,
	struct client_answer *answer)
{
	struct client_request request = { .method = "GET", .url = w->url };

	for (;;) {
		int r = client_call(ctx, &o->http, &request, answer);

		if (r == CLIENT_REFUSED)
			return sl_error(ctx, -EIO, "%s", answer->reason.text);
		if (r == CLIENT_LATER)
			r = wait_again(ctx, w, answer);
		else if (r == 0)
			note_recovery(ctx, w);
		if (r < 0 || w->backoff == 0)
			return r;
		client_answer_fini(answer);
	}
}

/* Leaves the answer as a value in `doc`; an empty one is null. */
static int read_document(struct sl_context *ctx, const struct shared *o, struct worker *w,
	struct client_answer *answer, struct sl_writer *doc)
{
	char excerpt[EXCERPT_SIZE], text[300];
	const char *why = "";
	int r = client_value(answer, doc, &why);

	if (r != -EINVAL)
		return r;
	client_excerpt(answer, &o->http, excerpt, sizeof(excerpt));
	(void)snprintf(text, sizeof(text), "the answer is no JSON (%s): %s", why, excerpt);
	return fail(ctx, w, -EINVAL, text);
}

/* A document that is no array is one record. */
static void put_single(struct sl_writer *page, struct sl_value value)
{
	if (sl_kind(value) == SL_NIL) {
		sl_put_array(page, 0);
		return;
	}
	if (sl_kind(value) != SL_ARRAY)
		sl_put_array(page, 1);
	sl_put_value(page, value);
}

static int take_records(
	struct sl_context *ctx, const struct shared *o, struct worker *w, struct sl_value doc)
{
	struct sl_value found =
		sl_kind(doc) == SL_NIL || !o->records ? doc : pointer_find(doc, o->records);
	char text[200];

	if (!found.data) {
		(void)snprintf(text, sizeof(text), "the answer has nothing at `records` %.100s",
			o->records);
		return fail(ctx, w, -EINVAL, text);
	}
	if (sl_kind(found) != SL_ARRAY && sl_kind(found) != SL_NIL &&
		(o->records || o->next == NEXT_PAGE)) {
		(void)snprintf(text, sizeof(text),
			"`records` leads to something else than an array (%s)",
			sl_kind_name(sl_kind(found)));
		return fail(ctx, w, -EINVAL, text);
	}
	sl_writer_reset(&w->page);
	put_single(&w->page, found);
	if (w->page.error)
		return w->page.error;
	w->members = sl_walk((struct sl_value){ .data = w->page.data, .size = w->page.size });
	return 0;
}

/* --- the next page -------------------------------------------------------------------------------- */

static bool has_credentials(const struct client_options *o)
{
	return o->username || o->bearer || o->headers.count > 0 || o->cert_file;
}

/* `relative` seen from where the answer came from. Whom the server names is not told what only the server may know. */
static char *follow(struct sl_context *ctx, const struct shared *o, struct worker *w,
	const struct sl_http_response *response, const char *relative, int *ret_error)
{
	char *url = address_join(
		response->url && *response->url ? response->url : w->url, relative, ret_error);
	struct reason reason;
	char place[160];

	if (url)
		*ret_error = address_check(url, &reason);
	if (*ret_error == -EINVAL)
		(void)fail(ctx, w, -EINVAL, "what it names as the next page is no address");
	if (url && *ret_error == 0 && has_credentials(&o->client) &&
		!address_same_server(url, o->url)) {
		address_show(url, place, sizeof(place));
		*ret_error = sl_error(ctx, -EPERM,
			"the next page is at another server, %s, and what `headers` and "
			"credentials "
			"say is for that of `url` only",
			place);
	}
	if (*ret_error == 0)
		return url;
	free(url);
	return NULL;
}

static char *next_by_link(struct sl_context *ctx, const struct shared *o, struct worker *w,
	const struct sl_http_response *response, int *ret_error)
{
	char *relative = address_next(response->headers);
	char *url = relative ? follow(ctx, o, w, response, relative, ret_error) : NULL;

	free(relative);
	return url;
}

/* The text of a cursor: a string or a number; NULL: there is none, or no memory. */
static char *cursor_text(struct sl_value value, int *ret_error)
{
	char number[64];
	const char *text = number;
	size_t size;
	char *copy;

	if (!value.data || (sl_kind(value) != SL_STR && sl_kind(value) != SL_INT))
		return NULL;
	if (!sl_get_str(value, &text, &size)) {
		sl_print(value, number, sizeof(number));
		size = strlen(number);
	}
	if (size == 0)
		return NULL;
	copy = strndup(text, size);
	if (!copy)
		*ret_error = -ENOMEM;
	return copy;
}

static char *next_by_cursor(struct sl_context *ctx, const struct shared *o, struct worker *w,
	const struct sl_http_response *response, struct sl_value doc, int *ret_error)
{
	char *text = cursor_text(pointer_find(doc, o->cursor), ret_error);
	char *url = NULL;

	if (text && o->cursor_param)
		url = address_with(o->url, o->cursor_param, text, ret_error);
	else if (text)
		url = follow(ctx, o, w, response, text, ret_error);
	free(text);
	return url;
}

static char *numbered(const struct shared *o, int64_t number, int *ret_error)
{
	char text[24];

	(void)snprintf(text, sizeof(text), "%lld", (long long)number);
	return address_with(o->url, o->page_param, text, ret_error);
}

static char *find_next(struct sl_context *ctx, const struct shared *o, struct worker *w,
	const struct sl_http_response *response, struct sl_value doc, int *ret_error)
{
	switch (o->next) {
	case NEXT_LINK:
		return next_by_link(ctx, o, w, response, ret_error);
	case NEXT_CURSOR:
		return next_by_cursor(ctx, o, w, response, doc, ret_error);
	case NEXT_PAGE:
		return w->members.left > 0 ? numbered(o, ++w->page_number, ret_error) : NULL;
	default:
		return NULL;
	}
}

static bool is_enough(struct sl_context *ctx, const struct shared *o, const struct worker *w)
{
	if (o->pages_max == 0 || w->pages < o->pages_max)
		return false;
	if (w->polls == 1)
		sl_log(ctx, SL_LOG_WARNING,
			"there are more pages than `pages_max` = %lld: they are left out",
			(long long)o->pages_max);
	return true;
}

static int set_next(struct sl_context *ctx, const struct shared *o, struct worker *w,
	const struct sl_http_response *response, struct sl_value doc)
{
	int r = 0;
	char *url = find_next(ctx, o, w, response, doc, &r);

	if (r < 0)
		return r;
	w->pages++;
	if (url && strcmp(url, w->url) == 0) {
		free(url);
		return fail(ctx, w, -ELOOP, "it names itself as the next page");
	}
	if (url && is_enough(ctx, o, w)) {
		free(url);
		url = NULL;
	}
	free(w->url);
	w->url = url;
	return 0;
}

static int get_page(struct sl_context *ctx, const struct shared *o, struct worker *w)
{
	struct client_answer answer = { 0 };
	struct sl_writer doc;
	struct sl_value value;
	int r;

	sl_writer_init(&doc);
	r = fetch(ctx, o, w, &answer);
	if (r == 0)
		r = read_document(ctx, o, w, &answer, &doc);
	value = (struct sl_value){ .data = doc.data, .size = doc.size };
	if (r == 0)
		r = take_records(ctx, o, w, value);
	if (r == 0)
		r = set_next(ctx, o, w, &answer.response, value);
	sl_writer_fini(&doc);
	client_answer_fini(&answer);
	return r;
}

/* --- polls ---------------------------------------------------------------------------------------- */

static bool is_over(const struct shared *o, const struct worker *w)
{
	return w->polls > 0 && !w->url && o->interval == 0;
}

/* One every `interval`, from begin to begin; one that takes longer is followed by the next at once. */
static int begin_poll(struct sl_context *ctx, const struct shared *o, struct worker *w)
{
	int64_t now;
	int r = w->polls > 0 ? sl_sleep_until(ctx, w->poll_at) : 0;

	if (r < 0)
		return r;
	now = sl_now();
	w->polls++;
	w->poll_at = now + o->interval;
	w->pages = 0;
	w->page_number = o->page_first;
	w->url = o->next == NEXT_PAGE ? numbered(o, o->page_first, &r) : strdup(o->url);
	return w->url ? 0 : -ENOMEM;
}

/* 0: w->members has some; SL_END: there are no more; or a negative errno. */
static int find_records(struct sl_context *ctx, const struct shared *o, struct worker *w)
{
	while (w->members.left == 0) {
		int r = 0;

		if (is_over(o, w))
			return SL_END;
		if (!w->url)
			r = begin_poll(ctx, o, w);
		if (r == 0)
			r = get_page(ctx, o, w);
		if (r < 0)
			return r;
	}
	return 0;
}

static int put_records(struct worker *w, struct sl_cut *cut)
{
	struct sl_value key, record;

	for (uint32_t i = 0; i < cut->want && cut->out->size < cut->size_max &&
			     sl_next(&w->members, &key, &record);
		i++) {
		int r;

		sl_put_value(cut->out, record);
		r = sl_record_done(cut->out);
		if (r < 0)
			return r;
		w->position++;
	}
	return 0;
}

static int http_produce(struct sl_context *ctx, void *shared, void *worker, struct sl_cut *cut)
{
	const struct shared *o = shared;
	struct worker *w = worker;
	int r;

	cut->origin = w->origin;
	cut->start = w->position;
	r = find_records(ctx, o, w);
	if (r == 0)
		r = put_records(w, cut);
	if (r < 0)
		return r;
	cut->end = w->position;
	cut->origin_done = w->members.left == 0 && is_over(o, w);
	sl_progress(ctx, w->position, 0, "records");
	return cut->origin_done ? SL_END : SL_MORE;
}

static void http_files(struct sl_context *ctx, const void *shared, sl_files_fn *tell, void *user)
{
	const struct shared *o = shared;

	(void)ctx;
	client_tell_files(&o->client, tell, user);
}

static const struct sl_option options[];

const struct sl_stage sl_stage_source_http = {
	.abi = SL_ABI,
	.name = "http",
	.role = SL_SOURCE,
	.summary = "polls a web server for JSON, page by page",
	.flags = SL_ONE_PROCESS | SL_ONE_THREAD | SL_WAITS | SL_CONFINED | SL_NEEDS_NETWORK |
		 SL_NEEDS_FILES,
	.shared_size = sizeof(struct shared),
	.worker_size = sizeof(struct worker),
	.check = http_check,
	.open = http_open,
	.start = http_start,
	.produce = http_produce,
	.stop = http_stop,
	.close = http_close,
	.options = options,
	.files = http_files,
};

/* clang-format off */
static const struct sl_option options[] = {
	{ SL_OPTION("url", STRING, struct shared, url), .required = true,
	  .help = "what is asked", .example = "\"https://shop.example/orders\"" },
	{ SL_OPTION("interval", DURATION, struct shared, interval), .min = SL_MILLISECOND, .max = 366 * 86400 * SL_SECOND,
	  .help = "ask again so long after the last time; absent: once, and then it ends", .example = "\"1m\"" },
	{ SL_OPTION("records", STRING, struct shared, records),
	  .help = "JSON pointer to the array of records; absent: the whole answer, which may be one record", .example = "\"/items\"" },
	{ SL_OPTION("next", CHOICE, struct shared, next), .fallback = "none", .choices = nexts,
	  .help = "how there are more pages: the header Link says it, or `cursor`, or they have numbers", .example = "\"link\"" },
	{ SL_OPTION("cursor", STRING, struct shared, cursor),
	  .help = "JSON pointer to what the answer says of the next page; null, false, \"\" or nothing there: it is the last",
	  .example = "\"/meta/next_cursor\"" },
	{ SL_OPTION("cursor_param", STRING, struct shared, cursor_param),
	  .help = "parameter of `url` that it is sent as; absent: it is the next page's address", .example = "\"cursor\"" },
	{ SL_OPTION("page_param", STRING, struct shared, page_param), .fallback = "page",
	  .help = "parameter of `url` that takes the page's number", .example = "\"p\"" },
	{ SL_OPTION("page_first", INT, struct shared, page_first), .fallback = "1", .min = 0, .max = INT64_C(1) << 40,
	  .help = "number of the first page; the first empty one is the last", .example = "0" },
	{ SL_OPTION("pages_max", INT, struct shared, pages_max), .fallback = "0", .min = 0, .max = INT64_C(1) << 40,
	  .help = "most pages that one poll asks for; 0: no limit", .example = "100" },
	CLIENT_OPTIONS(struct shared),
	{ 0 },
};
/* clang-format on */
