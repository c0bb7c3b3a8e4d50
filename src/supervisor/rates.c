/* SPDX-License-Identifier: MIT */
/* See rates.h. */
#include "supervisor/rates.h"

#include "base/clock.h"

#define INTERVAL (NSEC_PER_SEC / 2)

void rates_sample(struct rates *rates, struct rates_sample now)
{
	uint32_t last = (rates->next + RATES_SAMPLES - 1) % RATES_SAMPLES;

	if (rates->count > 0 && now.at_ns - rates->samples[last].at_ns < INTERVAL)
		return;
	rates->samples[rates->next] = now;
	rates->next = (rates->next + 1) % RATES_SAMPLES;
	if (rates->count < RATES_SAMPLES)
		rates->count++;
}

void rates_since(
	const struct rates *rates, struct rates_sample now, double *ret_in, double *ret_out)
{
	const struct rates_sample *oldest =
		&rates->samples[rates->count < RATES_SAMPLES ? 0 : rates->next];
	double seconds = (double)(now.at_ns - oldest->at_ns) / NSEC_PER_SEC;

	*ret_in = 0;
	*ret_out = 0;
	if (rates->count == 0 || seconds <= 0)
		return;
	*ret_in = (double)(now.in - oldest->in) / seconds;
	*ret_out = (double)(now.out - oldest->out) / seconds;
}
