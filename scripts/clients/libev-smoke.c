/*
 * libev-smoke TEST: one watcher kind of an installed libev on the back end BACKEND. Exit 0 = passed.
 * Every wait is bounded by the caller; a missing event shows as a time-out or as the 2 s guard timer.
 */
#include <ev.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK(x) do { if (!(x)) { printf("line %d: %s\n", __LINE__, #x); exit(1); } } while (0)

static struct ev_loop *loop;
static int count, pair[2];

static void guard_cb(EV_P_ ev_timer *w, int revents) { printf("nothing happened for 2 s\n"); exit(1); }

/* Run until `wanted` callbacks were counted. */
static void run_until(int wanted)
{
	ev_timer guard;
	ev_timer_init(&guard, guard_cb, 2., 0.);
	ev_timer_start(loop, &guard);
	while (count < wanted) ev_run(loop, EVRUN_ONCE);
	ev_timer_stop(loop, &guard);
	CHECK(count == wanted);
}

/* ev_run without waiting: what is ready now. */
static int ready_now(void)
{
	count = 0;
	ev_run(loop, EVRUN_NOWAIT);
	return count;
}

static void new_pair(void) { CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0); }
static void put(int fd) { CHECK(write(fd, "x", 1) == 1); }
static void take(int fd) { char c; CHECK(read(fd, &c, 1) == 1); }

static void count_io(EV_P_ ev_io *w, int revents) { CHECK(!(revents & EV_ERROR)); count++; }
static void count_timer(EV_P_ ev_timer *w, int revents) { count++; }
static void count_signal(EV_P_ ev_signal *w, int revents) { count++; }
static void count_async(EV_P_ ev_async *w, int revents) { count++; }
static void count_child(EV_P_ ev_child *w, int revents) { CHECK(WEXITSTATUS(w->rstatus) == 7); count++; }

static void echo_io(EV_P_ ev_io *w, int revents) { take(w->fd); put(w->fd); count++; }
static void ping_io(EV_P_ ev_io *w, int revents) { take(w->fd); if (++count < 1999) put(w->fd); }

/* A thousand round trips over a socket pair: no wake-up may be lost. */
static void test_io(void)
{
	ev_io a, b;
	new_pair();
	ev_io_init(&a, ping_io, pair[0], EV_READ);
	ev_io_init(&b, echo_io, pair[1], EV_READ);
	ev_io_start(loop, &a);
	ev_io_start(loop, &b);
	put(pair[0]);
	run_until(2000);
}

/* Level semantics by re-association; read and write interest in one watcher each; stop. */
static void test_level(void)
{
	ev_io r, w;
	new_pair();
	ev_io_init(&r, count_io, pair[0], EV_READ);
	ev_io_init(&w, count_io, pair[0], EV_WRITE);
	ev_io_start(loop, &r);
	CHECK(ready_now() == 0);
	put(pair[1]);
	for (int i = 0; i < 5; i++) CHECK(ready_now() == 1);
	ev_io_start(loop, &w);
	CHECK(ready_now() == 2);
	take(pair[0]);
	CHECK(ready_now() == 1);
	ev_io_stop(loop, &w);
	CHECK(ready_now() == 0);
	close(pair[1]);
	CHECK(ready_now() == 1); /* hang-up reads as readable */
	ev_io_stop(loop, &r);
	CHECK(ready_now() == 0);
}

static void test_timer(void)
{
	ev_timer t[10];
	ev_tstamp start = ev_time();
	for (int i = 0; i < 10; i++) {
		ev_timer_init(&t[i], count_timer, .02 * (i + 1), 0.);
		ev_timer_start(loop, &t[i]);
	}
	run_until(10);
	CHECK(ev_time() - start >= .19 && ev_time() - start < 1.9);
}

static void test_signal(void)
{
	ev_signal s;
	ev_signal_init(&s, count_signal, SIGUSR1);
	ev_signal_start(loop, &s);
	for (int i = 0; i < 50; i++) {
		count = 0;
		raise(SIGUSR1);
		run_until(1);
	}
}

static void test_child(void)
{
	ev_child c[5];
	for (int i = 0; i < 5; i++) {
		pid_t pid = fork();
		if (pid == 0) { usleep(20000 * i); _exit(7); }
		ev_child_init(&c[i], count_child, pid, 0);
		ev_child_start(loop, &c[i]);
	}
	run_until(5);
}

static ev_async async_watcher;
static void *sender(void *unused) { usleep(50000); ev_async_send(loop, &async_watcher); return NULL; }

/* Woken from another thread while the loop waits. */
static void test_async(void)
{
	ev_async_init(&async_watcher, count_async);
	ev_async_start(loop, &async_watcher);
	for (int i = 0; i < 5; i++) {
		pthread_t thread;
		count = 0;
		CHECK(pthread_create(&thread, NULL, sender, NULL) == 0);
		run_until(1);
		pthread_join(thread, NULL);
	}
}

/* The child makes its own port and re-arms all; the parent's goes on undisturbed. */
static void test_fork(void)
{
	ev_io r;
	int status;
	new_pair();
	ev_io_init(&r, count_io, pair[0], EV_READ);
	ev_io_start(loop, &r);
	CHECK(ready_now() == 0);
	pid_t pid = fork();
	if (pid == 0) {
		ev_loop_fork(loop);
		CHECK(ready_now() == 0);
		put(pair[1]);
		count = 0;
		run_until(1);
		take(pair[0]);
		_exit(0);
	}
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
	CHECK(ready_now() == 0);
	put(pair[1]);
	count = 0;
	run_until(1);
}

/* Close a watched descriptor and get its number again for another file. */
static void test_reuse(void)
{
	ev_io r;
	for (int i = 0; i < 20; i++) {
		new_pair();
		int fd = pair[0];
		ev_io_init(&r, count_io, fd, EV_READ);
		ev_io_start(loop, &r);
		put(pair[1]);
		CHECK(ready_now() == 1);
		ev_io_stop(loop, &r);
		close(fd);
		close(pair[1]);
		new_pair();
		CHECK(pair[0] == fd);
		ev_io_set(&r, fd, EV_READ);
		ev_io_start(loop, &r);
		CHECK(ready_now() == 0);
		put(pair[1]);
		CHECK(ready_now() == 1);
		ev_io_stop(loop, &r);
		close(pair[0]);
		close(pair[1]);
	}
}

/* More ready descriptors than one retrieval takes (libev begins with room for 64). */
static void test_many(void)
{
	enum { N = 300 };
	static ev_io r[N];
	for (int i = 0; i < N; i++) {
		new_pair();
		ev_io_init(&r[i], count_io, pair[0], EV_READ);
		ev_io_start(loop, &r[i]);
		put(pair[1]);
	}
	count = 0;
	for (int i = 0; i < 6 && count < N; i++) ev_run(loop, EVRUN_NOWAIT);
	CHECK(count >= N);
	for (int i = 0; i < N; i++) ev_io_stop(loop, &r[i]);
	CHECK(ready_now() == 0);
}

static void test_backend(void) { printf("backend %u\n", ev_backend(loop)); }

int main(int argc, char **argv)
{
	static const struct { const char *name; void (*run)(void); } tests[] = {
		{"backend", test_backend}, {"io", test_io}, {"level", test_level}, {"timer", test_timer},
		{"signal", test_signal}, {"child", test_child}, {"async", test_async}, {"fork", test_fork},
		{"reuse", test_reuse}, {"many", test_many},
	};
	loop = ev_default_loop(0);
	CHECK(loop && ev_backend(loop) == BACKEND);
	for (size_t i = 0; i < sizeof tests / sizeof *tests; i++)
		if (argc == 2 && strcmp(argv[1], tests[i].name) == 0) { tests[i].run(); return 0; }
	return 2;
}
