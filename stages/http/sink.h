/* SPDX-License-Identifier: MIT */
/*
 * The sink "http", its options and what open has made of them: constant afterwards. A batch becomes pieces (pieces.h: the text of each record), these
 * become parts, which are the same whenever the batch is given, and each part is one request (send.h).
 */
#ifndef STAGES_HTTP_SINK_H
#define STAGES_HTTP_SINK_H

#include <sluice/stage.h>

#include "client.h"

enum sink_body { BODY_NDJSON, BODY_JSON, BODY_RECORD, BODY_CSV };
enum sink_compress { COMPRESS_NONE, COMPRESS_GZIP };
enum sink_refused { REFUSED_BISECT, REFUSED_DEAD_LETTER };

struct sink {
	const char *url;
	const char *method;
	int body;
	const char *before;
	struct sl_strings columns;
	int64_t batch_records;
	uint64_t batch_bytes;
	int64_t requests;
	int compress;
	const char *key_header;
	const char *items;
	int on_refused;
	int64_t retry_wait;
	int64_t retry_wait_max;
	int64_t give_up;
	const char *sigv4;
	struct client_options client;
	/* Compiled by open. */
	struct template url_template;
	struct template before_template;
	struct client http;
};

#endif
