/* SPDX-License-Identifier: MIT */
/*
 * Transform "http": asks a web server about each record, and puts what it answers into the record, or makes it the record. With
 * `coroutines` many requests of one worker are under way at once.
 */
#include <sluice/stage.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "address.h"
#include "client.h"
#include "pointer.h"
#include "target.h"

#define EXCERPT_SIZE 120

enum send { SEND_NONE, SEND_RECORD };
enum merge { MERGE_MERGE, MERGE_REPLACE, MERGE_FIELD, MERGE_NONE };
enum parse { PARSE_JSON, PARSE_TEXT };

static const char *const sends[] = { "none", "record", NULL };
static const char *const merges[] = { "merge", "replace", "field", "none", NULL };
static const char *const parses[] = { "json", "text", NULL };

struct shared {
	const char *url;
	const char *method;
	const char *body;
	const char *body_type;
	const char *query;
	struct sl_strings variables;
	int send;
	int merge;
	const char *into;
	const char *pick;
	int parse;
	struct client_options client;
	/* Compiled by open. */
	struct template url_template;
	struct template body_template;
	struct client http;
	const char *asks; /* the method */
};

/* --- options -------------------------------------------------------------------------------------- */

static bool has_body(const struct shared *o)
{
	return o->body || o->query || o->send == SEND_RECORD;
}

static int check_body(struct sl_context *ctx, const struct shared *o)
{
	if ((o->body != NULL) + (o->query != NULL) + (o->send == SEND_RECORD) > 1)
		return sl_error(ctx, -EINVAL,
			"`%s` and `%s` are two bodies for one request: leave one out",
			o->body ? "body" : "query", o->query && o->body ? "query" : "send");
	if (o->variables.count > 0 && !o->query)
		return sl_error(ctx, -EINVAL, "`variables` belong to a GraphQL `query`: write one");
	if (has_body(o) && o->method && strcmp(o->method, "HEAD") == 0)
		return sl_error(ctx, -EINVAL, "`method`: HEAD has no body: write \"POST\"");
	if (o->query && o->parse != PARSE_JSON)
		return sl_error(ctx, -EINVAL, "`parse`: GraphQL answers in JSON: leave it out");
	return 0;
}

static int check_merge(struct sl_context *ctx, const struct shared *o)
{
	struct reason reason;

	if (o->merge == MERGE_FIELD && !o->into)
		return sl_error(ctx, -EINVAL,
			"`merge` = \"field\" needs the name of the field: write into = "
			"\"answer\";");
	if (o->merge != MERGE_FIELD && o->into)
		return sl_error(ctx, -EINVAL,
			"`into` names the field for merge = \"field\": write that, or leave `into` "
			"out");
	if (o->merge == MERGE_MERGE && o->parse == PARSE_TEXT)
		return sl_error(ctx, -EINVAL,
			"`merge`: a text has no members to merge: write merge = \"field\"; and "
			"into = "
			"\"answer\";");
	if (o->pick && o->parse == PARSE_TEXT)
		return sl_error(ctx, -EINVAL, "`pick` looks into JSON: leave it or `parse` out");
	if (o->pick && pointer_check(o->pick, &reason) < 0)
		return sl_error(ctx, -EINVAL, "`pick`: %s", reason.text);
	return 0;
}

static bool is_json_type(const char *type)
{
	size_t size = strcspn(type, "; ");

	return (size == 16 && strncasecmp(type, "application/json", size) == 0) ||
	       (size > 5 && strncasecmp(type + size - 5, "+json", 5) == 0);
}

static enum template_mode mode_of(const char *type)
{
	if (is_json_type(type))
		return TEMPLATE_JSON;
	return strncasecmp(type, "application/x-www-form-urlencoded", 33) == 0 ? TEMPLATE_URL
									       : TEMPLATE_TEXT;
}

/* Fields in quotes are the usual mistake: a string brings its own. */
static int check_json(struct sl_context *ctx, const struct template *t)
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
			"`body` is no JSON once its fields are filled in (%s): write {field} "
			"without "
			"quotes, {{ and }} for braces, or another `body_type`",
			why);
	sl_writer_fini(&text);
	sl_writer_fini(&value);
	return r;
}

static int compile_body(struct sl_context *ctx, struct shared *o)
{
	struct reason reason;
	int r;

	if (!o->body)
		return 0;
	r = template_compile(&o->body_template, o->body, false, &reason);
	if (r == -EINVAL)
		return sl_error(ctx, r, "`body`: %s", reason.text);
	return r == 0 && is_json_type(o->body_type) ? check_json(ctx, &o->body_template) : r;
}

static void discard(struct shared *o)
{
	template_fini(&o->url_template);
	template_fini(&o->body_template);
	client_fini(&o->http);
}

static int compile(struct sl_context *ctx, struct shared *o)
{
	struct client_setup setup = {
		.has_record = true,
		.accept = o->parse == PARSE_JSON && o->merge != MERGE_NONE ? "application/json"
									   : NULL,
		.content_type = o->body ? o->body_type : "application/json",
	};
	int r = target_check_method(ctx, o->method);

	o->asks = o->method ? o->method : has_body(o) ? "POST" : "GET";
	r = r ? r : target_compile(ctx, o->url, false, &o->url_template);
	r = r ? r : check_body(ctx, o);
	r = r ? r : compile_body(ctx, o);
	r = r ? r : check_merge(ctx, o);
	return r ? r : client_compile(ctx, &o->client, &setup, &o->http);
}

static int http_check(struct sl_context *ctx, const void *shared)
{
	struct shared copy = *(const struct shared *)shared;
	int r = compile(ctx, &copy);

	discard(&copy);
	return r;
}

static int http_open(struct sl_context *ctx, void *shared)
{
	struct shared *o = shared;
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

/* --- asking --------------------------------------------------------------------------------------- */

/* One record's request and answer. */
struct exchange {
	struct sl_writer url;
	struct sl_writer body;
	struct sl_writer value; /* of the answer */
	struct sl_writer made;  /* {"value": record}, or {into: answer} */
	struct client_answer answer;
};

static void exchange_fini(struct exchange *x)
{
	sl_writer_fini(&x->url);
	sl_writer_fini(&x->body);
	sl_writer_fini(&x->value);
	sl_writer_fini(&x->made);
	client_answer_fini(&x->answer);
}

static int print_json(struct sl_writer *w, struct sl_value value, struct reason *reason)
{
	const char *why = "";
	int r = sl_json_print(w, value, &why);

	return r == -EINVAL ? reason_set(reason, r, "no form in JSON: %s", why) : r;
}

/* "id" or "id=customer.id". */
static int put_variable(
	struct sl_writer *w, const char *variable, struct sl_value record, struct reason *reason)
{
	size_t size = strcspn(variable, "=");
	const char *path = variable[size] == '=' ? variable + size + 1 : variable;
	struct sl_value value = field_find(record, path, strlen(path));

	if (!value.data)
		return reason_set(reason, -EINVAL, "the record has no field `%s`", path);
	sl_put_str(w, variable, size);
	sl_put_value(w, value);
	return 0;
}

static int print_query(const struct shared *o, struct sl_value record, struct sl_writer *body,
	struct reason *reason)
{
	struct sl_writer w;
	int r = 0;

	sl_writer_init(&w);
	sl_put_map(&w, 2);
	sl_put_cstr(&w, "query");
	sl_put_cstr(&w, o->query);
	sl_put_cstr(&w, "variables");
	sl_put_map(&w, o->variables.count);
	for (uint32_t i = 0; i < o->variables.count && r == 0; i++)
		r = put_variable(&w, o->variables.items[i], record, reason);
	r = r ? r : w.error;
	if (r == 0)
		r = print_json(body, (struct sl_value){ .data = w.data, .size = w.size }, reason);
	sl_writer_fini(&w);
	return r;
}

static int print_body(
	const struct shared *o, struct sl_value record, struct exchange *x, struct reason *reason)
{
	const struct template_input input = { .record = record };
	int r = 0;

	if (o->query)
		r = print_query(o, record, &x->body, reason);
	else if (o->send == SEND_RECORD)
		r = print_json(&x->body, record, reason);
	else if (o->body)
		r = template_print(
			&o->body_template, mode_of(o->body_type), &input, &x->body, reason);
	if (r < 0)
		return r;
	return text_end(&x->body) ? 0 : -ENOMEM;
}

/* What client_call gives, in the words of the engine. */
static int pass_on(
	struct sl_context *ctx, struct sl_value record, const struct client_answer *answer, int r)
{
	if (r == CLIENT_REFUSED)
		return sl_reject(ctx, NULL, record, "%s", answer->reason.text);
	if (r == CLIENT_LATER)
		return sl_retry(ctx, answer->not_before, "%s", answer->reason.text);
	return r;
}

static int ask(
	struct sl_context *ctx, const struct shared *o, struct sl_value record, struct exchange *x)
{
	const struct template_input input = { .record = record };
	struct client_request request = { .method = o->asks, .input = input };
	struct reason reason;
	int r = target_print(&o->url_template, &input, &x->url, &reason);

	r = r ? r : print_body(o, record, x, &reason);
	if (r == -EINVAL)
		return sl_reject(ctx, NULL, record, "%s", reason.text);
	if (r < 0)
		return r;
	request.url = x->url.data;
	request.body = has_body(o) ? x->body.data : NULL;
	request.body_size = x->body.size;
	return pass_on(ctx, record, &x->answer, client_call(ctx, &o->http, &request, &x->answer));
}

/* --- the answer ----------------------------------------------------------------------------------- */

static int reject_answer(struct sl_context *ctx, const struct shared *o, struct sl_value record,
	struct exchange *x, const char *why)
{
	char place[160], excerpt[EXCERPT_SIZE];

	address_show(x->url.data, place, sizeof(place));
	client_excerpt(&x->answer, &o->http, excerpt, sizeof(excerpt));
	return sl_reject(ctx, NULL, record, "%s %s: %s%s%s", o->asks, place, why,
		*excerpt ? ": " : "", excerpt);
}

static void read_text(const struct sl_http_response *response, struct sl_writer *w)
{
	if (text_is_utf8(response->body, response->body_size))
		sl_put_str(w, response->body, response->body_size);
	else
		sl_put_bin(w, response->body, response->body_size);
}

/* The answer as a value; an empty one ("204 No Content") is null. */
static int read_answer(struct sl_context *ctx, const struct shared *o, struct sl_value record,
	struct exchange *x, struct sl_value *ret_value)
{
	const char *why = "";
	char text[160];
	int r = 0;

	if (o->parse == PARSE_TEXT)
		read_text(&x->answer.response, &x->value);
	else
		r = client_value(&x->answer, &x->value, &why);
	if (r == -EINVAL) {
		(void)snprintf(text, sizeof(text), "the answer is no JSON (%s)", why);
		return reject_answer(ctx, o, record, x, text);
	}
	*ret_value = (struct sl_value){ .data = x->value.data, .size = x->value.size };
	return r < 0 ? r : x->value.error;
}

/* GraphQL says its errors in an answer whose status is 200. */
static int check_errors(struct sl_context *ctx, const struct shared *o, struct sl_value record,
	struct exchange *x, struct sl_value answer)
{
	struct sl_value errors = pointer_find(answer, "/errors");
	struct sl_value message = pointer_find(answer, "/errors/0/message");
	char place[160];
	const char *said = "errors without a message";
	size_t size = strlen(said);

	if (!o->query || !errors.data || sl_kind(errors) != SL_ARRAY || sl_count(errors) == 0)
		return 0;
	/* What it says lies in x->value. */
	if (sl_get_str(message, &said, &size))
		client_hide(&x->answer, &o->http, (char *)said, size);
	address_show(x->url.data, place, sizeof(place));
	return sl_reject(
		ctx, NULL, record, "%s: GraphQL: %.*s", place, size < 200 ? (int)size : 200, said);
}

static const char *pointer_of(const struct shared *o)
{
	if (o->pick)
		return o->pick;
	return o->query ? "/data" : "";
}

/* --- into the record ------------------------------------------------------------------------------ */

static bool is_among(struct sl_value key, struct sl_value map)
{
	const char *name;
	size_t size;

	return sl_get_str(key, &name, &size) && sl_find(map, name, size).data;
}

/* The members of `record` that `more` has not: how many; and put, unless `w` is NULL. */
static uint32_t put_rest(struct sl_writer *w, struct sl_value record, struct sl_value more)
{
	struct sl_cursor c = sl_walk(record);
	struct sl_value key, value;
	uint32_t count = 0;

	while (sl_next(&c, &key, &value)) {
		if (is_among(key, more))
			continue;
		count++;
		if (w) {
			sl_put_value(w, key);
			sl_put_value(w, value);
		}
	}
	return count;
}

static void put_merged(struct sl_writer *w, struct sl_value record, struct sl_value more)
{
	struct sl_cursor c = sl_walk(more);
	struct sl_value key, value;

	sl_put_map(w, put_rest(NULL, record, more) + sl_count(more));
	(void)put_rest(w, record, more);
	while (sl_next(&c, &key, &value)) {
		sl_put_value(w, key);
		sl_put_value(w, value);
	}
}

/* {name: value}, in x->made behind what is there; absent: no memory. Good until the next one. */
static struct sl_value make_map(struct exchange *x, const char *name, struct sl_value value)
{
	size_t start = x->made.size;

	sl_put_map(&x->made, 1);
	sl_put_cstr(&x->made, name);
	sl_put_value(&x->made, value);
	if (x->made.error)
		return (struct sl_value){ 0 };
	return (struct sl_value){ .data = x->made.data + start, .size = x->made.size - start };
}

/* A record that is no map counts as {"value": record}, as for sql. */
static int put_into_record(struct exchange *x, const char *into, struct sl_value record,
	struct sl_value found, struct sl_writer *out)
{
	struct sl_value more = found;
	size_t more_size = 0;

	if (into) {
		more = make_map(x, into, found);
		more_size = more.size;
	}
	if (more.data && sl_kind(record) != SL_MAP)
		record = make_map(x, "value", record);
	if (!more.data || !record.data)
		return -ENOMEM;
	/* The second may have moved the first. */
	if (into)
		more = (struct sl_value){ .data = x->made.data, .size = more_size };
	put_merged(out, record, more);
	return sl_record_done(out);
}

static int put_value(struct sl_value value, struct sl_writer *out)
{
	sl_put_value(out, value);
	return sl_record_done(out);
}

static int put_answer(struct sl_context *ctx, const struct shared *o, struct sl_value record,
	struct exchange *x, struct sl_value found, struct sl_writer *out)
{
	char why[160];

	if (o->merge == MERGE_REPLACE)
		return put_value(found, out);
	if (o->merge == MERGE_FIELD)
		return put_into_record(x, o->into, record, found, out);
	if (sl_kind(found) == SL_NIL)
		return put_value(record, out);
	if (sl_kind(found) == SL_MAP)
		return put_into_record(x, NULL, record, found, out);
	(void)snprintf(why, sizeof(why),
		"only a map can be merged, not this (%s): set `pick`, or merge = \"field\"",
		sl_kind_name(sl_kind(found)));
	return reject_answer(ctx, o, record, x, why);
}

static int take_answer(struct sl_context *ctx, const struct shared *o, struct sl_value record,
	struct exchange *x, struct sl_writer *out)
{
	struct sl_value answer, found;
	char why[160];
	int r;

	if (o->merge == MERGE_NONE && !o->query)
		return put_value(record, out);
	r = read_answer(ctx, o, record, x, &answer);
	r = r ? r : check_errors(ctx, o, record, x, answer);
	if (r != 0)
		return r;
	if (o->merge == MERGE_NONE)
		return put_value(record, out);
	/* Where there is no answer there is nothing to pick from. */
	found = sl_kind(answer) == SL_NIL ? answer : pointer_find(answer, pointer_of(o));
	if (found.data)
		return put_answer(ctx, o, record, x, found, out);
	(void)snprintf(why, sizeof(why), "the answer has nothing at %.80s", pointer_of(o));
	return reject_answer(ctx, o, record, x, why);
}

static int http_transform(struct sl_context *ctx, void *shared, void *worker,
	struct sl_value record, struct sl_writer *const *out)
{
	const struct shared *o = shared;
	struct exchange x = { 0 };
	int r;

	(void)worker;
	r = ask(ctx, o, record, &x);
	if (r == 0)
		r = take_answer(ctx, o, record, &x, out[0]);
	exchange_fini(&x);
	return r;
}

static void http_files(struct sl_context *ctx, const void *shared, sl_files_fn *tell, void *user)
{
	const struct shared *o = shared;

	(void)ctx;
	client_tell_files(&o->client, tell, user);
}

static const struct sl_option options[];

const struct sl_stage sl_stage_transform_http = {
	.abi = SL_ABI,
	.name = "http",
	.role = SL_TRANSFORM,
	.summary = "asks a web server about each record: REST, GraphQL",
	.flags = SL_RESUMES | SL_TASKS | SL_CONFINED | SL_NEEDS_NETWORK | SL_NEEDS_FILES,
	.shared_size = sizeof(struct shared),
	.check = http_check,
	.open = http_open,
	.transform = http_transform,
	.close = http_close,
	.options = options,
	.files = http_files,
};

/* clang-format off */
static const struct sl_option options[] = {
	{ SL_OPTION("url", STRING, struct shared, url), .required = true,
	  .help = "what is asked; {field} is a field of the record, percent-encoded, {+field} a piece of an address as it is",
	  .example = "\"https://shop.example/customers/{customer.id}\"" },
	{ SL_OPTION("method", STRING, struct shared, method),
	  .help = "default: GET, with a body POST", .example = "\"PUT\"" },
	{ SL_OPTION("body", STRING, struct shared, body),
	  .help = "text of the body; {field} is the JSON of a field, {{ a brace", .example = "\"{{\\\"id\\\": {id}}}\"" },
	{ SL_OPTION("body_type", STRING, struct shared, body_type), .fallback = "application/json",
	  .help = "media type of `body`; a field is inserted as JSON, in a form percent-encoded, else as it is", .example = "\"text/plain\"" },
	{ SL_OPTION("send", CHOICE, struct shared, send), .fallback = "none", .choices = sends,
	  .help = "record: the whole record is the body, as JSON", .example = "\"record\"" },
	{ SL_OPTION("query", STRING, struct shared, query),
	  .help = "GraphQL, sent with `variables`", .example = "\"query ($id: ID!) { customer(id: $id) { name } }\"" },
	{ SL_OPTION("variables", STRINGS, struct shared, variables),
	  .help = "fields of the record that are variables of `query`; variable=field when they differ",
	  .example = "[ \"id=customer.id\" ]" },
	{ SL_OPTION("parse", CHOICE, struct shared, parse), .fallback = "json", .choices = parses,
	  .help = "what the answer is", .example = "\"text\"" },
	{ SL_OPTION("pick", STRING, struct shared, pick),
	  .help = "JSON pointer to what counts in the answer; default: all of it, with `query` /data",
	  .example = "\"/data/customer\"" },
	{ SL_OPTION("merge", CHOICE, struct shared, merge), .fallback = "merge", .choices = merges,
	  .help = "merge: its members become fields; replace: it is the record; field: it is the field `into`; none: it is dropped",
	  .example = "\"field\"" },
	{ SL_OPTION("into", STRING, struct shared, into),
	  .help = "the field, with merge = \"field\"", .example = "\"customer\"" },
	CLIENT_OPTIONS(struct shared),
	{ 0 },
};
/* clang-format on */
