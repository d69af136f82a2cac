/* Filters that are not there (7.5, 8.6), or not yet (8.1 to 8.3): EINVAL, and never ENOSYS. */
#include "harness.h"
#include "kqueue.h"

/* By number where no header but one system's has a name for it. */
static const struct {
	int filter;
	unsigned fflags;
} absent[] = { { EVFILT_VNODE, NOTE_WRITE }, { EVFILT_PROC, NOTE_EXIT }, { EVFILT_SIGNAL, 0 }, { EVFILT_AIO, 0 },
	{ EVFILT_LIO, 0 }, { EVFILT_FS, 0 }, { -8, 0 }, { -15, 0 }, { -16, 0 } };

TEST(filters_that_are_not_there, "K-291 K-179")
{
	int kq = new_kq(), file = open("/dev/null", O_RDWR);
	for (size_t i = 0; i < sizeof absent / sizeof *absent; i++) {
		struct kevent ev, add = kev((uintptr_t)file, absent[i].filter, EV_ADD, absent[i].fflags, 0, U(i));
		CHECK_EQ(try_change(kq, add.ident, add.filter, EV_ADD, add.fflags, 0, U(i)), EINVAL);
		CHECK_RET(kevent(kq, &add, 1, &ev, 1, ZERO_TIMEOUT), 1);
		is_error(&ev, file, absent[i].filter, EINVAL, U(i));
	}
	expect_none(kq);
	close(file);
	close(kq);
}

TEST(vnode_on_what_is_no_file, "K-209")
{
	int kq = new_kq(), fds[2], pair[2];
	make_pipe(fds);
	make_pair(pair);
	CHECK_EQ(try_change(kq, (uintptr_t)fds[0], EVFILT_VNODE, EV_ADD | EV_CLEAR, NOTE_WRITE, 0, NULL), EINVAL);
	CHECK_EQ(try_change(kq, (uintptr_t)pair[0], EVFILT_VNODE, EV_ADD | EV_CLEAR, NOTE_WRITE, 0, NULL), EINVAL);
	close_pipe(fds);
	close_pipe(pair);
	close(kq);
}

/* An unknown filter among good changes ends nothing. */
TEST(unknown_filter_among_others, "K-291 K-032")
{
	struct kevent list[ROOM], changes[3] = { kev(1, EVFILT_USER, EV_ADD | EV_CLEAR, 0, 0, U(1)),
		kev(2, EVFILT_AIO, EV_ADD, 0, 0, U(2)), kev(1, EVFILT_USER, 0, NOTE_TRIGGER, 0, U(3)) };
	int kq = new_kq();
	CHECK_RET(kevent(kq, changes, 3, list, ROOM, LONG_TIMEOUT), 1);
	is_error(&list[0], 2, EVFILT_AIO, EINVAL, U(2));
	expect(kq, 1, EVFILT_USER, EV_CLEAR, 0, 0, U(3));
	close(kq);
}
