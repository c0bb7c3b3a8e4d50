# Measurements, each beside what people use today, in one run. Nothing here is a test.
EXTRA_DIST += bench/run bench/aggregate.py bench/common.py bench/map.cc bench/map.py bench/million.py bench/queue_demo.py bench/backpressure.py bench/listen.py bench/lookup.py bench/poison.py bench/postgres.py bench/power.py bench/replace.py bench/soak.py bench/start.py bench/queue_python.py \
	bench/README.md bench/spill.py bench/beside.py bench/workers.py bench/python/compute.py bench/python/cpu.py bench/python/mixed.py \
	bench/python/pictures.py bench/python/post_aiohttp.py bench/python/post_threads.py bench/python/report.py bench/python/server.py \
	bench/python/waits_coroutines.py bench/python/waits_processes.py bench/python/waits_threads.py

bench: all
	SLUICE_BUILD=$(abs_builddir) $(srcdir)/bench/run
.PHONY: bench

# Kill storms in the long form.
soak: all
	SLUICE_BUILD=$(abs_builddir) $(srcdir)/bench/soak.py
.PHONY: soak
