# Measurements, each beside what people use today, in one run. Nothing here is a test.
EXTRA_DIST += bench/run bench/common.py bench/million.py bench/queue_demo.py bench/backpressure.py bench/start.py bench/queue_python.py

bench: all
	SLUICE_BUILD=$(abs_builddir) $(srcdir)/bench/run
.PHONY: bench
