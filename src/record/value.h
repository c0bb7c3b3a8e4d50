/* SPDX-License-Identifier: MIT */
/* Checking MessagePack that came from another process or a file. */
#ifndef RECORD_VALUE_H
#define RECORD_VALUE_H

#include <stdbool.h>

/*
 * Steps over one value, reading nothing at or behind `end`. False: it is malformed, nested more than 64 deep, or not all
 * there; *at is then anywhere. (msgpuck's mp_check counts in an int, which a count of 2^31 and more wraps around.)
 */
bool value_check(const char **at, const char *end);

#endif
