/* SPDX-License-Identifier: MIT */
/* See target.h. */
#include "target.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "address.h"

int target_check_method(struct sl_context *ctx, const char *method)
{
	static const char *const known[] = { "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE",
		"OPTIONS" };

	for (size_t i = 0; method && i < sizeof(known) / sizeof(known[0]); i++)
		if (strcasecmp(method, known[i]) == 0 && strcmp(method, known[i]) != 0)
			return sl_error(ctx, -EINVAL, "`method`: write \"%s\"", known[i]);
	if (method && (!*method || strspn(method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-") != strlen(method)))
		return sl_error(ctx, -EINVAL,
			"`method`: \"%.20s\" is none: write GET, POST, PUT, PATCH or DELETE",
			method);
	return 0;
}

/* What the address looks like when each field is "x". */
static int check_address(struct sl_context *ctx, const struct template *t)
{
	struct sl_writer w;
	struct reason reason;
	const char *sample;
	int r;

	sl_writer_init(&w);
	r = template_sample(t, "x", &w);
	sample = text_end(&w);
	if (r == 0)
		r = sample ? address_check(sample, &reason) : -ENOMEM;
	if (r == -EINVAL)
		r = sl_error(ctx, r, "`url` %s", reason.text);
	sl_writer_fini(&w);
	return r;
}

int target_compile(
	struct sl_context *ctx, const char *url, bool has_key, struct template *ret_template)
{
	struct reason reason;
	int r = template_compile(ret_template, url, has_key, &reason);

	if (r == -EINVAL)
		return sl_error(ctx, r, "`url`: %s", reason.text);
	/* The record may say the whole address; whether it is one is seen then. */
	if (r < 0 || (ret_template->count > 0 && ret_template->parts[0].kind == PART_RAW))
		return r;
	return check_address(ctx, ret_template);
}

int target_print(const struct template *t, const struct template_input *input, struct sl_writer *w,
	struct reason *reason)
{
	int r = template_print(t, TEMPLATE_URL, input, w, reason);

	if (r < 0)
		return r;
	if (!text_end(w))
		return -ENOMEM;
	/* "/users/{id}" with the id ".." would ask for something else; what comes with {+} is meant as it is. */
	if (template_has_fields(t) && !template_has_raw(t) && address_has_dots(w->data))
		return reason_set(reason, -EINVAL,
			"`url`: a field is \".\" or \"..\", which would lead to another path");
	return 0;
}
