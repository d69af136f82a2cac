/*
 * raw_port.h: a port in some state whose number goes unseen, and every call of the interface on what comes after.
 * Copyright the evshim authors; MIT or Apache-2.0, at your choice.
 */
#ifndef EVSHIM_TEST_RAW_PORT_H
#define EVSHIM_TEST_RAW_PORT_H

#include "raw.h"

enum port_state {
	FRESH,
	WATCHING,   /* a descriptor is associated */
	REWATCHING, /* and was before, with events */
	FIRED,      /* its event was taken, its data was not */
	READY,      /* its event waits in the kernel */
	FULL,       /* events are queued */
	HAUNTED,    /* there is a ghost in it */
	PORT_STATES
};

/* What a port and the program have in common: the program may have it in a set of its own as well. */
struct shared {
	struct subject s;
	struct subject ghost;
	bool haunted;
};

/* A port at its lowest free number, with the subject in the given state. */
H_UNUSED static int port_in_state(enum port_state state, struct shared *sh)
{
	int port = port_create();
	CHECK(port >= 0);
	subject_open(&sh->s, NUMBER);
	sh->haunted = state == HAUNTED;
	switch (state) {
	case FRESH: break;
	case WATCHING: CHECK_OK(watch(port, NUMBER, POLLIN)); break;
	case REWATCHING:
	case READY:
		cycle(port, &sh->s, 3, true);
		CHECK_OK(watch(port, NUMBER, POLLIN));
		break;
	case FIRED: cycle(port, &sh->s, 3, false); break;
	case FULL:
		CHECK_OK(send_value(port, 1));
		CHECK_OK(send_value(port, 2));
		break;
	default:
		subject_open(&sh->ghost, NUMBER + 1);
		cycle(port, &sh->ghost, 3, false);
		lose(&sh->ghost, RAW_DUP);
		cycle(port, &sh->s, 2, true);
	}
	if (state == READY)
		put(sh->s.peer);
	return port;
}

H_UNUSED static void shared_close(struct shared *sh)
{
	raw_close(sh->s.number);
	bury(&sh->s);
	if (sh->haunted)
		bury(&sh->ghost);
}

#define CHECK_GONE(expr)                                                                                  \
	do {                                                                                              \
		int h_result = (expr);                                                                    \
		if (!is_gone(h_result))                                                                   \
			FAIL("%s: returned %d, errno %d", #expr, h_result, errno);                        \
	} while (0)

/* Every call on a number that is no port any more. One event may still be handed out if there was one. */
H_UNUSED static void use_all(int number, int fd, bool had_events)
{
	port_event_t list[4];
	unsigned got = 1;
	int error = 0;
	if (had_events) {
		int result = port_get(number, list, ZERO_TIMEOUT);
		CHECK(result == 0 || is_gone(result));
	}
	for (int i = 0; i < 2; i++) {
		CHECK_GONE(port_get(number, list, ZERO_TIMEOUT));
		CHECK_GONE(watch(number, fd, POLLIN));
		CHECK_GONE(unwatch(number, fd));
		CHECK_GONE(send_value(number, 1));
		CHECK_EQ(port_sendn(&number, &error, 1, 1, NULL), 0);
		CHECK(error == EBADF || error == EBADFD);
		got = 2;
		CHECK_GONE(port_getn(number, list, 4, &got, TIMEOUT_MS(5)));
		CHECK_GONE(port_getn(number, list, 0, &got, NULL));
		CHECK_GONE(port_get(number, list, NULL));
		CHECK_GONE(port_alert(number, PORT_ALERT_SET, 1, NULL));
		CHECK_GONE(port_alert(number, 0, 0, NULL));
	}
}

/* Other ports at work with the same descriptor; nothing of it is the first port's business. */
H_UNUSED static void work_elsewhere(int fd, int peer)
{
	int port = port_create();
	port_event_t pe;
	CHECK_OK(send_value(port, 1));
	CHECK_USER_EVENT(port, 1);
	for (int i = 0; i < 3; i++) {
		CHECK_OK(watch(port, fd, POLLIN));
		put(peer);
		CHECK_OK(port_get(port, &pe, NULL));
		CHECK_EQ(pe.portev_object, fd);
		take(fd);
	}
	CHECK_OK(watch(port, fd, POLLIN));
	CHECK_ERR(port_get(port, &pe, TIMEOUT_MS(15)), ETIME);
	CHECK_OK(unwatch(port, fd));
	CHECK_OK(watch(port, fd, POLLIN));
	CHECK_OK(close(port));
}

#endif /* EVSHIM_TEST_RAW_PORT_H */
