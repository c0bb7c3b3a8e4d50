/* SPDX-License-Identifier: MIT */
/* What is asked, by the options `method` and `url`: what the transform and the sink have in common. */
#ifndef STAGES_HTTP_TARGET_H
#define STAGES_HTTP_TARGET_H

#include <sluice/stage.h>

#include "template.h"

/* NULL: none is said. 0, or -EINVAL after sl_error. */
int target_check_method(struct sl_context *ctx, const char *method);
/* 0, or a negative errno after sl_error. In any case template_fini may be called. */
int target_compile(
	struct sl_context *ctx, const char *url, bool has_key, struct template *ret_template);
/* Appends the address, 0-terminated. 0; -EINVAL with the reason; -ENOMEM. */
int target_print(const struct template *t, const struct template_input *input, struct sl_writer *w,
	struct reason *reason);

#endif
