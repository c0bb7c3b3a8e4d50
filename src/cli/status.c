/* SPDX-License-Identifier: MIT */
/* status: how a running pipeline does, as a table or as the JSON that its supervisor told. */
#include <string.h>

#include "base/clock.h"
#include "base/units.h"
#include "cli/client.h"

static const char help[] =
	"--json         what the supervisor answered, as it came (doc/control.md)\n"
	"--runtime DIR  where its socket is (default: as for run); FILE is not read then\n"
	"\n"
	"Exit status: 0 it runs; 1 it does not.\n";

#define ROW "%-16.16s %8s %-10s %8s %8s %14s %14s %8s %12s %9s  %s\n"

/* "vat (no credit)": whom it waits for, and for what. */
static const char *print_wait(const json_t *instance, char *text, size_t size)
{
	static const char *const reasons[][2] = {
		{ "no_input", "no input" },
		{ "no_credit", "no credit" },
		{ "no_room", "retain is full" },
	};
	const json_t *names = json_object_get(instance, "waits_for");
	size_t at = 0;

	text[0] = '\0';
	for (size_t i = 0; i < json_array_size(names) && at < size; i++) {
		int n = snprintf(text + at, size - at, "%s%s", i ? ", " : "",
			json_string_value(json_array_get(names, i)));

		at += n > 0 ? (size_t)n : 0;
	}
	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]) && at > 0 && at < size; i++)
		if (strcmp(reply_text(instance, "blocked"), reasons[i][0]) == 0)
			(void)snprintf(text + at, size - at, " (%s)", reasons[i][1]);
	return text;
}

static const char *print_number(const json_t *object, const char *key, char *text, size_t size)
{
	return units_print_count(reply_number(object, key), text, size);
}

/* "3/4": batches at hand, of those that may be. */
static const char *print_queue(const json_t *instance, char *text, size_t size)
{
	(void)snprintf(text, size, "%llu/%llu",
		(unsigned long long)reply_number(instance, "queued"),
		(unsigned long long)reply_number(instance, "queue"));
	return reply_number(instance, "queue") > 0 ? text : "";
}

static void print_instance(const json_t *stage, const json_t *instance)
{
	bool is_sink = strcmp(reply_text(stage, "role"), "sink") == 0;
	char number[24], pid[24] = "", restarts[24], in[32], out[32], dead[32], rate[32], queue[48],
			 wait[256];

	(void)snprintf(number, sizeof(number), "%llu",
		(unsigned long long)reply_number(instance, "instance"));
	if (reply_number(instance, "pid") > 0)
		(void)snprintf(pid, sizeof(pid), "%llu",
			(unsigned long long)reply_number(instance, "pid"));
	(void)units_print_count(
		(uint64_t)reply_real(instance, "in_per_second"), rate, sizeof(rate));
	(void)printf(ROW, reply_text(stage, "name"), number, reply_text(instance, "state"), pid,
		print_number(instance, "restarts", restarts, sizeof(restarts)),
		print_number(instance, "records_in", in, sizeof(in)),
		is_sink ? "" : print_number(instance, "records_out", out, sizeof(out)),
		print_number(instance, "records_dead", dead, sizeof(dead)), rate,
		print_queue(instance, queue, sizeof(queue)),
		print_wait(instance, wait, sizeof(wait)));
}

static const char *print_amount(const json_t *source, const char *key, char *text, size_t size)
{
	if (strcmp(reply_text(source, "unit"), "bytes") == 0)
		return units_print_size(reply_number(source, key), text, size);
	return units_print_count(reply_number(source, key), text, size);
}

static void print_source(const json_t *instance)
{
	const json_t *source = json_object_get(instance, "source");
	bool is_bytes = strcmp(reply_text(source, "unit"), "bytes") == 0;
	const char *unit = is_bytes ? "" : " records";
	char position[32], settled[32], done[32], total[32], lag[32], age[32];

	(void)printf("%s: read up to %s, settled up to %s", reply_text(instance, "name"),
		print_number(source, "position", position, sizeof(position)),
		print_number(source, "settled", settled, sizeof(settled)));
	if (json_is_integer(json_object_get(source, "total")))
		(void)printf("; %s of %s%s, %s%s to go",
			print_amount(source, "done", done, sizeof(done)),
			print_amount(source, "total", total, sizeof(total)), unit,
			print_amount(source, "lag", lag, sizeof(lag)), unit);
	if (json_real_value(json_object_get(source, "age")) > 0)
		(void)printf("; the oldest that is not settled was read %s ago",
			units_print_duration(
				(int64_t)(json_real_value(json_object_get(source, "age")) *
					  NSEC_PER_SEC),
				age, sizeof(age)));
	(void)printf("\n");
}

/* "vat.0: 45 MiB of memory, 60 MiB at most, of memory_max = 64 MiB" */
static void print_memory(const json_t *stage, const json_t *instance)
{
	const json_t *group = json_object_get(instance, "group");
	char memory[32], peak[32], max[32];

	(void)stage;
	if (!json_is_integer(json_object_get(group, "memory_max_bytes")))
		return;
	(void)printf("%s: %s of memory", reply_text(instance, "name"),
		units_print_size(reply_number(group, "memory_bytes"), memory, sizeof(memory)));
	if (json_is_integer(json_object_get(group, "memory_peak_bytes")))
		(void)printf(
			", %s at most", units_print_size(reply_number(group, "memory_peak_bytes"),
						peak, sizeof(peak)));
	(void)printf(", of memory_max = %s\n",
		units_print_size(reply_number(group, "memory_max_bytes"), max, sizeof(max)));
}

typedef void instance_fn(const json_t *stage, const json_t *instance);

static void each_instance(const json_t *status, instance_fn *call)
{
	const json_t *stages = json_object_get(status, "stages");

	for (size_t s = 0; s < json_array_size(stages); s++) {
		const json_t *stage = json_array_get(stages, s);
		const json_t *instances = json_object_get(stage, "instances");

		for (size_t i = 0; i < json_array_size(instances); i++)
			call(stage, json_array_get(instances, i));
	}
}

static void print_if_source(const json_t *stage, const json_t *instance)
{
	(void)stage;
	if (json_object_get(instance, "source"))
		print_source(instance);
}

/* "save~in: 12 345 records, 3.4 MiB of 1 GiB, in the store spill.save.db" */
static void print_stores(const json_t *stages)
{
	for (size_t i = 0; i < json_array_size(stages); i++) {
		const json_t *stage = json_array_get(stages, i);
		const json_t *store = json_object_get(stage, "store");
		char records[32], bytes[32], max[32];

		if (store)
			(void)printf("%s: %s records, %s of %s, in the store %s\n",
				reply_text(stage, "name"),
				print_number(store, "records", records, sizeof(records)),
				units_print_size(
					reply_number(store, "bytes"), bytes, sizeof(bytes)),
				units_print_size(reply_number(store, "max"), max, sizeof(max)),
				reply_text(store, "file"));
	}
}

static void print_status(const json_t *status)
{
	char elapsed[32];

	(void)units_print_duration((int64_t)(reply_real(status, "elapsed_seconds") * NSEC_PER_SEC),
		elapsed, sizeof(elapsed));
	(void)printf("%s: %s, for %s, since %s; run %s, pid %llu, %s\n",
		reply_text(status, "pipeline"), reply_text(status, "state"), elapsed,
		reply_text(status, "since"), reply_text(status, "run"),
		(unsigned long long)reply_number(status, "pid"), reply_text(status, "file"));
	if (reply_text(status, "reason")[0])
		(void)printf("%s\n", reply_text(status, "reason"));
	(void)printf("\n" ROW, "stage", "instance", "state", "pid", "restarts", "in", "out", "dead",
		"records/s", "queue", "waits for");
	each_instance(status, print_instance);
	(void)printf("\n");
	each_instance(status, print_if_source);
	each_instance(status, print_memory);
	print_stores(json_object_get(status, "stages"));
}

static int run_status(const struct cli_command *command, int argc, char **argv)
{
	struct client client;
	struct reply reply;
	int r = client_init(&client, command, argc, argv);

	if (r < 0)
		r = client_ask(&client, "GET", "/v1/status", false, &reply);
	if (r >= 0)
		return r;
	if (client.options.json)
		(void)fputs(reply.text, stdout);
	else
		print_status(reply.json);
	reply_fini(&reply);
	return CLI_OK;
}

const struct cli_command cli_status = {
	.name = "status",
	.arguments = "FILE [--json] [--runtime DIR]",
	.summary = "shows how a running pipeline does",
	.help = help,
	.run = run_status,
};
