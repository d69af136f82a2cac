/* FreeBSD's struct kevent of 64 bytes: ext[] and its own timer units (1.1). */
#define EVSHIM_FREEBSD_KEVENT 1
#include "harness.h"
#include <sys/event.h>

static int add(int kq, uintptr_t ident, int filter, unsigned flags, unsigned fflags, int64_t data, uint64_t mark)
{
	struct kevent ev;
	EV_SET(&ev, ident, (short)filter, (unsigned short)flags, fflags, data, NULL);
	ev.ext[2] = mark;
	ev.ext[3] = ~mark;
	return kevent(kq, &ev, 1, NULL, 0, NULL);
}

TEST(ext_comes_back, "1.1 K-073")
{
	struct kevent list[4];
	int kq = kqueue(), fds[2];
	make_pipe(fds);
	put(fds[1]);
	CHECK_OK(add(kq, (uintptr_t)fds[0], EVFILT_READ, EV_ADD, 0, 0, 0x123456789abcdefULL));
	CHECK_OK(add(kq, 1, EVFILT_USER, EV_ADD, 0, 0, 7));
	CHECK_OK(add(kq, 1, EVFILT_USER, 0, NOTE_TRIGGER, INT64_MIN, 8));
	CHECK_RET(kevent(kq, NULL, 0, list, 4, ZERO_TIMEOUT), 2);
	CHECK(list[0].ident == (uintptr_t)fds[0] && list[0].data == 1);
	CHECK(list[0].ext[2] == 0x123456789abcdefULL && list[0].ext[3] == ~0x123456789abcdefULL);
	CHECK(list[1].ident == 1 && list[1].data == INT64_MIN);
	close_pipe(fds);
	close(kq);
}

TEST(units_are_freebsds, "K-262 K-264")
{
	struct kevent list[4];
	struct timespec now;
	int kq = kqueue();
	clock_gettime(CLOCK_REALTIME, &now);
	CHECK_OK(add(kq, 1, EVFILT_TIMER, EV_ADD | EV_ONESHOT, NOTE_MSECONDS, 20, 0));
	CHECK_OK(add(kq, 2, EVFILT_TIMER, EV_ADD | EV_ONESHOT, NOTE_USECONDS, 40000, 0));
	CHECK_OK(add(kq, 3, EVFILT_TIMER, EV_ADD | EV_ONESHOT, NOTE_NSECONDS, 60000000, 0));
	CHECK_OK(add(kq, 4, EVFILT_TIMER, EV_ADD | EV_ONESHOT, NOTE_SECONDS | NOTE_ABSTIME, now.tv_sec + 1000, 0));
	for (int i = 1; i <= 3; i++) {
		CHECK_RET(kevent(kq, NULL, 0, list, 1, LONG_TIMEOUT), 1);
		CHECK_EQ(list[0].ident, i);
		CHECK_EQ(list[0].flags, EV_ONESHOT | EV_CLEAR);
	}
	close(kq);
}

TEST(receipts_and_one_array, "K-039")
{
	struct kevent list[20];
	int kq = kqueue();
	for (int i = 0; i < 20; i++) {
		EV_SET(&list[i], (uintptr_t)i, EVFILT_USER, EV_ADD | EV_RECEIPT, 0, 0, &list[i]);
		list[i].ext[2] = (uint64_t)i;
	}
	CHECK_RET(kevent(kq, list, 20, list, 20, NULL), 20);
	for (int i = 0; i < 20; i++)
		CHECK(list[i].ident == (uintptr_t)i && list[i].flags == EV_ERROR && list[i].data == 0
			&& list[i].udata == &list[i]);
	close(kq);
}
