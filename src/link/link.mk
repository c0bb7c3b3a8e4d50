# link: the ZeroMQ queue between two processes.
noinst_LIBRARIES += liblink.a
liblink_a_CFLAGS = $(AM_CFLAGS) $(ZMQ_CFLAGS)
liblink_a_SOURCES = \
	src/link/frame.c src/link/frame.h \
	src/link/inlet.c src/link/inlet.h \
	src/link/link.c src/link/link.h \
	src/link/order.c src/link/order.h \
	src/link/outlet.c src/link/outlet.h src/link/outlet_room.h \
	src/link/outlet_peers.c \
	src/link/spans.c src/link/spans.h \
	src/link/states.c src/link/states.h \
	src/link/tally.h
