/* SPDX-License-Identifier: MIT */
/*
 * Numbers with units, as users write and read them. Parsing takes the whole text or refuses it: -EINVAL for what is
 * no such quantity, -ERANGE for one that does not fit.
 */
#ifndef BASE_UNITS_H
#define BASE_UNITS_H

#include <stddef.h>
#include <stdint.h>

/* "512", "64KiB", "1.5MiB", "2GB" (decimal), also "64K" = KiB -> bytes. */
int units_parse_size(const char *text, uint64_t *ret_bytes);
/* "5s", "200ms", "1.5m", "2h", "1d", "10us", "0" -> ns. A bare number other than 0 is refused: which unit? */
int units_parse_duration(const char *text, int64_t *ret_ns);
/* "200/s", "10/m", "1.5/h" -> ns from one to the next, >= 1. 0 and more than 10^9 a second are -ERANGE. */
int units_parse_rate(const char *text, int64_t *ret_ns);

/* "1.5 MiB", "12.3 s", "1 234 567" into `text`; returns it. */
const char *units_print_size(uint64_t bytes, char *text, size_t size);
const char *units_print_duration(int64_t ns, char *text, size_t size);
const char *units_print_count(
	uint64_t count, char *text, size_t size); /* groups of three by a space */

#endif
