/* The call itself (3.1): the order of its work, error entries, receipts. */
#include "harness.h"
#include "kqueue.h"

TEST(no_queue, "K-030")
{
	struct kevent ev;
	int kq = new_kq(), null = open("/dev/null", O_RDWR), bad[] = { -1, INT_MIN, 999999, null, closed_fd(), kq };
	close(kq);
	bad[5] = kq;
	for (int i = 0; i < 6; i++) {
		CHECK_ERR(kevent(bad[i], NULL, 0, NULL, 0, NULL), EBADF);
		CHECK_ERR(kevent(bad[i], NULL, 0, &ev, 1, ZERO_TIMEOUT), EBADF);
		CHECK_EQ(try_change(bad[i], 1, EVFILT_USER, EV_ADD, 0, 0, NULL), EBADF);
	}
	close(null);
}

/* Two pages, the second of them without access: a list that ends at the border. */
static void *border(size_t bytes)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	char *pages = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(pages != MAP_FAILED);
	CHECK_OK(mprotect(pages + page, page, PROT_NONE));
	return pages + page - bytes;
}

TEST(negative_counts, "K-031")
{
	struct kevent *none = border(0);
	int kq = new_kq(), result;
	add_user(kq, 1, 0, U(1));
	trigger(kq, 1, U(1));
	for (int count = -1; count != 0; count = count == -1 ? INT_MIN : 0) {
		result = kevent(kq, none, count, NULL, 0, ZERO_TIMEOUT);
		CHECK(result == 0 || (result == -1 && errno == EINVAL));
		result = kevent(kq, NULL, 0, none, count, ZERO_TIMEOUT);
		CHECK(result == 0 || (result == -1 && errno == EINVAL));
	}
	expect(kq, 1, EVFILT_USER, 0, 0, 0, U(1));
	close(kq);
}

TEST(nothing_beyond_the_lists_is_touched, "K-031 3.1")
{
	struct kevent *changes = border(2 * sizeof *changes), *events = border(sizeof *events);
	int kq = new_kq();
	changes[0] = kev(1, EVFILT_USER, EV_ADD, 0, 0, U(1));
	changes[1] = kev(1, EVFILT_USER, 0, NOTE_TRIGGER, 0, U(1));
	CHECK_RET(kevent(kq, changes, 2, events, 1, ZERO_TIMEOUT), 1);
	is_event(events, 1, EVFILT_USER, 0, 0, 0, U(1));
	close(kq);
}

TEST(error_entry_and_the_work_goes_on, "K-032")
{
	struct kevent list[10], changes[2];
	int kq = new_kq(), fds[2];
	make_pipe(fds);
	put(fds[1]);
	changes[0] = kev((uintptr_t)fds[1], EVFILT_WRITE, EV_DELETE, 0, 0, U(5));
	changes[1] = kev((uintptr_t)fds[0], EVFILT_READ, EV_ADD, 0, 0, U(6));
	CHECK_RET(kevent(kq, changes, 2, list, 10, NULL), 1);
	is_error(&list[0], fds[1], EVFILT_WRITE, ENOENT, U(5));
	expect(kq, fds[0], EVFILT_READ, 0, 0, 1, U(6));
	close_pipe(fds);
	close(kq);
}

TEST(error_without_room_ends_the_call, "K-033")
{
	struct kevent changes[3] = { kev(1, EVFILT_USER, EV_ADD, 0, 0, U(1)), kev(2, EVFILT_USER, EV_DELETE, 0, 0, U(2)),
		kev(3, EVFILT_USER, EV_ADD, 0, 0, U(3)) };
	int kq = new_kq();
	CHECK_ERR(kevent(kq, changes, 3, NULL, 0, NULL), ENOENT);
	CHECK_GONE(kq, 3, EVFILT_USER);
	drop(kq, 1, EVFILT_USER);
	close(kq);
}

TEST(two_errors_and_room_for_one, "K-034")
{
	struct kevent list[2], changes[3] = { kev(1, EVFILT_USER, EV_DELETE, 0, 0, U(1)),
		kev(999999, EVFILT_READ, EV_ADD, 0, 0, U(2)), kev(3, EVFILT_USER, EV_ADD, 0, 0, U(3)) };
	int kq = new_kq();
	CHECK_ERR(kevent(kq, changes, 3, list, 1, ZERO_TIMEOUT), EBADF);
	CHECK_GONE(kq, 3, EVFILT_USER);
	close(kq);
}

TEST(receipt_comes_before_the_event, "K-035")
{
	struct kevent ev;
	int kq = new_kq(), fds[2];
	make_pipe(fds);
	put(fds[1]);
	struct kevent add = kev((uintptr_t)fds[0], EVFILT_READ, EV_ADD | EV_RECEIPT, 0, 0, U(1));
	CHECK_RET(kevent(kq, &add, 1, &ev, 1, NULL), 1);
	is_error(&ev, fds[0], EVFILT_READ, 0, U(1));
	expect(kq, fds[0], EVFILT_READ, EV_RECEIPT, 0, 1, U(1));
	close_pipe(fds);
	close(kq);
}

TEST(receipts_in_the_order_of_the_changes, "K-036")
{
	struct kevent list[3], changes[3] = { kev(7, EVFILT_USER, EV_ADD | EV_RECEIPT, 0, 0, U(1)),
		kev(8, EVFILT_USER, EV_DELETE | EV_RECEIPT, 0, 0, U(2)),
		kev(9, EVFILT_TIMER, EV_ADD | EV_RECEIPT, 0, 1000, U(3)) };
	int kq = new_kq();
	CHECK_RET(kevent(kq, changes, 3, list, 3, NULL), 3);
	is_error(&list[0], 7, EVFILT_USER, 0, U(1));
	is_error(&list[1], 8, EVFILT_USER, ENOENT, U(2));
	is_error(&list[2], 9, EVFILT_TIMER, 0, U(3));
	close(kq);
}

TEST(receipt_without_room_ends_the_call, "K-037")
{
	struct kevent list[2], changes[3] = { kev(1, EVFILT_USER, EV_ADD | EV_RECEIPT, 0, 0, U(1)),
		kev(2, EVFILT_USER, EV_ADD | EV_RECEIPT, 0, 0, U(2)), kev(3, EVFILT_USER, EV_ADD, 0, 0, U(3)) };
	int kq = new_kq();
	CHECK_RET(kevent(kq, changes, 3, NULL, 0, NULL), 0);
	drop(kq, 1, EVFILT_USER);
	CHECK_GONE(kq, 2, EVFILT_USER);
	/* With room for one: the second receipt finds none, and its change is in force. */
	CHECK_RET(kevent(kq, changes, 3, list, 1, NULL), 0);
	drop(kq, 1, EVFILT_USER);
	drop(kq, 2, EVFILT_USER);
	CHECK_GONE(kq, 3, EVFILT_USER);
	close(kq);
}

TEST(entries_do_not_mix_with_events, "K-038 section 6")
{
	struct kevent list[ROOM], bad = kev(9, EVFILT_USER, EV_DELETE, 0, 0, U(9));
	int kq = new_kq();
	add_user(kq, 1, EV_CLEAR, U(1));
	trigger(kq, 1, U(1));
	long long begin = now_ms();
	CHECK_RET(kevent(kq, &bad, 1, list, ROOM, NULL), 1);
	CHECK(now_ms() - begin < 1000 * slow());
	is_error(&list[0], 9, EVFILT_USER, ENOENT, U(9));
	expect(kq, 1, EVFILT_USER, EV_CLEAR, 0, 0, U(1));
	close(kq);
}

TEST(one_array_for_changes_and_events, "K-039")
{
	enum { COUNT = 100 };
	struct kevent list[COUNT];
	int kq = new_kq();
	for (int i = 0; i < COUNT; i++)
		list[i] = kev((uintptr_t)(1000 + i), EVFILT_USER, EV_ADD | EV_RECEIPT, 0, 0, U(i));
	CHECK_RET(kevent(kq, list, COUNT, list, COUNT, NULL), COUNT);
	for (int i = 0; i < COUNT; i++)
		is_error(&list[i], 1000 + i, EVFILT_USER, 0, U(i));
	/* Only every third leaves an entry. */
	for (int i = 0; i < COUNT; i++)
		list[i] = kev((uintptr_t)(1000 + i), EVFILT_USER, i % 3 ? EV_DISABLE : EV_DELETE | EV_RECEIPT, 0, 0, U(i));
	CHECK_RET(kevent(kq, list, COUNT, list, COUNT, NULL), (COUNT + 2) / 3);
	for (int i = 0; i < COUNT; i += 3) {
		is_error(&list[i / 3], 1000 + i, EVFILT_USER, 0, U(i));
		CHECK_GONE(kq, 1000 + i, EVFILT_USER);
	}
	for (int i = 0; i < COUNT; i++)
		if (i % 3)
			drop(kq, 1000 + i, EVFILT_USER);
	close(kq);
}

TEST(output_flags_in_a_change, "K-040")
{
	int kq = new_kq(), fds[2];
	make_pipe(fds);
	put(fds[1]);
	change(kq, fds[0], EVFILT_READ, EV_ADD | EV_SYSFLAGS, 0, 0, U(1));
	expect(kq, fds[0], EVFILT_READ, 0, 0, 1, U(1));
	struct kevent ev = only(kq);
	ev.flags |= EV_ADD | EV_EOF | EV_ERROR;
	CHECK_RET(kevent(kq, &ev, 1, NULL, 0, NULL), 0);
	expect(kq, fds[0], EVFILT_READ, 0, 0, 1, U(1));
	close_pipe(fds);
	close(kq);
}

TEST(no_room_no_wait, "K-041")
{
	struct timespec bad = { -1, 0 };
	int kq = new_kq();
	long long begin = now_ms();
	CHECK_RET(kevent(kq, NULL, 0, NULL, 0, NULL), 0);
	CHECK_RET(kevent(kq, NULL, 0, NULL, 0, TIMEOUT_MS(10000)), 0);
	CHECK_RET(kevent(kq, NULL, 0, NULL, 0, &bad), 0); /* not even looked at (3.1, step 7) */
	add_user(kq, 1, EV_CLEAR, U(1));
	trigger(kq, 1, U(1));
	CHECK_RET(kevent(kq, NULL, 0, NULL, 0, NULL), 0);
	CHECK(now_ms() - begin < 5000);
	expect(kq, 1, EVFILT_USER, EV_CLEAR, 0, 0, U(1));
	close(kq);
}

TEST(null_lists, "K-047")
{
	int kq = new_kq();
	add_user(kq, 1, EV_CLEAR, U(1));
	trigger(kq, 1, U(1));
	CHECK_ERR(kevent(kq, NULL, 0, NULL, 1, ZERO_TIMEOUT), EFAULT);
	CHECK_ERR(kevent(kq, NULL, 1, NULL, 0, NULL), EFAULT);
	close(kq);
}

TEST(unknown_filters, "K-048")
{
	struct kevent ev;
	int kq = new_kq(), bad[] = { 1, -100, 32767, -32768, -14 };
	for (int i = 0; i < 5; i++) {
		CHECK_EQ(try_change(kq, 0, bad[i], EV_ADD, 0, 0, NULL), EINVAL);
		CHECK_EQ(try_change(kq, 0, bad[i], EV_DELETE, 0, 0, NULL), EINVAL);
	}
	/* An entry with filter 0 is skipped, whatever it asks for. */
	struct kevent skipped[2] = { kev(5, 0, EV_ADD | EV_RECEIPT, 0, 0, U(1)), kev(6, 0, EV_DELETE, 0, 0, U(2)) };
	CHECK_RET(kevent(kq, skipped, 2, &ev, 1, ZERO_TIMEOUT), 0);
	close(kq);
}

TEST(idents_are_not_truncated, "K-049")
{
	int kq = new_kq(), fds[2];
	make_pipe(fds);
	put(fds[1]);
#if UINTPTR_MAX > 0xffffffff
	uintptr_t wide[] = { (uintptr_t)fds[0] + (1ULL << 32), (uintptr_t)fds[0] + (1ULL << 31),
		(uintptr_t)fds[0] | (1ULL << 63), UINTPTR_MAX };
	for (int i = 0; i < 4; i++)
		CHECK_EQ(try_change(kq, wide[i], EVFILT_READ, EV_ADD, 0, 0, NULL), EBADF);
#endif
	expect_none(kq);
	close_pipe(fds);
	close(kq);
}

TEST(closed_descriptors, "K-050")
{
	int kq = new_kq(), fds[2], filters[] = { EVFILT_READ, EVFILT_WRITE, EVFILT_EMPTY };
	make_pipe(fds);
	add_read(kq, fds[0], 0, U(1));
	close_pipe(fds);
	uintptr_t bad[] = { (uintptr_t)fds[0], (uintptr_t)-1, 999999 };
	for (int i = 0; i < 9; i++) {
		CHECK_EQ(try_change(kq, bad[i / 3], filters[i % 3], EV_ADD, 0, 0, NULL), EBADF);
		CHECK_EQ(try_change(kq, bad[i / 3], filters[i % 3], EV_DELETE, 0, 0, NULL), EBADF);
		CHECK_EQ(try_change(kq, bad[i / 3], filters[i % 3], EV_ENABLE, 0, 0, NULL), EBADF);
	}
	close(kq);
}

TEST(knotes_that_are_not_there, "K-051")
{
	int kq = new_kq(), fds[2], filters[] = { EVFILT_READ, EVFILT_WRITE, EVFILT_EMPTY, EVFILT_TIMER, EVFILT_USER };
	unsigned flags[] = { EV_DELETE, EV_ENABLE, EV_DISABLE, 0, EV_CLEAR | EV_ONESHOT };
	make_pair(fds);
	for (int i = 0; i < 25; i++)
		CHECK_EQ(try_change(kq, (uintptr_t)fds[0], filters[i / 5], flags[i % 5], 0, 0, NULL), ENOENT);
	CHECK_EQ(try_change(kq, 1, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL), ENOENT);
	close_pipe(fds);
	close(kq);
}

TEST(enable_and_disable_together, "K-052")
{
	int kq = new_kq();
	add_user(kq, 1, 0, U(1));
	trigger(kq, 1, U(1));
	CHECK_EQ(try_change(kq, 1, EVFILT_USER, EV_ENABLE | EV_DISABLE, 0, 0, U(2)), EINVAL);
	expect(kq, 1, EVFILT_USER, 0, 0, 0, U(1));
	CHECK_EQ(try_change(kq, 2, EVFILT_USER, EV_ADD | EV_ENABLE | EV_DISABLE, 0, 0, U(2)), EINVAL);
	CHECK_GONE(kq, 2, EVFILT_USER);
	close(kq);
}
