/* SPDX-License-Identifier: MIT */
/* See peers.h. */
#include "config/peers.h"

#include <string.h>
#include <strings.h>

struct peer {
	enum sl_role role;
	const char *words; /* with a space between them, and around them */
	const char *write;
};

/* clang-format off */
static const struct peer stages[] = {
	{ SL_SOURCE, " tail filestream follow getfile listfile fetchfile files read_file ",
	  "write source = \"file\"; with follow = true; for a file that grows" },
	{ SL_SOURCE, " csv json ndjson jsonl tsv lines text txt msgpack fixed ",
	  "write source = \"file\"; path = \"...\"; format = \"...\"; it is also known by the file's ending" },
	{ SL_SOURCE, " stdin pipe - ", "write source = \"file\"; path = \"-\"; format = \"...\";" },
	{ SL_SOURCE, " tcp udp syslog socket unix beats forward http_server listentcp listenudp listensyslog gelf ",
	  "write source = \"listen\"; address = \"...\";" },
	{ SL_SOURCE, " systemd journald ", "write source = \"journal\";" },
	{ SL_SOURCE, " http_poller http_client rest api url invokehttp ", "write source = \"http\"; url = \"...\";" },
	{ SL_SOURCE, " jdbc database postgresql pg querydatabasetable ",
	  "write source = \"postgres\"; connection = \"...\"; or source = \"sqlite\"; path = \"...\";" },
	{ SL_SOURCE, " generator generate dummy random demo_logs range counter generateflowfile ",
	  "write source = \"sequence\"; or source = \"inline\"; with records of your own" },
	{ SL_SOURCE, " list array values static ", "write source = \"inline\"; records = ( ... );" },
	{ SL_SOURCE, " program script shell executeprocess cron ",
	  "write source = \"exec\"; command = [ \"...\" ]; a timer of systemd starts a pipeline at its time" },
	{ SL_SOURCE, " kafka nats rabbitmq amqp mqtt redis s3 sftp ftp mysql mongodb ",
	  "let its own client write the records: source = \"exec\"; command = [ \"...\" ];" },

	{ SL_TRANSFORM, " throttle ratelimit rate_limit limiter controlrate ",
	  "every stage has that as an option: write rate = \"200/s\"; in the stage that shall be slower" },
	{ SL_TRANSFORM, " grok regex dissect pattern extract extracttext parse_regex ",
	  "write transform = \"parse\"; format = \"regex\"; pattern = \"^(?<name>...)\";" },
	{ SL_TRANSFORM, " json parse_json decode_json evaluatejsonpath ", "write transform = \"parse\"; format = \"json\";" },
	{ SL_TRANSFORM, " kv logfmt parse_key_value keyvalue ", "write transform = \"parse\"; format = \"logfmt\";" },
	{ SL_TRANSFORM, " date timestamp time parse_timestamp strptime ", "write transform = \"parse\"; format = \"time\";" },
	{ SL_TRANSFORM, " csv ", "a source reads CSV: write source = \"file\"; format = \"csv\";" },
	{ SL_TRANSFORM, " mutate rename modify record_modifier record_transformer remap updateattribute updaterecord "
	  "jolttransformjson add_fields remove_fields project convert cast replace gsub ",
	  "write transform = \"map\"; with drop, keep, rename or set" },
	{ SL_TRANSFORM, " where grep drop keep_if select_if condition ", "write transform = \"filter\"; where = \"...\";" },
	{ SL_TRANSFORM, " if switch case branch router split_by rewrite_tag_filter routeonattribute queryrecord swimlanes ",
	  "write transform = \"route\"; routes = { NAME = \"...\"; };" },
	{ SL_TRANSFORM, " split explode expand splitjson splitrecord flatmap flat_map unwind ",
	  "write transform = \"unnest\"; field = \"...\";" },
	{ SL_TRANSFORM, " join enrich translate lookuprecord enrichment_table geoip ",
	  "write transform = \"lookup\"; path = \"...\"; on = [ \"...\" ];" },
	{ SL_TRANSFORM, " group group_by groupby reduce count sum window stats metrics summarize log_to_metric ",
	  "write transform = \"aggregate\"; by = [ \"...\" ]; set = { n = \"count(*)\"; };" },
	{ SL_TRANSFORM, " distinct unique uniq dedup deduplicate detectduplicate ",
	  "write transform = \"dedupe\"; key = [ \"...\" ];" },
	{ SL_TRANSFORM, " ruby python javascript js script code executescript wasm program shell ",
	  "write transform = \"lua\"; script = \"...\"; or transform = \"exec\"; command = [ \"...\" ];" },
	{ SL_TRANSFORM, " schema check assert validaterecord ", "write transform = \"validate\";" },
	{ SL_TRANSFORM, " sleep wait pause ", "write transform = \"delay\"; wait = \"1s\";" },
	{ SL_TRANSFORM, " head take ", "`sluice peek` shows the first records; there is no stage that ends a stream" },
	{ SL_TRANSFORM, " rest api request invokehttp fetch ", "write transform = \"http\"; url = \"...\";" },
	{ SL_TRANSFORM, " tee copy clone fork multicast broadcast duplicate ",
	  "stages that have the same `from` each get every record: let both take from it" },
	{ SL_TRANSFORM, " merge union concat funnel mergecontent mergerecord ",
	  "a stage may take from several: write from = [ \"a\", \"b\" ];" },
	{ SL_TRANSFORM, " batch buffer queue chunk ",
	  "records travel in batches anyway: `queue` and `retain` bound what waits before any stage" },
	{ SL_TRANSFORM, " retry dlq dead_letter ",
	  "every stage has that as an option: write retries = 5; what is given up is kept (`sluice dead`)" },

	{ SL_SINK, " console print log debug display ", "write sink = \"stdout\";" },
	{ SL_SINK, " csv json ndjson jsonl tsv lines text msgpack putfile write_file ",
	  "write sink = \"file\"; path = \"...\"; the file's ending says the format, or format = \"...\";" },
	{ SL_SINK, " blackhole devnull discard none trash ", "write sink = \"null\";" },
	{ SL_SINK, " elasticsearch es opensearch clickhouse s3 loki splunk splunk_hec influxdb webhook rest api "
	  "slack puthttp invokehttp ",
	  "write sink = \"http\"; url = \"...\";" },
	{ SL_SINK, " jdbc database postgresql pg putsql putdatabaserecord ",
	  "write sink = \"postgres\"; connection = \"...\"; or sink = \"sqlite\"; path = \"...\";" },
	{ SL_SINK, " pipe command program script shell ", "write sink = \"exec\"; command = [ \"...\" ];" },
	{ SL_SINK, " kafka nats rabbitmq amqp mqtt redis email smtp syslog sftp mysql mongodb ",
	  "let its own client take the records: sink = \"exec\"; command = [ \"...\" ];" },
};

static const struct {
	const char *words;
	const char *options[3];
} options[] = {
	{ " throttle rate_limit ratelimit limit max_rate ", { "rate" } },
	{ " workers parallelism replicas instances num_workers ", { "processes" } },
	{ " concurrency max_concurrency in_flight ", { "coroutines" } },
	{ " input inputs source_stage upstream ", { "from" } },
	{ " file filename filepath ", { "path" } },
	{ " dsn uri conninfo connection_string ", { "connection", "url" } },
	{ " endpoint host hosts ", { "url", "connection", "address" } },
	{ " listen bind port ", { "address" } },
	{ " condition expression predicate ", { "where" } },
	{ " sep delim ", { "delimiter", "separator" } },
	{ " cmd program ", { "command" } },
	{ " max_retries attempts ", { "retries" } },
};
/* clang-format on */

static bool has_word(const char *words, const char *name)
{
	size_t size = strlen(name);

	for (const char *at = words + 1; *at; at += strcspn(at, " ") + 1)
		if (strncasecmp(at, name, size) == 0 && at[size] == ' ')
			return size > 0;
	return false;
}

const char *peers_stage(enum sl_role role, const char *name)
{
	for (size_t i = 0; i < sizeof(stages) / sizeof(stages[0]); i++)
		if (stages[i].role == role && has_word(stages[i].words, name))
			return stages[i].write;
	return NULL;
}

const char *peers_option(const char *name, unsigned i)
{
	for (size_t row = 0; row < sizeof(options) / sizeof(options[0]); row++)
		if (has_word(options[row].words, name))
			return i < 3 ? options[row].options[i] : NULL;
	return NULL;
}
