/* <sys/event.h> with EVSHIM_FREEBSD_KEVENT: FreeBSD's struct kevent and timer units, and another kevent(). */
#include "harness.h"
#include <stddef.h>
#define EVSHIM_FREEBSD_KEVENT 1
#include <sys/event.h>
#include "abi_values.h"

/* The function that kevent must be. */
void freebsds_kevent(void) __asm__("evshim_kevent_freebsd");

static const struct abi_value timer_values[] = {
	VALUE(NOTE_SECONDS, 1), VALUE(NOTE_MSECONDS, 2), VALUE(NOTE_USECONDS, 4), VALUE(NOTE_NSECONDS, 8),
	VALUE(NOTE_ABSTIME, 0x10),
};

TEST(kevent_layout, "K-001 1.1")
{
	struct kevent ev = { 0 };
	size_t data = sizeof(void *) == 8 ? 16 : offsetof(struct kevent, data);
	CHECK_EQ(offsetof(struct kevent, ident), 0);
	CHECK_EQ(offsetof(struct kevent, filter), sizeof(void *));
	CHECK_EQ(offsetof(struct kevent, flags), sizeof(void *) + 2);
	CHECK_EQ(offsetof(struct kevent, fflags), sizeof(void *) + 4);
	CHECK_EQ(offsetof(struct kevent, data), data);
	CHECK_EQ(offsetof(struct kevent, udata), data + 8);
	CHECK(sizeof(void *) != 8 || offsetof(struct kevent, ext) == 32);
	CHECK(sizeof(void *) != 8 || sizeof(struct kevent) == 64);
	CHECK_EQ(sizeof ev.ext, 32);
	CHECK(_Generic(ev.data, int64_t: 1, default: 0));
	CHECK(_Generic(ev.ext[0], uint64_t: 1, default: 0));
}

TEST(values, "K-004 1.2")
{
	check_values(common_values, COUNT(common_values));
	check_values(timer_values, COUNT(timer_values));
	check_absent();
#if defined(NOTE_ABSOLUTE) || defined(NOTE_LEEWAY)
	FAIL("a name of macOS has a value that is FreeBSD's for something else");
#endif
}

TEST(ev_set_evaluates_once_and_clears_ext, "K-002 1.1")
{
	struct kevent ev[2];
	int n = 0;
	uintptr_t id = 7;
	memset(ev, 0xa5, sizeof ev);
	if (n == 0)
		EV_SET(&ev[n++], id++, EVFILT_TIMER, EV_ADD, NOTE_NSECONDS, INT64_MIN, &ev);
	else
		FAIL("the else belongs to another if");
	CHECK_EQ(n, 1);
	CHECK_EQ(id, 8);
	check_kevent(&ev[0], 7, EVFILT_TIMER, EV_ADD, NOTE_NSECONDS, INT64_MIN, &ev);
	for (int i = 0; i < 4; i++)
		CHECK_EQ(ev[0].ext[i], 0);
	CHECK_EQ(((unsigned char *)&ev[1])[0], 0xa5);
}

TEST(kevent_is_the_other_function, "K-001 1.1")
{
	int (*call)(int, const struct kevent *, int, struct kevent *, int, const struct timespec *) = kevent;
	CHECK_EQ((uintptr_t)call, (uintptr_t)freebsds_kevent);
}
