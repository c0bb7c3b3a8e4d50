/* SPDX-License-Identifier: MIT */
/* Addresses (URLs), by libcurl's reading of them, so that what is checked is what is asked. Texts given back are the caller's. */
#ifndef STAGES_HTTP_ADDRESS_H
#define STAGES_HTTP_ADDRESS_H

#include "text.h"

/* Is it the address of something on a web server, without a user part? 0; -EINVAL with what to write instead; -ENOMEM. */
int address_check(const char *url, struct reason *reason);

/* "https://host/path": without user part, query and fragment, where secrets stand. For messages. */
void address_show(const char *url, char *text, size_t size);

/* Has the path a step "." or ".."? Then it means another one than it shows. */
bool address_has_dots(const char *url);

bool address_same_server(const char *one, const char *other);

/* `relative` seen from `base`; NULL: it is none (-EINVAL) or no memory (-ENOMEM). */
char *address_join(const char *base, const char *relative, int *ret_error);
/* `base` with one more parameter in its query, encoded; NULL as above. */
char *address_with(const char *base, const char *name, const char *value, int *ret_error);

/* What the header Link calls the next page, in the headers of an answer; NULL: nothing. */
char *address_next(const char *headers);

#endif
