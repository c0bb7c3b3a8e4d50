/* SPDX-License-Identifier: MIT */
/*
 * "Did you mean": the name, of those offered, that is nearest to what was written, if it is near at all. Counted are
 * letters added, left out, changed, and neighbours swapped.
 */
#ifndef CONFIG_SUGGEST_H
#define CONFIG_SUGGEST_H

struct suggest {
	const char *written;
	const char *best; /* borrowed from whoever offered it; NULL: nothing is near */
	unsigned distance;
};

void suggest_init(struct suggest *suggest, const char *written);
void suggest_offer(struct suggest *suggest, const char *name);

#endif
