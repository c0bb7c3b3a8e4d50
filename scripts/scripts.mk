# What keeps the house in order.
EXTRA_DIST += quickstart runtests scripts/packages scripts/test
