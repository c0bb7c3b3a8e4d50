/* SPDX-License-Identifier: MIT */
/*
 * sl_http, by libcurl's multi interface: one per loop, its sockets and its timer are libuv's. Handles are used again; the
 * connections behind them belong to the multi handle and stay open.
 */
#include <sluice/task.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <curl/curl.h>
#include <sodium/crypto_hash_sha256.h>

#include "task/loop.h"

#define BODY_MAX (16u << 20)
#define HEADERS_MAX (256u << 10)
#define IDLE_MAX 1024 /* handles that are kept */

struct http {
	struct loop *loop;
	CURLM *multi;
	uv_timer_t timer;
	CURL **idle;
	uint32_t idle_count;
	unsigned connections_max;
};

/* A socket of libcurl's. */
struct http_socket {
	uv_poll_t poll;
	struct http *http;
	curl_socket_t fd;
};

struct buffer {
	char *data;
	size_t size, capacity, max;
};

struct exchange {
	struct sl_task *task;
	struct buffer body, headers;
	CURLcode code;
	bool is_done;
	bool is_too_large;
	char error[CURL_ERROR_SIZE];
};

/* --- buffers ------------------------------------------------------------------------------------ */

static bool buffer_add(struct buffer *buffer, const char *data, size_t size)
{
	if (size > buffer->max - buffer->size)
		return false;
	if (buffer->size + size + 1 > buffer->capacity) {
		size_t capacity = buffer->capacity ? buffer->capacity : 512;
		char *grown;

		while (capacity < buffer->size + size + 1)
			capacity *= 2;
		grown = realloc(buffer->data, capacity);
		if (!grown)
			return false;
		buffer->data = grown;
		buffer->capacity = capacity;
	}
	memcpy(buffer->data + buffer->size, data, size);
	buffer->size += size;
	buffer->data[buffer->size] = '\0';
	return true;
}

static size_t on_body(char *data, size_t one, size_t size, void *user)
{
	struct exchange *exchange = user;

	(void)one;
	exchange->is_too_large = size > exchange->body.max - exchange->body.size;
	return buffer_add(&exchange->body, data, size) ? size : 0;
}

/* Every answer on the way, of a redirect too, begins anew. */
static size_t on_header(char *data, size_t one, size_t size, void *user)
{
	struct exchange *exchange = user;
	size_t length = size;

	(void)one;
	if (size > 5 && strncasecmp(data, "HTTP/", 5) == 0) {
		exchange->headers.size = 0;
		exchange->body.size = 0;
		return size;
	}
	while (length > 0 && (data[length - 1] == '\n' || data[length - 1] == '\r'))
		length--;
	if (length > 0 && !(buffer_add(&exchange->headers, data, length) &&
				  buffer_add(&exchange->headers, "\n", 1)))
		return 0;
	return size;
}

/* --- libcurl on libuv ----------------------------------------------------------------------------- */

static void end_exchanges(struct http *http)
{
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(http->multi, &left))) {
		struct exchange *exchange = NULL;

		if (message->msg != CURLMSG_DONE)
			continue;
		(void)curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &exchange);
		exchange->code = message->data.result;
		exchange->is_done = true;
		if (exchange->task->state == TASK_PARKED)
			task_wake(exchange->task, 0);
	}
}

static void on_socket_ready(uv_poll_t *poll, int status, int events)
{
	struct http_socket *socket = poll->data;
	struct http *http = socket->http;
	int flags = status < 0 ? CURL_CSELECT_ERR : 0;
	int running;

	if (events & UV_READABLE)
		flags |= CURL_CSELECT_IN;
	if (events & UV_WRITABLE)
		flags |= CURL_CSELECT_OUT;
	(void)curl_multi_socket_action(http->multi, socket->fd, flags, &running);
	end_exchanges(http);
}

static void free_socket(uv_handle_t *handle)
{
	free(handle->data);
}

static struct http_socket *make_socket(struct http *http, curl_socket_t fd)
{
	struct http_socket *socket = calloc(1, sizeof(*socket));

	if (!socket)
		return NULL;
	socket->http = http;
	socket->fd = fd;
	socket->poll.data = socket;
	if (uv_poll_init_socket(&http->loop->uv, &socket->poll, fd) < 0) {
		free(socket);
		return NULL;
	}
	(void)curl_multi_assign(http->multi, fd, socket);
	return socket;
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *user, void *known)
{
	struct http *http = user;
	struct http_socket *socket = known;

	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		if (socket)
			uv_close((uv_handle_t *)&socket->poll, free_socket);
		(void)curl_multi_assign(http->multi, fd, NULL);
		return 0;
	}
	if (!socket)
		socket = make_socket(http, fd);
	if (!socket)
		return -1;
	(void)uv_poll_start(&socket->poll,
		(what & CURL_POLL_IN ? UV_READABLE : 0) | (what & CURL_POLL_OUT ? UV_WRITABLE : 0),
		on_socket_ready);
	return 0;
}

static void on_timeout(uv_timer_t *timer)
{
	struct http *http = timer->data;
	int running;

	(void)curl_multi_socket_action(http->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	end_exchanges(http);
}

static int on_timer_wish(CURLM *multi, long timeout_ms, void *user)
{
	struct http *http = user;

	(void)multi;
	if (timeout_ms < 0)
		return uv_timer_stop(&http->timer);
	uv_update_time(&http->loop->uv);
	return uv_timer_start(&http->timer, on_timeout, (uint64_t)timeout_ms, 0);
}

static struct http *http_get(struct loop *loop)
{
	struct http *http = loop->http;

	if (http)
		return http;
	http = calloc(1, sizeof(*http));
	if (!http)
		return NULL;
	http->loop = loop;
	http->idle = calloc(IDLE_MAX, sizeof(CURL *));
	http->multi = http->idle ? curl_multi_init() : NULL;
	if (!http->multi) {
		free(http->idle);
		free(http);
		return NULL;
	}
	(void)uv_timer_init(&loop->uv, &http->timer);
	http->timer.data = http;
	(void)curl_multi_setopt(http->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	(void)curl_multi_setopt(http->multi, CURLMOPT_SOCKETDATA, http);
	(void)curl_multi_setopt(http->multi, CURLMOPT_TIMERFUNCTION, on_timer_wish);
	(void)curl_multi_setopt(http->multi, CURLMOPT_TIMERDATA, http);
	(void)curl_multi_setopt(http->multi, CURLMOPT_PIPELINING, CURLPIPE_MULTIPLEX);
	/* Its default, four times the running requests, closes connections that the next ones need. */
	(void)curl_multi_setopt(http->multi, CURLMOPT_MAXCONNECTS, 4096L);
	loop->http = http;
	return http;
}

void http_close(struct loop *loop)
{
	struct http *http = loop->http;

	if (!http)
		return;
	for (uint32_t i = 0; i < http->idle_count; i++)
		curl_easy_cleanup(http->idle[i]);
	(void)curl_multi_cleanup(http->multi);
	uv_close((uv_handle_t *)&http->timer, NULL);
	/* Handles that are closing are called back in the next turn. */
	(void)uv_run(&loop->uv, UV_RUN_NOWAIT);
	free(http->idle);
	free(http);
	loop->http = NULL;
}

/* --- requests --------------------------------------------------------------------------------------- */

static CURL *take_easy(struct http *http)
{
	return http->idle_count > 0 ? http->idle[--http->idle_count] : curl_easy_init();
}

static void give_easy(struct http *http, CURL *easy)
{
	if (http->idle_count == IDLE_MAX) {
		curl_easy_cleanup(easy);
		return;
	}
	curl_easy_reset(easy);
	http->idle[http->idle_count++] = easy;
}

/* S3 wants it, libcurl takes it for the signature and makes it itself only as of version 8. NULL: no memory. */
static struct curl_slist *digest_header(const struct sl_http_request *request)
{
	char line[128] = "x-amz-content-sha256: ";
	unsigned char digest[crypto_hash_sha256_BYTES];
	size_t used = strlen(line);

	(void)crypto_hash_sha256(digest, request->body, request->body ? request->body_size : 0);
	for (size_t i = 0; i < sizeof(digest); i++, used += 2)
		(void)snprintf(line + used, sizeof(line) - used, "%02x", digest[i]);
	return curl_slist_append(NULL, line);
}

static struct curl_slist *make_headers(const struct sl_http_request *request, bool *ret_failed)
{
	struct curl_slist *list = NULL;

	/* libcurl would wait a second for a server that does not know `Expect`; but signing, it counts this line as a header. */
	if (request->sigv4)
		list = digest_header(request);
	else
		list = curl_slist_append(list, "Expect:");
	*ret_failed = !list;
	for (const char *const *header = request->headers; header && *header; header++) {
		struct curl_slist *longer = curl_slist_append(list, *header);

		*ret_failed = *ret_failed || !longer;
		list = longer ? longer : list;
	}
	return list;
}

static void set_tls(CURL *easy, const struct sl_http_request *request)
{
	(void)curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, request->insecure ? 0L : 1L);
	(void)curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, request->insecure ? 0L : 2L);
	if (request->ca_file)
		(void)curl_easy_setopt(easy, CURLOPT_CAINFO, request->ca_file);
	if (!request->cert_file)
		return;
	(void)curl_easy_setopt(easy, CURLOPT_SSLCERT, request->cert_file);
	(void)curl_easy_setopt(
		easy, CURLOPT_SSLKEY, request->key_file ? request->key_file : request->cert_file);
}

static void set_signature(CURL *easy, const struct sl_http_request *request)
{
	if (!request->sigv4)
		return;
	(void)curl_easy_setopt(easy, CURLOPT_AWS_SIGV4, request->sigv4);
	(void)curl_easy_setopt(easy, CURLOPT_USERNAME, request->access_key);
	(void)curl_easy_setopt(easy, CURLOPT_PASSWORD, request->secret_key);
}

static void set_body(CURL *easy, const struct sl_http_request *request)
{
	if (request->body) {
		(void)curl_easy_setopt(easy, CURLOPT_POST, 1L);
		(void)curl_easy_setopt(
			easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_size);
		(void)curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request->body);
	}
	if (request->method && strcmp(request->method, "HEAD") == 0)
		(void)curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
	else if (request->method)
		(void)curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method);
}

static int set_request(CURL *easy, const struct sl_http_request *request, struct exchange *exchange,
	struct curl_slist *headers)
{
	(void)curl_easy_setopt(easy, CURLOPT_PRIVATE, exchange);
	(void)curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, exchange->error);
	(void)curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	(void)curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
	(void)curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, request->redirects_max > 0 ? 1L : 0L);
	(void)curl_easy_setopt(easy, CURLOPT_MAXREDIRS, (long)request->redirects_max);
	if (request->keeps_body)
		(void)curl_easy_setopt(easy, CURLOPT_POSTREDIR, (long)CURL_REDIR_POST_ALL);
	(void)curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
	(void)curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "");
	(void)curl_easy_setopt(easy, CURLOPT_USERAGENT, "sluice/" SLUICE_VERSION);
	(void)curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
	(void)curl_easy_setopt(easy, CURLOPT_WRITEDATA, exchange);
	(void)curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
	(void)curl_easy_setopt(easy, CURLOPT_HEADERDATA, exchange);
	/* Who waits has a deadline; a connection that cannot be made must not wait for libcurl's five minutes in vain. */
	(void)curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, 0L);
	set_tls(easy, request);
	set_signature(easy, request);
	set_body(easy, request);
	return curl_easy_setopt(easy, CURLOPT_URL, request->url) == CURLE_OK ? 0 : -ENOMEM;
}

static int error_of(const struct exchange *exchange)
{
	if (exchange->is_too_large)
		return -EMSGSIZE;
	switch (exchange->code) {
	case CURLE_OK:
		return 0;
	case CURLE_URL_MALFORMAT:
	case CURLE_UNSUPPORTED_PROTOCOL:
	case CURLE_BAD_FUNCTION_ARGUMENT:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_CACERT_BADFILE:
		return -EINVAL;
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_RESOLVE_PROXY:
		return -ENOENT;
	case CURLE_COULDNT_CONNECT:
		return -ECONNREFUSED;
	case CURLE_OPERATION_TIMEDOUT:
		return -ETIMEDOUT;
	case CURLE_OUT_OF_MEMORY:
		return -ENOMEM;
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_WEIRD_SERVER_REPLY:
	case CURLE_TOO_MANY_REDIRECTS:
	case CURLE_BAD_CONTENT_ENCODING:
		return -EPROTO;
	default:
		return -EIO;
	}
}

/* Sends it and waits; the handle is out of libcurl's hands afterwards. */
static int run_exchange(struct http *http, CURL *easy, struct exchange *exchange, int64_t deadline)
{
	int r;

	if (curl_multi_add_handle(http->multi, easy) != CURLM_OK)
		return -ENOMEM;
	r = task_park(exchange->task, deadline);
	(void)curl_multi_remove_handle(http->multi, easy);
	if (!exchange->is_done)
		return r;
	return error_of(exchange);
}

static void say_reason(const struct exchange *exchange, int r, struct sl_http_response *response)
{
	const char *reason =
		exchange->error[0] ? exchange->error : curl_easy_strerror(exchange->code);

	if (exchange->is_too_large) {
		(void)snprintf(response->reason, sizeof(response->reason),
			"the answer is larger than %zu bytes", exchange->body.max);
		return;
	}
	if (!exchange->is_done && r == -ETIMEDOUT)
		reason = "no answer in time";
	else if (!exchange->is_done)
		reason = r == -ECANCELED ? "cancelled" : "out of memory";
	(void)snprintf(response->reason, sizeof(response->reason), "%s", reason);
}

static int take_answer(CURL *easy, struct exchange *exchange, struct sl_http_response *response)
{
	char *url = NULL;

	(void)curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &response->status);
	(void)curl_easy_getinfo(easy, CURLINFO_EFFECTIVE_URL, &url);
	if (!buffer_add(&exchange->body, "", 0) || !buffer_add(&exchange->headers, "", 0))
		return -ENOMEM;
	response->url = strdup(url ? url : "");
	response->body = exchange->body.data;
	response->body_size = exchange->body.size;
	response->headers = exchange->headers.data;
	exchange->body.data = exchange->headers.data = NULL;
	return response->url ? 0 : -ENOMEM;
}

static int send_request(struct http *http, CURL *easy, const struct sl_http_request *request,
	struct exchange *exchange, int64_t deadline)
{
	bool has_failed;
	struct curl_slist *headers = make_headers(request, &has_failed);
	int r = has_failed ? -ENOMEM : set_request(easy, request, exchange, headers);

	if (r == 0)
		r = run_exchange(http, easy, exchange, deadline);
	curl_slist_free_all(headers);
	return r;
}

int sl_http(struct sl_context *ctx, const struct sl_http_request *request, int64_t deadline,
	struct sl_http_response *response)
{
	struct sl_task *task = task_self(ctx);
	struct http *http = http_get(task->loop);
	struct exchange *exchange = calloc(1, sizeof(*exchange));
	CURL *easy = http && exchange ? take_easy(http) : NULL;
	int r;

	*response = (struct sl_http_response){ 0 };
	if (!easy) {
		free(exchange);
		return -ENOMEM;
	}
	exchange->task = task;
	exchange->body.max = request->body_max ? request->body_max : BODY_MAX;
	exchange->headers.max = HEADERS_MAX;
	if (request->connections_max != http->connections_max) {
		http->connections_max = request->connections_max;
		(void)curl_multi_setopt(
			http->multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long)request->connections_max);
	}
	r = send_request(http, easy, request, exchange, deadline);
	if (r == 0)
		r = take_answer(easy, exchange, response);
	if (r < 0)
		say_reason(exchange, r, response);
	give_easy(http, easy);
	free(exchange->body.data);
	free(exchange->headers.data);
	free(exchange);
	return r;
}

void sl_http_response_fini(struct sl_http_response *response)
{
	free(response->body);
	free(response->headers);
	free(response->url);
	*response = (struct sl_http_response){ 0 };
}

bool sl_http_header(
	const struct sl_http_response *response, const char *name, char *text, size_t size)
{
	size_t length = strlen(name);

	for (const char *line = response->headers; line && *line;) {
		const char *end = strchrnul(line, '\n');

		if (strncasecmp(line, name, length) == 0 && line[length] == ':') {
			const char *value = line + length + 1;

			value += strspn(value, " \t");
			(void)snprintf(text, size, "%.*s", (int)(end - value), value);
			return true;
		}
		line = *end ? end + 1 : end;
	}
	return false;
}
