/* SPDX-License-Identifier: MIT */
/*
 * What the source and the transform have in common: the options about servers and credentials, and one request with what
 * its answer means. A `struct client` is constant once it is compiled: any number of threads and tasks may call it.
 */
#ifndef STAGES_HTTP_CLIENT_H
#define STAGES_HTTP_CLIENT_H

#include <sluice/stage.h>

#include "status.h"
#include "template.h"

struct client_options {
	struct sl_strings headers;
	const char *username;
	const char *password;
	const char *bearer;
	const char *ca_file;
	const char *cert_file;
	const char *key_file;
	bool insecure;
	struct sl_strings ok_status;
	struct sl_strings retry_status;
	int64_t redirects;
	int64_t connections;
	int64_t request_timeout;
	uint64_t body_max;
};

/* The rows; the stage's shared struct has a member `struct client_options client`. */
/* clang-format off */
#define CLIENT_OPTIONS(struct_) \
	{ SL_OPTION("headers", STRINGS, struct_, client.headers), \
	  .help = "header lines of the request; in a transform or a sink with {field}s", .example = "[ \"X-Team: orders\" ]" }, \
	{ SL_OPTION("username", STRING, struct_, client.username), \
	  .help = "name for basic authentication", .example = "\"sluice\"" }, \
	{ SL_OPTION("password", STRING, struct_, client.password), \
	  .help = "password for basic authentication", .example = "\"${credential:shop-password}\"" }, \
	{ SL_OPTION("bearer", STRING, struct_, client.bearer), \
	  .help = "token, sent as Authorization: Bearer", .example = "\"${credential:shop-token}\"" }, \
	{ SL_OPTION("ca_file", STRING, struct_, client.ca_file), \
	  .help = "PEM file of the authorities to trust, instead of the system's", .example = "\"/etc/sluice/ca.pem\"" }, \
	{ SL_OPTION("cert_file", STRING, struct_, client.cert_file), \
	  .help = "PEM file of the certificate to show to the server", .example = "\"/etc/sluice/client.pem\"" }, \
	{ SL_OPTION("key_file", STRING, struct_, client.key_file), \
	  .help = "PEM file of its key, when that is not in `cert_file`", .example = "\"/etc/sluice/client.key\"" }, \
	{ SL_OPTION("insecure", BOOL, struct_, client.insecure), .fallback = "false", \
	  .help = "take any certificate: whoever is in between can read and change everything", .example = "true" }, \
	{ SL_OPTION("ok_status", STRINGS, struct_, client.ok_status), .fallback = "2xx", \
	  .help = "statuses that are a good answer", .example = "[ \"2xx\", \"404\" ]" }, \
	{ SL_OPTION("retry_status", STRINGS, struct_, client.retry_status), \
	  .help = "statuses after which it is tried again; default: 408, 425, 429, 500, 502, 503, 504", \
	  .example = "[ \"429\", \"5xx\" ]" }, \
	{ SL_OPTION("redirects", INT, struct_, client.redirects), .fallback = "5", .min = 0, .max = 100, \
	  .help = "how many redirects are followed; 0: a redirect is an answer like any other", .example = "0" }, \
	{ SL_OPTION("connections", INT, struct_, client.connections), .fallback = "0", .min = 0, .max = 10000, \
	  .help = "most connections to one host at a time, for each worker; 0: no limit", .example = "8" }, \
	{ SL_OPTION("request_timeout", DURATION, struct_, client.request_timeout), .fallback = "30s", .min = SL_MILLISECOND, \
	  .max = 86400 * SL_SECOND, .help = "how long one request may take, redirects and all", .example = "\"5s\"" }, \
	{ SL_OPTION("body_max", SIZE, struct_, client.body_max), .fallback = "16MiB", .min = 1, .max = 1 << 30, \
	  .help = "the longest answer; a longer one is refused", .example = "\"1MiB\"" }
/* clang-format on */

/* Compiled options. Zeroed: nothing to free. */
struct client {
	const struct client_options *options;
	struct template *headers; /* one for each of the options' */
	char *authorization;      /* a header line, or NULL; so are the next two */
	char *accept;
	char *content_type;
	const char *sigv4; /* how the request is signed; NULL: it is not */
	struct status_set ok;
	struct status_set again;
};

struct client_setup {
	bool has_record;   /* headers may have fields of the record */
	bool has_key;      /* and {!key} */
	const char *sigv4; /* sign with `username` and `password`; NULL: no */
	const char *const
		*again; /* the default of `retry_status`, NULL-terminated; NULL: the usual ones */
	const char *accept;       /* media type, unless `headers` says another one; NULL: none */
	const char *content_type; /* the same for the body */
};

/*
 * 0, or a negative errno after sl_error, which names the option and says what to write. Opens no file. In any case
 * client_fini may be called.
 */
int client_compile(struct sl_context *ctx, const struct client_options *options,
	const struct client_setup *setup, struct client *ret_client);
/* Have the headers fields of the record? */
bool client_has_fields(const struct client *client);
/* Appends the headers that the options say, each 0-terminated. 0; -EINVAL with the reason; -ENOMEM. */
int client_print_headers(const struct client *client, const struct template_input *input,
	struct sl_writer *w, struct reason *reason);
/* Are the files of the options there? 0 or a negative errno after sl_error. */
int client_check_files(struct sl_context *ctx, const struct client_options *options);
/* For `files` of the stage. */
void client_tell_files(const struct client_options *options, sl_files_fn *tell, void *user);
void client_fini(struct client *client);

/* What may be asked of a server. Everything is borrowed for the call. */
struct client_request {
	const char *method;
	const char *url;
	const char *body; /* NULL: none */
	size_t body_size;
	struct template_input input; /* for the headers; may be absent */
	const char *const *lines;    /* more headers, no secrets; NULL-terminated, or NULL */
	bool keeps_body;             /* over any redirect */
};

/* Zeroed before the call; to be given to client_answer_fini in every case. */
struct client_answer {
	struct sl_http_response response;
	struct reason reason;
	int error;          /* 0: there is an answer; else why not, a negative errno */
	int64_t not_before; /* LATER: of sl_now(), as the server asked; 0: it did not */
	struct sl_writer lines;
	const char **headers;
	uint32_t public_count; /* of the headers, in front: no secrets */
};

enum {
	CLIENT_REFUSED = 1, /* it will not work the next time either */
	CLIENT_LATER = 2,
};

/* 0: a good answer; one of the above, with a reason that says no secret; or a negative errno that is to be returned. */
int client_call(struct sl_context *ctx, const struct client *client,
	const struct client_request *request, struct client_answer *answer);
void client_answer_fini(struct client_answer *answer);

/* Puts the answer's JSON; an empty one ("204 No Content") is null. 0; -EINVAL with *ret_why: it is none; -ENOMEM. */
int client_value(const struct client_answer *answer, struct sl_writer *out, const char **ret_why);

/* Overwrites in `text`, which came from the server, what the request was not to tell anyone. */
void client_hide(
	const struct client_answer *answer, const struct client *client, char *text, size_t size);
/* The beginning of the answer's body, for people: one line, no secret of the request in it. */
void client_excerpt(
	struct client_answer *answer, const struct client *client, char *text, size_t size);

#endif
