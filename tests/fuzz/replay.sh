#!/bin/sh
# Replays every corpus through its target.
set -e
: "${top_srcdir:?}" "${top_builddir:?}"
for folder in "$top_srcdir"/tests/fuzz/corpus/*; do
	"$top_builddir/tests/fuzz/$(basename "$folder")" "$folder"/*
done
