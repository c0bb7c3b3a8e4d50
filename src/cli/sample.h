/* SPDX-License-Identifier: MIT */
/* What the stages of a run have done so far, from the counters page and /proc: for `advise`. */
#ifndef CLI_SAMPLE_H
#define CLI_SAMPLE_H

#include "cli/advice.h"
#include "supervisor/supervisor.h"

/* What only /proc knows of one instance; kept here because it goes with the process. Seconds. */
struct sample_process {
	double children;  /* processor time of the programs that it runs, ended ones included */
	double preempted; /* its workers were ready to compute, and no processor was free */
};

/* Brings `processes`, one per child of the supervisor, up to date. */
void sample_look(const struct supervisor *supervisor, struct sample_process *processes);
/* Sums of each stage since the start into measured[stage]. */
void sample_sum(const struct supervisor *supervisor, const struct sample_process *processes,
	struct advice_measured *measured);

#endif
