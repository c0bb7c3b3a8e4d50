/* SPDX-License-Identifier: MIT */
/* audit: does a running pipeline lose records? The counts of everything that is settled, and the two laws. */
#include "base/units.h"
#include "cli/client.h"

static const char help[] =
	"Counts all that is settled so far. On each link as much must have been received as was "
	"sent; each stage must have\n"
	"consumed, or given up, what it received.\n"
	"\n"
	"--json         what the supervisor answered, as it came (doc/control.md)\n"
	"--runtime DIR  where its socket is (default: as for run); FILE is not read then\n"
	"\n"
	"Exit status: 0 the laws hold; 1 there is a leak, a source tells no counts, or it is not "
	"running.\n";

static const char *count(const json_t *object, const char *key, char text[32])
{
	return units_print_count(reply_number(object, key), text, 32);
}

static void print_links(const json_t *links)
{
	(void)printf("%-36s %16s %16s\n", "link", "sent", "received");
	for (size_t i = 0; i < json_array_size(links); i++) {
		const json_t *link = json_array_get(links, i);
		char name[192], sent[32], received[32];

		(void)snprintf(name, sizeof(name), "%s.%s -> %s", reply_text(link, "from"),
			reply_text(link, "port"), reply_text(link, "to"));
		(void)printf("%-36s %16s %16s\n", name, count(link, "sent", sent),
			count(link, "received", received));
	}
}

static void print_stages(const json_t *stages)
{
	(void)printf("\n%-19s %16s %16s %16s\n", "stage", "in", "consumed", "given up");
	for (size_t i = 0; i < json_array_size(stages); i++) {
		const json_t *stage = json_array_get(stages, i);
		char in[32], consumed[32], dead[32];

		(void)printf("%-19.19s %16s %16s %16s\n", reply_text(stage, "name"),
			count(stage, "in", in), count(stage, "consumed", consumed),
			count(stage, "dead", dead));
	}
}

static bool is_complete(const json_t *audit)
{
	return json_is_true(json_object_get(audit, "complete"));
}

static void print_audit(const json_t *audit)
{
	const json_t *missing = json_object_get(audit, "missing");
	const char *leak = reply_text(audit, "leak");

	print_links(json_object_get(audit, "links"));
	print_stages(json_object_get(audit, "stages"));
	(void)printf("\n");
	for (size_t i = 0; i < json_array_size(missing); i++)
		(void)printf("%s did not tell its counts in time: they are not in here\n",
			json_string_value(json_array_get(missing, i)));
	if (leak[0])
		(void)printf("%s\n", leak);
	else
		(void)printf("the laws hold%s\n", is_complete(audit) ? "" : " for the others");
}

static int run_audit(const struct cli_command *command, int argc, char **argv)
{
	struct client client;
	struct reply reply;
	bool holds;
	int r = client_init(&client, command, argc, argv);

	if (r < 0)
		r = client_ask(&client, "GET", "/v1/audit", false, &reply);
	if (r >= 0)
		return r;
	holds = json_is_true(json_object_get(reply.json, "holds")) && is_complete(reply.json);
	if (client.options.json)
		(void)fputs(reply.text, stdout);
	else
		print_audit(reply.json);
	reply_fini(&reply);
	return holds ? CLI_OK : CLI_FAILED;
}

const struct cli_command cli_audit = {
	.name = "audit",
	.arguments = "FILE [--json] [--runtime DIR]",
	.summary = "counts what is settled, and whether anything was lost",
	.help = help,
	.run = run_audit,
};
