/* SPDX-License-Identifier: MIT */
/* See client.h. */
#include "client.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "address.h"

#define EXCERPT_SIZE 120
/* What is shorter is no secret, and would make holes into any text. */
#define SECRET_MIN 4

static const char *const again_default[] = { "408", "425", "429", "500", "502", "503", "504",
	NULL };

/* --- the options ---------------------------------------------------------------------------------- */

static bool is_token_char(char c)
{
	return isalnum((unsigned char)c) || (c && strchr("!#$%&'*+-.^_`|~", c));
}

/* The length of the name in "Name: value"; 0: it is no such line. */
static size_t name_size(const char *line)
{
	size_t size = 0;

	while (is_token_char(line[size]))
		size++;
	return line[size] == ':' ? size : 0;
}

static bool is_header(const char *line, const char *name)
{
	size_t size = name_size(line);

	return size == strlen(name) && strncasecmp(line, name, size) == 0;
}

static bool has_header(const struct client_options *o, const char *name)
{
	for (uint32_t i = 0; i < o->headers.count; i++)
		if (is_header(o->headers.items[i], name))
			return true;
	return false;
}

static bool is_set_by_us(const char *line)
{
	return is_header(line, "Content-Length") || is_header(line, "Transfer-Encoding") ||
	       is_header(line, "Connection");
}

/* What is wrong with a line is said without its value: that may be a secret. */
static int check_line(struct sl_context *ctx, const char *line, uint32_t index)
{
	size_t size = name_size(line);

	if (size == 0)
		return sl_error(ctx, -EINVAL,
			"`headers`: number %u is no header: write \"Name: value\"", index + 1);
	if (text_has_control(line, strlen(line)))
		return sl_error(ctx, -EINVAL,
			"`headers`: %.*s holds a line break or another control character: write "
			"one "
			"line for each header",
			(int)size, line);
	if (is_set_by_us(line))
		return sl_error(ctx, -EINVAL,
			"`headers`: %.*s is set for every request: leave it out", (int)size, line);
	return 0;
}

static int compile_line(struct sl_context *ctx, const char *line, const struct client_setup *setup,
	struct template *t)
{
	struct reason reason;
	int size = (int)name_size(line);
	int r = template_compile(t, line, setup->has_key, &reason);

	if (r == -EINVAL)
		return sl_error(ctx, r, "`headers`: %.*s: %s", size, line, reason.text);
	if (r == 0 && !setup->has_record && template_has_fields(t))
		return sl_error(ctx, -EINVAL,
			"`headers`: %.*s: a source has no record yet whose field could stand "
			"there: "
			"write {{ and }} for braces",
			size, line);
	return r;
}

static int compile_headers(
	struct sl_context *ctx, const struct client_setup *setup, struct client *client)
{
	const struct sl_strings *lines = &client->options->headers;
	int r = 0;

	client->headers = calloc(lines->count + 1, sizeof(*client->headers));
	if (!client->headers)
		return -ENOMEM;
	for (uint32_t i = 0; i < lines->count && r == 0; i++) {
		r = check_line(ctx, lines->items[i], i);
		if (r == 0)
			r = compile_line(ctx, lines->items[i], setup, &client->headers[i]);
	}
	return r;
}

static int check_credential(struct sl_context *ctx, const char *name, const char *value)
{
	if (value && text_has_control(value, strlen(value)))
		return sl_error(
			ctx, -EINVAL, "`%s` holds a line break or another control character", name);
	return 0;
}

static int check_credentials(struct sl_context *ctx, const struct client_options *o)
{
	int r = check_credential(ctx, "username", o->username);

	r = r ? r : check_credential(ctx, "password", o->password);
	r = r ? r : check_credential(ctx, "bearer", o->bearer);
	if (r < 0)
		return r;
	if (o->password && !o->username)
		return sl_error(ctx, -EINVAL, "`password` needs `username` beside it");
	if (o->username && strchr(o->username, ':'))
		return sl_error(ctx, -EINVAL,
			"`username` holds a colon, and basic authentication cannot say that");
	if (o->username && o->bearer)
		return sl_error(ctx, -EINVAL,
			"`bearer` and `username` are two ways to say who we are: leave one out");
	if ((o->username || o->bearer) && has_header(o, "Authorization"))
		return sl_error(ctx, -EINVAL,
			"`headers` sets Authorization, and so does `%s`: leave one out",
			o->bearer ? "bearer" : "username");
	return 0;
}

static int check_tls(struct sl_context *ctx, const struct client_options *o)
{
	if (o->key_file && !o->cert_file)
		return sl_error(
			ctx, -EINVAL, "`key_file` needs the certificate: write `cert_file`");
	if (o->insecure && o->ca_file)
		return sl_error(ctx, -EINVAL,
			"`insecure` takes any certificate, so `ca_file` says nothing: leave one "
			"out");
	return 0;
}

static int add_status(
	struct sl_context *ctx, const char *option, const char *text, struct status_set *set)
{
	if (status_add(set, text) < 0)
		return sl_error(ctx, -EINVAL,
			"`%s`: \"%.20s\" is no status: write \"404\", or \"4xx\" for all of them",
			option, text);
	return 0;
}

static int compile_statuses(
	struct sl_context *ctx, const struct client_setup *setup, struct client *client)
{
	const struct client_options *o = client->options;
	const char *const *again = setup->again ? setup->again : again_default;
	int r = 0;

	for (uint32_t i = 0; i < o->ok_status.count && r == 0; i++)
		r = add_status(ctx, "ok_status", o->ok_status.items[i], &client->ok);
	for (uint32_t i = 0; i < o->retry_status.count && r == 0; i++)
		r = add_status(ctx, "retry_status", o->retry_status.items[i], &client->again);
	for (; o->retry_status.count == 0 && *again; again++)
		(void)status_add(&client->again, *again);
	return r;
}

/* --- the lines that the options make -------------------------------------------------------------- */

static void put_base64(struct sl_writer *w, const char *text, size_t size)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (size_t i = 0; i < size; i += 3) {
		uint32_t bits = 0;
		char code[4];

		for (size_t k = 0; k < 3; k++)
			bits = bits << 8 | (i + k < size ? (unsigned char)text[i + k] : 0);
		for (size_t k = 0; k < 4; k++)
			code[k] = i + k > size ? '=' : digits[bits >> (18 - 6 * k) & 63];
		text_put(w, code, 4);
	}
}

/* Takes the text out of the writer; NULL: no memory. */
static char *take_text(struct sl_writer *w)
{
	const char *text = text_end(w);
	char *copy = text ? strdup(text) : NULL;

	sl_writer_fini(w);
	return copy;
}

static char *make_basic(const struct client_options *o)
{
	struct sl_writer pair, line;

	sl_writer_init(&pair);
	sl_writer_init(&line);
	text_put_cstr(&pair, o->username);
	text_put_cstr(&pair, ":");
	text_put_cstr(&pair, o->password ? o->password : "");
	text_put_cstr(&line, "Authorization: Basic ");
	if (text_end(&pair))
		put_base64(&line, pair.data, pair.size);
	else
		line.error = -ENOMEM;
	sl_writer_fini(&pair);
	return take_text(&line);
}

static char *make_line(const char *name, const char *value)
{
	struct sl_writer line;

	sl_writer_init(&line);
	text_put_cstr(&line, name);
	text_put_cstr(&line, value);
	return take_text(&line);
}

static int make_lines(const struct client_setup *setup, struct client *client)
{
	const struct client_options *o = client->options;
	bool needs_line = o->username || o->bearer;

	if (setup->sigv4)
		needs_line = false;
	else if (o->username)
		client->authorization = make_basic(o);
	else if (o->bearer)
		client->authorization = make_line("Authorization: Bearer ", o->bearer);
	if (setup->content_type && !has_header(o, "Content-Type"))
		client->content_type = make_line("Content-Type: ", setup->content_type);
	if (setup->accept && !has_header(o, "Accept"))
		client->accept = make_line("Accept: ", setup->accept);
	if ((needs_line && !client->authorization) ||
		(setup->content_type && !has_header(o, "Content-Type") && !client->content_type) ||
		(setup->accept && !has_header(o, "Accept") && !client->accept))
		return -ENOMEM;
	return 0;
}

int client_compile(struct sl_context *ctx, const struct client_options *options,
	const struct client_setup *setup, struct client *ret_client)
{
	int r;

	*ret_client = (struct client){ .options = options, .sigv4 = setup->sigv4 };
	r = compile_headers(ctx, setup, ret_client);
	r = r ? r : check_credentials(ctx, options);
	r = r ? r : check_tls(ctx, options);
	r = r ? r : compile_statuses(ctx, setup, ret_client);
	return r ? r : make_lines(setup, ret_client);
}

static int check_file(struct sl_context *ctx, const char *option, const char *path)
{
	if (path && access(path, R_OK) < 0)
		return sl_error(ctx, -errno, "`%s`: %s: %s", option, path, strerrordesc_np(errno));
	return 0;
}

int client_check_files(struct sl_context *ctx, const struct client_options *options)
{
	int r = check_file(ctx, "ca_file", options->ca_file);

	r = r ? r : check_file(ctx, "cert_file", options->cert_file);
	return r ? r : check_file(ctx, "key_file", options->key_file);
}

void client_tell_files(const struct client_options *options, sl_files_fn *tell, void *user)
{
	const char *const files[] = { options->ca_file, options->cert_file, options->key_file };

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		if (files[i])
			tell(user, files[i], SL_FILES_READ);
}

void client_fini(struct client *client)
{
	for (uint32_t i = 0; client->headers && i < client->options->headers.count; i++)
		template_fini(&client->headers[i]);
	free(client->headers);
	free(client->authorization);
	free(client->accept);
	free(client->content_type);
	*client = (struct client){ 0 };
}

/* --- the request ---------------------------------------------------------------------------------- */

static void put_line(struct sl_writer *lines, const char *line, uint32_t *count)
{
	if (!line)
		return;
	text_put(lines, line, strlen(line) + 1);
	(*count)++;
}

bool client_has_fields(const struct client *client)
{
	for (uint32_t i = 0; i < client->options->headers.count; i++)
		if (template_has_fields(&client->headers[i]))
			return true;
	return false;
}

/* Which field it is that is missing a header may not say: see client.h. */
int client_print_headers(const struct client *client, const struct template_input *input,
	struct sl_writer *w, struct reason *reason)
{
	const struct sl_strings *lines = &client->options->headers;
	struct reason inner;

	for (uint32_t i = 0; i < lines->count; i++) {
		int r = template_print(&client->headers[i], TEMPLATE_HEADER, input, w, &inner);

		if (r == -EINVAL)
			return reason_set(reason, r,
				"`headers`: %.*s needs a field that the record lacks, or that is "
				"no plain text, number or boolean",
				(int)name_size(lines->items[i]), lines->items[i]);
		if (r < 0)
			return r;
		text_put(w, "", 1);
	}
	return w->error;
}

/* Each line 0-terminated, one behind the other. */
static int put_lines(const struct client *client, const struct client_request *request,
	struct client_answer *answer, uint32_t *count)
{
	int r;

	for (const char *const *line = request->lines; line && *line; line++)
		put_line(&answer->lines, *line, count);
	answer->public_count = *count;
	r = client_print_headers(client, &request->input, &answer->lines, &answer->reason);
	if (r < 0)
		return r == -EINVAL ? CLIENT_REFUSED : r;
	*count += client->options->headers.count;
	put_line(&answer->lines, client->authorization, count);
	put_line(&answer->lines, client->accept, count);
	put_line(&answer->lines, request->body ? client->content_type : NULL, count);
	return text_end(&answer->lines) ? 0 : -ENOMEM;
}

static int make_headers(const struct client *client, const struct client_request *request,
	struct client_answer *answer)
{
	uint32_t count = 0;
	const char *line;
	int r = put_lines(client, request, answer, &count);

	if (r != 0)
		return r;
	answer->headers = calloc(count + 1, sizeof(*answer->headers));
	if (!answer->headers)
		return -ENOMEM;
	line = answer->lines.data;
	for (uint32_t i = 0; i < count; i++, line += strlen(line) + 1)
		answer->headers[i] = line;
	return 0;
}

static int send_request(struct sl_context *ctx, const struct client *client,
	const struct client_request *request, int64_t deadline, struct client_answer *answer)
{
	const struct client_options *o = client->options;
	struct sl_http_request raw = {
		.method = request->method,
		.url = request->url,
		.headers = answer->headers,
		.body = request->body,
		.body_size = request->body_size,
		.body_max = o->body_max,
		.redirects_max = (unsigned)o->redirects,
		.connections_max = (unsigned)o->connections,
		.ca_file = o->ca_file,
		.cert_file = o->cert_file,
		.key_file = o->key_file,
		.insecure = o->insecure,
		.keeps_body = request->keeps_body,
		.sigv4 = client->sigv4,
		.access_key = client->sigv4 ? o->username : NULL,
		.secret_key = client->sigv4 ? o->password : NULL,
	};

	return sl_http(ctx, &raw, deadline, &answer->response);
}

/* --- what came back ------------------------------------------------------------------------------- */

static void hide(char *text, size_t size, const char *secret, size_t length)
{
	char *found;

	if (length < SECRET_MIN)
		return;
	while ((found = memmem(text, size, secret, length))) {
		memset(found, '*', length);
		size -= (size_t)(found + length - text);
		text = found + length;
	}
}

static bool is_public(const char *line)
{
	return is_header(line, "Accept") || is_header(line, "Content-Type") ||
	       is_header(line, "User-Agent");
}

/* A server may say back what it was sent: the value of a header, and its last word ("Bearer SECRET"). */
static void hide_header(char *text, size_t size, const char *line)
{
	const char *value = line + name_size(line) + 1;
	const char *word;

	value += strspn(value, " \t");
	word = strrchr(value, ' ');
	hide(text, size, value, strlen(value));
	if (word)
		hide(text, size, word + 1, strlen(word + 1));
}

void client_hide(
	const struct client_answer *answer, const struct client *client, char *text, size_t size)
{
	const char *password = client->options->password;

	for (uint32_t i = answer->public_count; answer->headers && answer->headers[i]; i++)
		if (!is_public(answer->headers[i]))
			hide_header(text, size, answer->headers[i]);
	if (password)
		hide(text, size, password, strlen(password));
}

void client_excerpt(
	struct client_answer *answer, const struct client *client, char *text, size_t size)
{
	size_t length = answer->response.body ? answer->response.body_size : 0;
	size_t fits = length < size - 4 ? length : size - 4;

	if (length > 0)
		client_hide(answer, client, answer->response.body, length);
	/* Not in the middle of a character. */
	while (fits > 0 && fits < length && (answer->response.body[fits] & 0xc0) == 0x80)
		fits--;
	for (size_t i = 0; i < fits; i++) {
		char c = answer->response.body[i];

		text[i] = (unsigned char)c < 0x20 || c == 0x7f ? ' ' : c;
	}
	(void)snprintf(text + fits, size - fits, "%s", fits < length ? "..." : "");
}

/* "GET https://host/path": what is asked, for people. */
static void name_request(const struct client_request *request, char *text, size_t size)
{
	int n = snprintf(text, size, "%s ", request->method);

	address_show(request->url, text + n, size - (size_t)n);
}

static int64_t asked_to_wait(const struct client_answer *answer)
{
	char text[64];
	int64_t wait;

	if (!sl_http_header(&answer->response, "Retry-After", text, sizeof(text)))
		return 0;
	wait = status_retry_after(text, time(NULL));
	return wait > 0 ? sl_now() + wait : 0;
}

static int judge_status(const struct client *client, const struct client_request *request,
	struct client_answer *answer)
{
	long status = answer->response.status;
	char place[160], excerpt[EXCERPT_SIZE];

	if (status_has(&client->ok, status))
		return 0;
	name_request(request, place, sizeof(place));
	client_excerpt(answer, client, excerpt, sizeof(excerpt));
	(void)reason_set(&answer->reason, 0, "%s: status %ld%s%s", place, status,
		*excerpt ? ": " : "", excerpt);
	if (!status_has(&client->again, status))
		return CLIENT_REFUSED;
	answer->not_before = asked_to_wait(answer);
	return CLIENT_LATER;
}

static int judge_error(const struct client_request *request, int error, int64_t deadline,
	struct client_answer *answer)
{
	const char *why = answer->response.reason;
	char place[160];

	answer->error = error;
	if (error == -ECANCELED || error == -ENOMEM)
		return error;
	/* A deadline around ours is the business of whoever set it. (Timers round.) */
	if (error == -ETIMEDOUT && sl_now() < deadline - 10 * SL_MILLISECOND)
		return error;
	name_request(request, place, sizeof(place));
	if (error == -ETIMEDOUT)
		(void)reason_set(
			&answer->reason, 0, "%s: no answer within `request_timeout`", place);
	else
		(void)reason_set(
			&answer->reason, 0, "%s: %s", place, *why ? why : strerrordesc_np(-error));
	return error == -EINVAL || error == -EMSGSIZE || error == -EPROTO ? CLIENT_REFUSED
									  : CLIENT_LATER;
}

int client_call(struct sl_context *ctx, const struct client *client,
	const struct client_request *request, struct client_answer *answer)
{
	int64_t deadline = sl_now() + client->options->request_timeout;
	int r = make_headers(client, request, answer);

	if (r != 0)
		return r;
	r = send_request(ctx, client, request, deadline, answer);
	if (r < 0)
		return judge_error(request, r, deadline, answer);
	return judge_status(client, request, answer);
}

int client_value(const struct client_answer *answer, struct sl_writer *out, const char **ret_why)
{
	const struct sl_http_response *response = &answer->response;
	int r = 0;

	if (strspn(response->body, " \t\r\n") == response->body_size)
		sl_put_nil(out);
	else
		r = sl_json_parse(out, response->body, response->body_size, ret_why);
	return r < 0 ? r : out->error;
}

void client_answer_fini(struct client_answer *answer)
{
	sl_http_response_fini(&answer->response);
	sl_writer_fini(&answer->lines);
	free(answer->headers);
	*answer = (struct client_answer){ 0 };
}
