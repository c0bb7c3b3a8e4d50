/* SPDX-License-Identifier: MIT */
/*
 * libcurl, loaded when it is first called: with the forty libraries that it needs, it would make every stage process start
 * twice as slowly. These are the functions of curl.h that are used, under their own names; a new one is one line here.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdarg.h>

#include <curl/curl.h>

#include "base/log.h"

#define LIBRARY "libcurl.so.4"

/* clang-format off */
#define FUNCTIONS(X)                                                                                  \
	X(easy_cleanup) X(easy_getinfo) X(easy_init) X(easy_perform) X(easy_reset) X(easy_setopt)     \
	X(easy_strerror)                                                                              \
	X(free) X(global_init)                                                                        \
	X(multi_add_handle) X(multi_assign) X(multi_cleanup) X(multi_info_read) X(multi_init)         \
	X(multi_remove_handle) X(multi_setopt) X(multi_socket_action)                                 \
	X(slist_append) X(slist_free_all)                                                             \
	X(url) X(url_cleanup) X(url_get) X(url_set)
/* clang-format on */

static struct {
#define POINTER(name) __typeof__(&curl_##name) name;
	FUNCTIONS(POINTER)
} real;
static bool is_there;

static void load(void)
{
	void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
	bool has_all = library != NULL;

#define LOOK_UP(name)                                                                              \
	if (has_all)                                                                               \
		has_all = (real.name = (__typeof__(&curl_##name))dlsym(library, "curl_" #name));
	FUNCTIONS(LOOK_UP)
	is_there = has_all && real.global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
	if (!is_there)
		log_write(LOG_LEVEL_ERROR, "HTTP needs %s, 7.85 or newer (package libcurl4): %s",
			LIBRARY, has_all ? "it does not start" : dlerror());
}

/* Only the functions that can fail need to ask: the others are given what these made. */
static bool has_library(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	(void)pthread_once(&once, load);
	return is_there;
}

/* --- those that make something -------------------------------------------------------------------- */

CURL *curl_easy_init(void)
{
	return has_library() ? real.easy_init() : NULL;
}

CURLM *curl_multi_init(void)
{
	return has_library() ? real.multi_init() : NULL;
}

CURLU *curl_url(void)
{
	return has_library() ? real.url() : NULL;
}

struct curl_slist *curl_slist_append(struct curl_slist *list, const char *text)
{
	return has_library() ? real.slist_append(list, text) : NULL;
}

const char *curl_easy_strerror(CURLcode code)
{
	return has_library() ? real.easy_strerror(code) : "libcurl is missing";
}

/* --- those that are given what these made, or nothing --------------------------------------------- */

void curl_easy_cleanup(CURL *easy)
{
	if (easy)
		real.easy_cleanup(easy);
}

CURLcode curl_easy_perform(CURL *easy)
{
	return real.easy_perform(easy);
}

void curl_easy_reset(CURL *easy)
{
	real.easy_reset(easy);
}

CURLMcode curl_multi_cleanup(CURLM *multi)
{
	return multi ? real.multi_cleanup(multi) : CURLM_OK;
}

CURLMcode curl_multi_add_handle(CURLM *multi, CURL *easy)
{
	return real.multi_add_handle(multi, easy);
}

CURLMcode curl_multi_remove_handle(CURLM *multi, CURL *easy)
{
	return real.multi_remove_handle(multi, easy);
}

CURLMcode curl_multi_assign(CURLM *multi, curl_socket_t socket, void *own)
{
	return real.multi_assign(multi, socket, own);
}

CURLMsg *curl_multi_info_read(CURLM *multi, int *left)
{
	return real.multi_info_read(multi, left);
}

CURLMcode curl_multi_socket_action(CURLM *multi, curl_socket_t socket, int events, int *running)
{
	return real.multi_socket_action(multi, socket, events, running);
}

void curl_slist_free_all(struct curl_slist *list)
{
	if (list)
		real.slist_free_all(list);
}

void curl_url_cleanup(CURLU *url)
{
	if (url)
		real.url_cleanup(url);
}

/* `const` in newer versions of curl.h. */
typedef __typeof__(_Generic(
	&curl_url_get, CURLUcode (*)(const CURLU *, CURLUPart, char **, unsigned)
	: (const CURLU *)NULL, default
	: (CURLU *)NULL)) readable_url;

CURLUcode curl_url_get(readable_url url, CURLUPart what, char **part, unsigned flags)
{
	return real.url_get(url, what, part, flags);
}

CURLUcode curl_url_set(CURLU *url, CURLUPart what, const char *part, unsigned flags)
{
	return real.url_set(url, what, part, flags);
}

void curl_free(void *text)
{
	if (text)
		real.free(text);
}

/* --- with one more argument, whose type is in the option's number --------------------------------- */

#define SET(function, handle, option, last)                                                        \
	do {                                                                                       \
		va_list args;                                                                      \
		va_start(args, last);                                                              \
		switch ((option) / 10000 * 10000) {                                                \
		case CURLOPTTYPE_LONG:                                                             \
			code = function(handle, option, va_arg(args, long));                       \
			break;                                                                     \
		case CURLOPTTYPE_OFF_T:                                                            \
			code = function(handle, option, va_arg(args, curl_off_t));                 \
			break;                                                                     \
		case CURLOPTTYPE_FUNCTIONPOINT:                                                    \
			code = function(handle, option, va_arg(args, void (*)(void)));             \
			break;                                                                     \
		default:                                                                           \
			code = function(handle, option, va_arg(args, void *));                     \
			break;                                                                     \
		}                                                                                  \
		va_end(args);                                                                      \
	} while (0)

#undef curl_easy_setopt
CURLcode curl_easy_setopt(CURL *easy, CURLoption option, ...)
{
	CURLcode code;

	SET(real.easy_setopt, easy, option, option);
	return code;
}

#undef curl_multi_setopt
CURLMcode curl_multi_setopt(CURLM *multi, CURLMoption option, ...)
{
	CURLMcode code;

	SET(real.multi_setopt, multi, option, option);
	return code;
}

#undef curl_easy_getinfo
CURLcode curl_easy_getinfo(CURL *easy, CURLINFO what, ...)
{
	CURLcode code;
	va_list args;

	va_start(args, what);
	code = real.easy_getinfo(easy, what, va_arg(args, void *));
	va_end(args);
	return code;
}
