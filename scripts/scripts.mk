# What keeps the house in order.
EXTRA_DIST += quickstart runtests .clang-tidy scripts/packages scripts/test scripts/lint scripts/lint.h scripts/format scripts/docs-check scripts/sanitize \
	tests/tsan.supp

lint: all
	$(srcdir)/scripts/lint $(builddir)
format:
	$(srcdir)/scripts/format
format-check:
	$(srcdir)/scripts/format --check
docs-check: all
	$(srcdir)/scripts/docs-check $(builddir)
.PHONY: lint format format-check docs-check
