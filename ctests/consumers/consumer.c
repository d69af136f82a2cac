/*
 * A program as a user of the library would write it: the check of an installed tree. It exits with 0 only if
 * the answers are right, so that a library that links but is the wrong one does not pass.
 * Copyright the evshim authors; MIT or Apache-2.0, at your choice.
 */
#include <port.h>
#include <stdio.h>
#include <unistd.h>

#define REQUIRE(condition)                                                              \
	do {                                                                                \
		if (!(condition)) {                                                             \
			fprintf(stderr, "consumer: line %d: %s is not so\n", __LINE__, #condition); \
			return 1;                                                                   \
		}                                                                               \
	} while (0)

int main(void)
{
	static int descriptor_user, send_user;
	struct timespec second = { 1, 0 };
	port_event_t events[4];
	uint_t count = 2;
	int ends[2], port;

	port = port_create();
	REQUIRE(port >= 0);
	REQUIRE(pipe(ends) == 0);
	REQUIRE(write(ends[1], "x", 1) == 1);
	REQUIRE(port_associate(port, PORT_SOURCE_FD, (uintptr_t)ends[0], POLLIN, &descriptor_user) == 0);
	REQUIRE(port_send(port, 7, &send_user) == 0);

	/* The descriptor was ready when it was associated: its event comes before the one sent later (T-012). */
	REQUIRE(port_getn(port, events, 4, &count, &second) == 0);
	REQUIRE(count == 2);
	REQUIRE(events[0].portev_source == PORT_SOURCE_FD);
	REQUIRE(events[0].portev_object == (uintptr_t)ends[0]);
	REQUIRE(events[0].portev_events == POLLIN);
	REQUIRE(events[0].portev_user == &descriptor_user);
	REQUIRE(events[1].portev_source == PORT_SOURCE_USER);
	REQUIRE(events[1].portev_events == 7);
	REQUIRE(events[1].portev_user == &send_user);

	/* The library sees close(): the number is no object of the port any more (R4.20). */
	REQUIRE(port_associate(port, PORT_SOURCE_FD, (uintptr_t)ends[0], POLLIN, NULL) == 0);
	REQUIRE(close(ends[0]) == 0);
	count = 0;
	REQUIRE(port_getn(port, events, 0, &count, NULL) == 0);
	REQUIRE(count == 0);
	REQUIRE(port_dissociate(port, PORT_SOURCE_FD, (uintptr_t)ends[0]) == -1 && errno == EBADFD);

	REQUIRE(close(ends[1]) == 0);
	REQUIRE(close(port) == 0);
	puts("consumer: ok");
	return 0;
}
