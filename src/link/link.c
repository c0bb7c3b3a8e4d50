/* SPDX-License-Identifier: MIT */
/* See link.h. */
#include "link/link.h"

#include <errno.h>
#include <stdio.h>
#include <sys/un.h>

int link_endpoint(const struct link_env *env, const struct graph_link *link, uint32_t instance,
	char *text, size_t size)
{
	const struct graph_stage *stage = &env->graph->stages[link->upstream];
	int length = snprintf(text, size, "ipc://%s/%s.%s.%u", env->runtime, stage->name,
		stage->ports[link->port], instance);

	if (length < 0 || (size_t)length >= size)
		return -ENAMETOOLONG;
	if ((size_t)length - sizeof("ipc://") + 1 >= sizeof(((struct sockaddr_un *)NULL)->sun_path))
		return -ENAMETOOLONG;
	return 0;
}

bool link_is_urgent(struct link_env *env, const struct batch_head *head)
{
	return head->again || head->id.start <= floors_get(env->floors, head->id.origin);
}
