/* SPDX-License-Identifier: MIT */
/* See client.h. */
#include "cli/client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>

#define ANSWER_MAX 10L /* seconds */

int client_init(struct client *client, const struct cli_command *command, int argc, char **argv)
{
	struct err err = { 0 };
	int r = cli_parse(command, argc, argv, "FILE", &client->options);

	if (r != 0)
		return r == 1 ? CLI_OK : CLI_USAGE;
	client->command = command;
	r = plan_find(client->options.file, client->options.sets.items, client->options.runtime,
		&client->place, &err);
	if (r == 0)
		return -1;
	if (r != -EINVAL)
		(void)fprintf(stderr, "sluice %s: %s\n", command->name, err.text);
	return CLI_CONFIG;
}

/* --- asking -------------------------------------------------------------------------------------- */

static size_t take_text(char *data, size_t one, size_t count, void *user)
{
	struct reply *reply = user;
	char *text = realloc(reply->text, reply->size + one * count + 1);

	if (!text)
		return 0;
	memcpy(text + reply->size, data, one * count);
	reply->text = text;
	reply->size += one * count;
	reply->text[reply->size] = '\0';
	return one * count;
}

static void prepare(CURL *curl, const char *socket, const char *url, const char *method, bool wait,
	struct reply *reply)
{
	(void)curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, socket);
	(void)curl_easy_setopt(curl, CURLOPT_URL, url);
	/* No proxy of the environment knows the way to this socket. */
	(void)curl_easy_setopt(curl, CURLOPT_PROXY, "");
	(void)curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_text);
	(void)curl_easy_setopt(curl, CURLOPT_WRITEDATA, reply);
	if (!wait)
		(void)curl_easy_setopt(curl, CURLOPT_TIMEOUT, ANSWER_MAX);
	if (strcmp(method, "POST") == 0) {
		(void)curl_easy_setopt(curl, CURLOPT_POST, 1L);
		(void)curl_easy_setopt(curl, CURLOPT_POSTFIELDS, "");
	}
}

static int say_failed(const struct client *client, const char *socket, CURLcode code, long error)
{
	const char *name = client->place.name;

	if (code != CURLE_COULDNT_CONNECT)
		(void)fprintf(stderr, "sluice %s: %s does not answer: %s\n", client->command->name,
			name, curl_easy_strerror(code));
	else if (error == EACCES || error == EPERM)
		(void)fprintf(stderr,
			"sluice %s: not allowed to talk to %s: be the user who runs %s\n",
			client->command->name, socket, name);
	else if (error == EAGAIN)
		(void)fprintf(stderr, "sluice %s: %s has too many connections: try again\n",
			client->command->name, socket);
	else
		(void)fprintf(stderr,
			"%s is not running: start it with `sluice run %s` or `systemctl start "
			"sluice@%s`\n",
			name, client->options.file, name);
	return CLI_FAILED;
}

static int take_reply(const struct client *client, struct reply *reply)
{
	const char *error;

	reply->json = reply->text ? json_loads(reply->text, 0, NULL) : NULL;
	if (reply->json && reply->status >= 200 && reply->status < 300)
		return -1;
	error = reply_text(reply->json, "error");
	(void)fprintf(stderr, "sluice %s: %s answered with status %ld: %s\n", client->command->name,
		client->place.name, reply->status,
		error[0] ? error : "that is no answer of sluice");
	return CLI_FAILED;
}

int client_ask(const struct client *client, const char *method, const char *route, bool wait,
	struct reply *ret)
{
	char socket[PATH_MAX + 32], url[128];
	CURL *curl = curl_easy_init();
	long error = 0;
	CURLcode code;
	int r;

	*ret = (struct reply){ 0 };
	if (!curl)
		return CLI_FAILED;
	(void)snprintf(socket, sizeof(socket), "%s/" PLAN_CONTROL_SOCKET, client->place.runtime);
	(void)snprintf(url, sizeof(url), "http://sluice%s", route);
	prepare(curl, socket, url, method, wait, ret);
	code = curl_easy_perform(curl);
	(void)curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &ret->status);
	(void)curl_easy_getinfo(curl, CURLINFO_OS_ERRNO, &error);
	r = code == CURLE_OK ? take_reply(client, ret) : say_failed(client, socket, code, error);
	curl_easy_cleanup(curl);
	if (r >= 0)
		reply_fini(ret);
	return r;
}

void reply_fini(struct reply *reply)
{
	free(reply->text);
	json_decref(reply->json);
	*reply = (struct reply){ 0 };
}

/* --- reading ------------------------------------------------------------------------------------- */

const char *reply_text(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

uint64_t reply_number(const json_t *object, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(object, key));
}

double reply_real(const json_t *object, const char *key)
{
	return json_number_value(json_object_get(object, key));
}
