/* Chains of 500 queues (K-133): the bottom moves, and the top knows. */
#include "harness.h"
#include "kqueue.h"

enum { DEPTH = 500 };

static int chain[DEPTH], bottom[2];

/* chain[0] is the bottom; the last one the top. */
static void make_chain(void)
{
	struct rlimit limit;
	CHECK_OK(getrlimit(RLIMIT_NOFILE, &limit));
	limit.rlim_cur = limit.rlim_max < 4096 ? limit.rlim_max : 4096;
	CHECK_OK(setrlimit(RLIMIT_NOFILE, &limit));
	make_pipe(bottom);
	for (int i = 0; i < DEPTH; i++) {
		chain[i] = new_kq();
		if (i > 0)
			add_read(chain[i], chain[i - 1], 0, U(i));
	}
	expect_none(chain[DEPTH - 1]);
}

static void close_chain(bool from_the_top)
{
	long long begin = now_ms();
	for (int i = 0; i < DEPTH; i++)
		CHECK_OK(close(chain[from_the_top ? DEPTH - 1 - i : i]));
	CHECK(now_ms() - begin < 3000 * slow());
	close_pipe(bottom);
}

TEST_LIMIT(trigger_at_the_bottom, "K-133", 20)
{
	make_chain();
	add_user(chain[0], 5, EV_CLEAR, U(5));
	expect_none(chain[DEPTH - 1]);
	trigger(chain[0], 5, U(5));
	expect(chain[DEPTH - 1], chain[DEPTH - 2], EVFILT_READ, 0, 0, 1, U(DEPTH - 1));
	CHECK(readable(chain[DEPTH - 1]));
	expect(chain[1], chain[0], EVFILT_READ, 0, 0, 1, U(1));
	expect(chain[0], 5, EVFILT_USER, EV_CLEAR, 0, 0, U(5));
	expect_none(chain[1]);
	close_chain(false);
}

TEST_LIMIT(pipe_at_the_bottom_and_kevent_at_the_top, "K-133 K-131", 20)
{
	struct sleeper s;
	make_chain();
	add_read(chain[0], bottom[0], 0, U(0));
	sleep_in(&s, chain[DEPTH - 1], -1);
	put(bottom[1]);
	join_sleeper(&s, 1, 0);
	is_event(&s.list[0], chain[DEPTH - 2], EVFILT_READ, 0, 0, 1, U(DEPTH - 1));
	expect(chain[0], bottom[0], EVFILT_READ, 0, 0, 1, U(0));
	close_chain(true);
}

static void *poll_the_top(void *arg)
{
	struct pollfd p = { .fd = chain[DEPTH - 1], .events = POLLIN };
	return poll(&p, 1, -1) == 1 && p.revents == POLLIN ? arg : NULL;
}

TEST_LIMIT(pipe_at_the_bottom_and_poll_at_the_top, "K-133 K-130", 20)
{
	struct thread t;
	make_chain();
	add_read(chain[0], bottom[0], 0, U(0));
	thread_start(&t, poll_the_top, &t);
	wait_until_blocked(t.tid);
	put(bottom[1]);
	CHECK(thread_join(&t) == &t);
	close_chain(false);
}

TEST_LIMIT(timer_at_the_bottom, "K-133", 20)
{
	struct sleeper s;
	make_chain();
	sleep_in(&s, chain[DEPTH - 1], -1);
	change(chain[0], 1, EVFILT_TIMER, EV_ADD | EV_ONESHOT, 0, 20, U(0));
	join_sleeper(&s, 1, 0);
	is_event(&s.list[0], chain[DEPTH - 2], EVFILT_READ, 0, 0, 1, U(DEPTH - 1));
	close_chain(true);
}

/* A chain that grows beyond what can be watched refuses with nothing half done. */
TEST_LIMIT(deeper_than_it_can_be, "K-133 K-303", 30)
{
	make_chain();
	add_read(chain[0], bottom[0], 0, U(0));
	int top = new_kq();
	int error = try_change(top, (uintptr_t)chain[DEPTH - 1], EVFILT_READ, EV_ADD, 0, 0, U(1));
	CHECK(error == 0 || error == ENOMEM);
	put(bottom[1]);
	if (error == 0)
		expect(top, chain[DEPTH - 1], EVFILT_READ, 0, 0, 1, U(1));
	else
		CHECK_GONE(top, chain[DEPTH - 1], EVFILT_READ);
	expect(chain[DEPTH - 1], chain[DEPTH - 2], EVFILT_READ, 0, 0, 1, U(DEPTH - 1));
	close(top);
	close_chain(true);
}
