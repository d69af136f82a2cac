/*
 * A program for libkqueue: its header, its library, nothing of ours. What it closes is seen, and what it forks does not
 * disturb it. With -DPLUGIN it is a library that some program is linked with, which knows nothing of kqueue.
 *
 * Copyright the evshim authors; MIT or Apache-2.0, at your choice.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/event.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef LIBKQUEUE
#error "not libkqueue's header"
#endif
_Static_assert(sizeof(struct kevent) == (sizeof(void *) == 8 ? 32 : 20), "the ABI of libkqueue");
_Static_assert(EVFILT_USER == -11 && NOTE_ABSOLUTE == 8 && NOTE_NSECONDS == 4, "the values of libkqueue");

#define MUST(what) \
	do { \
		if (!(what)) { \
			fprintf(stderr, "line %d: %s: %s\n", __LINE__, #what, strerror(errno)); \
			exit(1); \
		} \
	} while (0)

void libkqueue_drain_pending_close(void);
int use_kqueue(void);

static int wait_for(int kq, struct kevent *event)
{
	static const struct timespec second = {1, 0};

	return kevent(kq, NULL, 0, event, 1, &second);
}

int use_kqueue(void)
{
	struct kevent change, event;
	struct sigaction action;
	int kq, fds[2], again;
	pid_t child;

	MUST((kq = kqueue()) >= 0);
	MUST(pipe(fds) == 0);
	EV_SET(&change, fds[0], EVFILT_READ, EV_ADD, 0, 0, &event);
	MUST(kevent(kq, &change, 1, NULL, 0, NULL) == 0);
	MUST(write(fds[1], "abc", 3) == 3);
	MUST(wait_for(kq, &event) == 1);
	MUST(event.ident == (uintptr_t)fds[0] && event.data == 3 && event.udata == &event && event.flags == 0);
	MUST((again = dup(fds[0])) >= 0);
	MUST((child = fork()) >= 0);
	if (child == 0)
		_exit(kevent(kq, NULL, 0, &event, 1, NULL) == -1 && errno == EBADF ? 0 : 1);
	MUST(waitpid(child, &again, 0) == child && again == 0);
	MUST(sigaction(SIGUSR1, NULL, &action) == 0 && action.sa_handler == SIG_DFL);
	MUST(close(fds[0]) == 0); /* libkqueue never forgets it */
	MUST(wait_for(kq, &event) == 0);
	EV_SET(&change, 7, EVFILT_USER, EV_ADD | EV_CLEAR, NOTE_TRIGGER, 0, NULL);
	MUST(kevent(kq, &change, 1, &event, 1, NULL) == 1 && event.filter == EVFILT_USER);
	MUST(close(kq) == 0);
	libkqueue_drain_pending_close();
	return 0;
}

#ifndef PLUGIN
int main(void)
{
	return use_kqueue();
}
#endif
