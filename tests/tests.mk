# tests: unit/ in cmocka, fuzz/ targets with their corpus replayed; system/ is run by runtests.
UNIT_LIBS = $(CMOCKA_LIBS)

