/* kevent64() of macOS: the same queue through another structure (1.1, 1.2). */
#include "harness.h"
#include "kqueue.h"

static struct kevent64_s kev64(uint64_t ident, int filter, unsigned flags, unsigned fflags, int64_t data, uint64_t udata)
{
	struct kevent64_s ev;
	EV_SET64(&ev, ident, (int16_t)filter, (uint16_t)flags, fflags, data, udata, 0, 0);
	return ev;
}

#define WIDE 0xFEDCBA9876543210ULL

TEST(one_queue_by_both_calls, "1.1 K-073")
{
	struct kevent64_s list[ROOM];
	int kq = new_kq(), fds[2];
	make_pipe(fds);
	send_bytes(fds[1], 3);
	struct kevent64_s add = kev64((uint64_t)fds[0], EVFILT_READ, EV_ADD | EV_DISPATCH, 0, 0, WIDE);
	CHECK_RET(kevent64(kq, &add, 1, list, ROOM, 0, NULL), 1);
	CHECK(list[0].ident == (uint64_t)fds[0] && list[0].filter == EVFILT_READ && list[0].flags == EV_DISPATCH);
	CHECK(list[0].data == 3 && list[0].udata == WIDE && list[0].fflags == 0);
	change(kq, fds[0], EVFILT_READ, EV_ENABLE, 0, 0, U(1));
	CHECK_RET(kevent64(kq, NULL, 0, list, ROOM, 0, LONG_TIMEOUT), 1);
	CHECK(list[0].udata == (uint64_t)(uintptr_t)U(1));
	add.flags = EV_ENABLE;
	CHECK_RET(kevent64(kq, &add, 1, NULL, 0, 0, NULL), 0);
	expect(kq, fds[0], EVFILT_READ, EV_DISPATCH, 0, 3, (void *)(uintptr_t)WIDE);
	close_pipe(fds);
	close(kq);
}

TEST(receipts_and_one_array, "K-035 K-039")
{
	struct kevent64_s list[20];
	int kq = new_kq();
	for (int i = 0; i < 20; i++)
		list[i] = kev64((uint64_t)i, EVFILT_USER, EV_RECEIPT | (i % 2 ? EV_ADD : EV_DELETE), 0, 0, WIDE + (uint64_t)i);
	CHECK_RET(kevent64(kq, list, 20, list, 20, 0, NULL), 20);
	for (int i = 0; i < 20; i++) {
		CHECK(list[i].ident == (uint64_t)i && list[i].flags == EV_ERROR && list[i].udata == WIDE + (uint64_t)i);
		CHECK_EQ(list[i].data, i % 2 ? 0 : ENOENT);
	}
	close(kq);
}

TEST(immediate, "1.2")
{
	struct kevent64_s list[ROOM];
	int kq = new_kq();
	long long begin = now_ms();
	CHECK_RET(kevent64(kq, NULL, 0, list, ROOM, KEVENT_FLAG_IMMEDIATE, NULL), 0);
	CHECK_RET(kevent64(kq, NULL, 0, list, ROOM, KEVENT_FLAG_IMMEDIATE, TIMEOUT_MS(10000)), 0);
	CHECK(now_ms() - begin < 2000 * slow());
	close(kq);
}

TEST(only_errors, "1.2")
{
	struct kevent64_s list[ROOM], changes[2] = { kev64(1, EVFILT_USER, EV_ADD, 0, 0, 1),
		kev64(1, EVFILT_USER, 0, NOTE_TRIGGER, 0, 2) };
	int kq = new_kq();
	CHECK_RET(kevent64(kq, changes, 2, list, ROOM, KEVENT_FLAG_ERROR_EVENTS, NULL), 0);
	changes[0] = kev64(9, EVFILT_USER, EV_DELETE, 0, 0, 3);
	CHECK_RET(kevent64(kq, changes, 1, list, ROOM, KEVENT_FLAG_ERROR_EVENTS, NULL), 1);
	CHECK(list[0].flags == EV_ERROR && list[0].data == ENOENT);
	expect(kq, 1, EVFILT_USER, 0, 0, 0, (void *)2);
	close(kq);
}

TEST(errors, "K-030 K-042")
{
	struct kevent64_s ev;
	struct timespec bad = { 0, 1000000000 };
	int kq = new_kq();
	CHECK_ERR(kevent64(kq, NULL, 0, &ev, 1, 0, &bad), EINVAL);
	CHECK_ERR(kevent64(closed_fd(), NULL, 0, &ev, 1, 0, ZERO_TIMEOUT), EBADF);
	close(kq);
}
