/*
 * consumer.c for the other interface: a BSD program, with either form of struct kevent.
 * Copyright the evshim authors; MIT or Apache-2.0, at your choice.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/event.h>
#include <unistd.h>

#define REQUIRE(condition)                                                              \
	do {                                                                                \
		if (!(condition)) {                                                             \
			fprintf(stderr, "kqueue: line %d: %s is not so\n", __LINE__, #condition);   \
			return 1;                                                                   \
		}                                                                               \
	} while (0)

int main(void)
{
	static int pipe_user, own_user;
	struct timespec second = { 1, 0 }, zero = { 0, 0 };
	struct kevent changes[2], events[4];
	int ends[2], kq;

	kq = kqueue();
	REQUIRE(kq >= 0);
	REQUIRE(pipe(ends) == 0);
	REQUIRE(write(ends[1], "four", 4) == 4);

	/* What is ready when it is added comes first (section 6). */
	EV_SET(&changes[0], ends[0], EVFILT_READ, EV_ADD, 0, 0, &pipe_user);
	EV_SET(&changes[1], 7, EVFILT_USER, EV_ADD | EV_CLEAR, NOTE_FFCOPY | 5, 0, NULL);
	REQUIRE(kevent(kq, changes, 2, NULL, 0, NULL) == 0);
	EV_SET(&changes[0], 7, EVFILT_USER, 0, NOTE_TRIGGER, 0, &own_user);
	REQUIRE(kevent(kq, changes, 1, events, 4, &second) == 2);
	REQUIRE(events[0].ident == (uintptr_t)ends[0] && events[0].filter == EVFILT_READ);
	REQUIRE(events[0].flags == 0 && events[0].data == 4 && events[0].udata == &pipe_user);
	REQUIRE(events[1].ident == 7 && events[1].filter == EVFILT_USER && events[1].flags == EV_CLEAR);
	REQUIRE((events[1].fflags & NOTE_FFLAGSMASK) == 5 && events[1].udata == &own_user);

	/* The library sees close(): the number has no filter any more (K-120). */
	REQUIRE(close(ends[0]) == 0);
	REQUIRE(kevent(kq, NULL, 0, events, 4, &zero) == 0);
	EV_SET(&changes[0], ends[0], EVFILT_READ, EV_DELETE, 0, 0, NULL);
	REQUIRE(kevent(kq, changes, 1, NULL, 0, NULL) == -1 && errno == EBADF);

	/* The units belong to the form of the structure: half a second is not half a millisecond. */
	EV_SET(&changes[0], 1, EVFILT_TIMER, EV_ADD | EV_ONESHOT, NOTE_USECONDS, 500000, NULL);
	REQUIRE(kevent(kq, changes, 1, events, 4, &zero) == 0);
	second.tv_sec = 5;
	REQUIRE(kevent(kq, NULL, 0, events, 4, &second) == 1);
	REQUIRE(events[0].ident == 1 && events[0].filter == EVFILT_TIMER && events[0].data == 1);

	REQUIRE(close(ends[1]) == 0);
	REQUIRE(close(kq) == 0);
	puts("kqueue: ok");
	return 0;
}
