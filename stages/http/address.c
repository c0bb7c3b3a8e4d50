/* SPDX-License-Identifier: MIT */
/* See address.h. */
#include "address.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <curl/curl.h>

static int error_of(CURLUcode code)
{
	if (code == CURLUE_OK)
		return 0;
	return code == CURLUE_OUT_OF_MEMORY ? -ENOMEM : -EINVAL;
}

/* NULL: no address, or no memory, as *ret_error says. */
static CURLU *parse(const char *url, int *ret_error)
{
	CURLU *handle = curl_url();

	*ret_error = handle ? error_of(curl_url_set(handle, CURLUPART_URL, url, 0)) : -ENOMEM;
	if (*ret_error == 0)
		return handle;
	curl_url_cleanup(handle);
	return NULL;
}

/* One part, "" when there is none; NULL: no memory. */
static char *part_of(CURLU *handle, CURLUPart what, unsigned flags)
{
	char *text = NULL, *copy;
	CURLUcode code = curl_url_get(handle, what, &text, flags);

	if (code == CURLUE_OUT_OF_MEMORY)
		return NULL;
	copy = strdup(code == CURLUE_OK ? text : "");
	curl_free(text);
	return copy;
}

static char *take_url(CURLU *handle, int *ret_error)
{
	char *text = NULL, *copy;

	*ret_error = error_of(curl_url_get(handle, CURLUPART_URL, &text, 0));
	if (*ret_error < 0)
		return NULL;
	copy = strdup(text);
	curl_free(text);
	*ret_error = copy ? 0 : -ENOMEM;
	return copy;
}

static bool is_web(const char *url)
{
	return strncasecmp(url, "http://", 7) == 0 || strncasecmp(url, "https://", 8) == 0;
}

int address_check(const char *url, struct reason *reason)
{
	CURLU *handle;
	char *user;
	int r;

	if (!is_web(url))
		return reason_set(reason, -EINVAL,
			"begins with http:// or https://: write \"https://example.org/path\"");
	handle = parse(url, &r);
	if (!handle)
		return r == -ENOMEM ? r : reason_set(reason, r, "is no address that can be asked");
	user = part_of(handle, CURLUPART_USER, 0);
	if (!user)
		r = -ENOMEM;
	else if (*user)
		r = reason_set(reason, -EINVAL,
			"holds the name of a user: write `username` and `password`");
	free(user);
	curl_url_cleanup(handle);
	return r;
}

void address_show(const char *url, char *text, size_t size)
{
	const char *colons = strstr(url, "://");
	const char *host = colons ? colons + 3 : url;
	size_t host_size = strcspn(host, "/?#\\");
	const char *user_end = memrchr(host, '@', host_size);
	const char *shown = user_end ? user_end + 1 : host;
	size_t length = strcspn(shown, "?#");

	(void)snprintf(text, size, "%.*s%.*s", (int)(host - url), url, (int)length, shown);
}

bool address_has_dots(const char *url)
{
	const char *colons = strstr(url, "://");
	const char *at = colons ? colons + 3 : url;
	const char *end = at + strcspn(at, "?#");

	while ((at = memchr(at, '/', (size_t)(end - at)))) {
		size_t size = strcspn(++at, "/?#");

		if ((size == 1 && at[0] == '.') || (size == 2 && at[0] == '.' && at[1] == '.'))
			return true;
	}
	return false;
}

static bool same_part(CURLU *one, CURLU *other, CURLUPart what)
{
	char *a = part_of(one, what, CURLU_DEFAULT_PORT),
	     *b = part_of(other, what, CURLU_DEFAULT_PORT);
	bool is_same = a && b && strcasecmp(a, b) == 0;

	free(a);
	free(b);
	return is_same;
}

bool address_same_server(const char *one, const char *other)
{
	int r;
	CURLU *a = parse(one, &r), *b = parse(other, &r);
	bool is_same = a && b && same_part(a, b, CURLUPART_SCHEME) &&
		       same_part(a, b, CURLUPART_HOST) && same_part(a, b, CURLUPART_PORT);

	curl_url_cleanup(a);
	curl_url_cleanup(b);
	return is_same;
}

char *address_join(const char *base, const char *relative, int *ret_error)
{
	CURLU *handle = parse(base, ret_error);
	char *joined = NULL;

	if (!handle)
		return NULL;
	*ret_error = error_of(curl_url_set(handle, CURLUPART_URL, relative, 0));
	if (*ret_error == 0)
		joined = take_url(handle, ret_error);
	curl_url_cleanup(handle);
	return joined;
}

char *address_with(const char *base, const char *name, const char *value, int *ret_error)
{
	CURLU *handle = parse(base, ret_error);
	char *pair = NULL, *whole = NULL;

	if (!handle)
		return NULL;
	if (asprintf(&pair, "%s=%s", name, value) < 0) {
		*ret_error = -ENOMEM;
		pair = NULL;
	}
	if (pair)
		*ret_error = error_of(curl_url_set(
			handle, CURLUPART_QUERY, pair, CURLU_APPENDQUERY | CURLU_URLENCODE));
	if (*ret_error == 0)
		whole = take_url(handle, ret_error);
	free(pair);
	curl_url_cleanup(handle);
	return whole;
}

/* --- Link ----------------------------------------------------------------------------------------- */

/* Has `rel` among its words this one? `rel` is the value of the parameter, in quotes or not. */
static bool has_word(const char *rel, size_t size, const char *word)
{
	size_t length = strlen(word);

	while (size > 0) {
		size_t n = 0;

		while (n < size && !strchr("\" \t", rel[n]))
			n++;
		if (n == length && strncasecmp(rel, word, n) == 0)
			return true;
		n = n < size ? n + 1 : n;
		rel += n;
		size -= n;
	}
	return false;
}

/* The end of a parameter: a semicolon or a comma that stands in no quotes. */
static const char *parameter_end(const char *at, const char *end)
{
	bool is_quoted = false;

	for (; at < end; at++) {
		if (*at == '"')
			is_quoted = !is_quoted;
		else if (!is_quoted && (*at == ';' || *at == ','))
			return at;
	}
	return end;
}

/* Is one of the parameters in [*at, end) rel=next? *at: behind the last of them, at a comma or `end`. */
static bool read_parameters(const char **at, const char *end)
{
	bool is_next = false;

	while (*at < end && **at == ';') {
		const char *name = *at + 1 + strspn(*at + 1, " \t");
		const char *stop = parameter_end(name, end);

		if (stop - name > 4 && strncasecmp(name, "rel=", 4) == 0)
			is_next = is_next || has_word(name + 4, (size_t)(stop - name) - 4, "next");
		*at = stop;
	}
	return is_next;
}

/* In one line: <address>; parameters, <address>; ... */
static char *next_in(const char *at, const char *end)
{
	while (at < end && (at = memchr(at, '<', (size_t)(end - at)))) {
		const char *url = at + 1;
		const char *close = memchr(url, '>', (size_t)(end - url));

		if (!close)
			return NULL;
		at = close + 1;
		while (at < end && (*at == ' ' || *at == '\t'))
			at++;
		if (read_parameters(&at, end))
			return strndup(url, (size_t)(close - url));
	}
	return NULL;
}

char *address_next(const char *headers)
{
	char *found = NULL;

	while (headers && *headers && !found) {
		size_t size = strcspn(headers, "\r\n");

		if (strncasecmp(headers, "link:", 5) == 0)
			found = next_in(headers + 5, headers + size);
		headers += size;
		headers += strspn(headers, "\r\n");
	}
	return found;
}
