/* <sys/event.h>: layouts and values, which are libkqueue's. check-headers.sh tries the standards (K-003). */
#include "harness.h"
#include <stddef.h>
#include <sys/event.h>
#include "abi_values.h"

static const struct abi_value timer_values[] = {
	VALUE(NOTE_SECONDS, 1), VALUE(NOTE_USECONDS, 2), VALUE(NOTE_NSECONDS, 4), VALUE(NOTE_ABSOLUTE, 8),
	/* macOS' own */
	VALUE(NOTE_LEEWAY, 0x10), VALUE(NOTE_CRITICAL, 0x20), VALUE(NOTE_BACKGROUND, 0x40),
	/* ours */
	VALUE(NOTE_MSECONDS, 0x1000), VALUE(NOTE_ABSTIME, 0x2000),
};

TEST(kevent_layout, "K-001 1.1")
{
	CHECK_EQ(offsetof(struct kevent, ident), 0);
	CHECK_EQ(offsetof(struct kevent, filter), sizeof(void *));
	CHECK_EQ(offsetof(struct kevent, flags), sizeof(void *) + 2);
	CHECK_EQ(offsetof(struct kevent, fflags), sizeof(void *) + 4);
	CHECK_EQ(offsetof(struct kevent, data), sizeof(void *) + 8);
	CHECK_EQ(offsetof(struct kevent, udata), 2 * sizeof(void *) + 8);
	CHECK_EQ(sizeof(struct kevent), 3 * sizeof(void *) + 8);
	CHECK(sizeof(void *) != 8 || sizeof(struct kevent) == 32);
	CHECK_EQ(_Alignof(struct kevent), sizeof(void *));
}

TEST(kevent_types, "K-001 1.1")
{
	struct kevent ev = { 0 };
	CHECK(_Generic(ev.ident, uintptr_t: 1, default: 0));
	CHECK(_Generic(ev.filter, short: 1, default: 0));
	CHECK(_Generic(ev.flags, unsigned short: 1, default: 0));
	CHECK(_Generic(ev.fflags, unsigned: 1, default: 0));
	CHECK(_Generic(ev.data, intptr_t: 1, default: 0));
	CHECK(_Generic(ev.udata, void *: 1, default: 0));
}

TEST(kevent64_layout, "K-001 1.1")
{
	struct kevent64_s ev = { 0 };
	CHECK_EQ(offsetof(struct kevent64_s, ident), 0);
	CHECK_EQ(offsetof(struct kevent64_s, filter), 8);
	CHECK_EQ(offsetof(struct kevent64_s, flags), 10);
	CHECK_EQ(offsetof(struct kevent64_s, fflags), 12);
	CHECK_EQ(offsetof(struct kevent64_s, data), 16);
	CHECK_EQ(offsetof(struct kevent64_s, udata), 24);
	CHECK_EQ(offsetof(struct kevent64_s, ext), 32);
	CHECK_EQ(sizeof(struct kevent64_s), 48);
	CHECK_EQ(sizeof ev.ident, 8);
	CHECK_EQ(sizeof ev.ext, 16);
	CHECK(_Generic(ev.data, int64_t: 1, default: 0));
	CHECK(_Generic(ev.udata, uint64_t: 1, default: 0));
}

TEST(values, "K-004 1.2")
{
	check_values(common_values, COUNT(common_values));
	check_values(timer_values, COUNT(timer_values));
}

TEST(names_that_would_mislead_are_absent, "K-004 1.2")
{
	check_absent();
}

TEST(bits_of_one_filter_are_apart, "K-004 1.2")
{
	/* The numbers stand for libkqueue's and macOS' names that may come. */
	static const unsigned timer[] = { NOTE_SECONDS, NOTE_MSECONDS, NOTE_USECONDS, NOTE_NSECONDS, NOTE_ABSOLUTE,
		NOTE_ABSTIME, NOTE_LEEWAY, NOTE_CRITICAL, NOTE_BACKGROUND, 0x80, 0x100 };
	static const unsigned vnode[] = { NOTE_DELETE, NOTE_WRITE, NOTE_EXTEND, NOTE_ATTRIB, NOTE_LINK, NOTE_RENAME,
		NOTE_REVOKE, NOTE_OPEN, NOTE_CLOSE, NOTE_CLOSE_WRITE, NOTE_READ, 0x80 };
	static const unsigned proc[] = { NOTE_EXIT, NOTE_FORK, NOTE_EXEC, NOTE_SIGNAL, NOTE_EXITSTATUS, NOTE_TRACK,
		NOTE_TRACKERR, NOTE_CHILD };
	static const unsigned user[] = { NOTE_FFAND, NOTE_FFOR, NOTE_FFLAGSMASK, NOTE_TRIGGER };
	static const unsigned io[] = { NOTE_LOWAT, NOTE_FILE_POLL };
	static const unsigned flags[] = { EV_ADD, EV_DELETE, EV_ENABLE, EV_DISABLE, EV_ONESHOT, EV_CLEAR, EV_RECEIPT,
		EV_DISPATCH, EV_FORCEONESHOT, EV_KEEPUDATA, EV_SYSFLAGS };
	check_apart(timer, COUNT(timer));
	check_apart(vnode, COUNT(vnode));
	check_apart(proc, COUNT(proc));
	check_apart(user, COUNT(user));
	check_apart(io, COUNT(io));
	check_apart(flags, COUNT(flags));
	CHECK_EQ((EV_ERROR | EV_EOF | EV_FLAG1) & ~EV_SYSFLAGS, 0);
}

TEST(ev_set_evaluates_once, "K-002")
{
	struct kevent ev[3];
	int n = 0, calls = 0;
	uintptr_t id = 7;
	memset(ev, 0xa5, sizeof ev);
	if (id == 7)
		EV_SET(&ev[n++], id++, EVFILT_USER, EV_ADD | EV_CLEAR, NOTE_FFCOPY | 5, (calls++, 9), (calls++, &ev));
	else
		EV_SET(&ev[n++], id++, EVFILT_READ, EV_ADD, 0, 0, NULL);
	CHECK_EQ(n, 1);
	CHECK_EQ(id, 8);
	CHECK_EQ(calls, 2);
	check_kevent(&ev[0], 7, EVFILT_USER, EV_ADD | EV_CLEAR, NOTE_FFCOPY | 5, 9, &ev);
	CHECK_EQ(((unsigned char *)&ev[1])[0], 0xa5);
}

TEST(ev_set_extremes, "K-002 K-073")
{
	struct kevent ev;
	void *all = (void *)UINTPTR_MAX;
	EV_SET(&ev, UINTPTR_MAX, EVFILT_EMPTY, 0xffff, UINT32_MAX, INTPTR_MIN, all);
	check_kevent(&ev, UINTPTR_MAX, EVFILT_EMPTY, 0xffff, UINT32_MAX, INTPTR_MIN, all);
	/* A descriptor of -1 is the largest ident, as wherever else. */
	EV_SET(&ev, -1, 32767, 0, 0, -1, NULL);
	check_kevent(&ev, UINTPTR_MAX, 32767, 0, 0, -1, NULL);
}

TEST(ev_set64_evaluates_once, "K-002")
{
	struct kevent64_s ev[2];
	int n = 0;
	uint64_t id = UINT64_MAX;
	memset(ev, 0xa5, sizeof ev);
	if (n == 0)
		EV_SET64(&ev[n++], id--, EVFILT_TIMER, EV_ADD, NOTE_SECONDS, INT64_MIN, UINT64_MAX - 1, 1, 2);
	else
		FAIL("the else belongs to another if");
	CHECK(n == 1 && id == UINT64_MAX - 1);
	CHECK(ev[0].ident == UINT64_MAX && ev[0].udata == UINT64_MAX - 1);
	CHECK(ev[0].filter == EVFILT_TIMER && ev[0].flags == EV_ADD && ev[0].fflags == NOTE_SECONDS);
	CHECK(ev[0].data == INT64_MIN && ev[0].ext[0] == 1 && ev[0].ext[1] == 2);
}

TEST(prototypes, "1.1")
{
	int (*create)(void) = kqueue;
	int (*create1)(int) = kqueue1;
	int (*createx)(unsigned) = kqueuex;
	int (*call)(int, const struct kevent *, int, struct kevent *, int, const struct timespec *) = kevent;
	int (*call64)(int, const struct kevent64_s *, int, struct kevent64_s *, int, unsigned, const struct timespec *) =
		kevent64;
	CHECK(create && create1 && createx && call && call64);
}
