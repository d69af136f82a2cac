/*
 * The macros of the public headers as programs use them, in every C and C++ standard. It is compiled only, by
 * scripts/check-headers.sh, which also gives it the headers' options.
 * Copyright the evshim authors; MIT or Apache-2.0, at your choice.
 */
#include <port.h>
#include <sys/event.h>

int check_port_macros(unsigned mode);
int check_port_macros(unsigned mode)
{
	return S_ISPORT(mode) && (mode & FILE_EXCEPTION) == 0;
}

/* The body of an unbraced if and of its else, with side effects in the arguments (K-002). */
void check_ev_set(struct kevent *list, int which, void *user);
void check_ev_set(struct kevent *list, int which, void *user)
{
	int kevp = 0, n = 0;
	uintptr_t ident = 1;
	struct kevent one;

	if (which == 0)
		EV_SET(&list[n++], ident++, EVFILT_READ, EV_ADD | EV_CLEAR, 0, 0, user);
	else if (which == 1)
		EV_SET(list + kevp, (uintptr_t)which, EVFILT_USER, EV_ADD, NOTE_FFCOPY | NOTE_TRIGGER | 1, -1, NULL);
	else
		EV_SET(&one, 7, EVFILT_TIMER, EV_ADD | EV_ONESHOT, NOTE_MSECONDS | NOTE_ABSTIME, 10, 0);

	while (n-- > 0)
		EV_SET(list++, ident, EVFILT_PROC, EV_DELETE, NOTE_EXIT | NOTE_TRACK, 0, &one);
	do
		EV_SET(&one, 0, EVFILT_EMPTY, EV_ADD, 0, 0, NULL);
	while (which-- > 0);
}

void check_ev_set64(struct kevent64_s *list, int which);
void check_ev_set64(struct kevent64_s *list, int which)
{
	int n = 0;

	if (which)
		EV_SET64(&list[n++], 3, EVFILT_WRITE, EV_ADD, NOTE_LOWAT, 512, 0, 0, 0);
	else
		EV_SET64(list, 4, EVFILT_USER, EV_DELETE, 0, 0, 0, 1, 2);
}
