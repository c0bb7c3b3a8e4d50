#!/bin/sh
# Replays every corpus through its target.
set -e
: "${top_srcdir:?}" "${top_builddir:?}"
for folder in "$top_srcdir"/tests/fuzz/corpus/*; do
	target=$top_builddir/tests/fuzz/$(basename "$folder")
	if [ "${target##*/}" = fuzz_parse ] && [ ! -e "$target" ]; then
		echo "fuzz_parse: not built, for want of PCRE2"
		continue
	fi
	"$target" "$folder"/*
done
