/* SPDX-License-Identifier: MIT */
/* graph_decode reads what came through a descriptor: whatever it accepts can be encoded again, to the same graph. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "config/graph.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct graph *graph, *again;
	struct sl_writer bytes;
	struct err err;

	if (graph_decode((const char *)data, size, &graph, &err) < 0)
		return 0;
	sl_writer_init(&bytes);
	if (graph_encode(graph, &bytes) == 0) {
		assert(graph_decode(bytes.data, bytes.mark, &again, &err) == 0);
		assert(again->shape == graph->shape && graph_memory(again) == graph_memory(graph));
		graph_free(again);
	}
	sl_writer_fini(&bytes);
	graph_free(graph);
	return 0;
}
