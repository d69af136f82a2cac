/* Idioms of programs that are known to use event ports (section 19). */
#include "harness.h"
#include "events.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

/* ---------------------------------------------------------------- nginx: echo server in one loop */

enum { CLIENTS = 100, MESSAGES = 3, SLOTS = 512 };

/* nginx marks a life of a slot with the low bit of the user pointer and drops events of an earlier life. */
static struct slot {
	int fd;
	unsigned instance;
} slots[SLOTS];

static void *tagged(struct slot *s)
{
	return (void *)((uintptr_t)s | s->instance);
}

static struct slot *slot_of(int fd)
{
	CHECK(fd < SLOTS);
	return &slots[fd];
}

static int listen_on_loopback(struct sockaddr_in *at)
{
	socklen_t size = sizeof *at;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	*at = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	CHECK_EQ(bind(fd, (struct sockaddr *)at, sizeof *at), 0);
	CHECK_EQ(listen(fd, CLIENTS), 0);
	CHECK_EQ(getsockname(fd, (struct sockaddr *)at, &size), 0);
	return fd;
}

static void *client_main(void *arg)
{
	const struct sockaddr_in *at = arg;
	int fd[CLIENTS];
	for (int i = 0; i < CLIENTS; i++) {
		fd[i] = socket(AF_INET, SOCK_STREAM, 0);
		if (connect(fd[i], (const struct sockaddr *)at, sizeof *at) != 0)
			return "connect";
	}
	for (int m = 0; m < MESSAGES; m++) {
		unsigned char byte = (unsigned char)m, answer;
		for (int i = 0; i < CLIENTS; i++)
			if (write(fd[i], &byte, 1) != 1)
				return "write";
		for (int i = 0; i < CLIENTS; i++)
			if (read(fd[i], &answer, 1) != 1 || answer != byte)
				return "read";
	}
	for (int i = 0; i < CLIENTS; i++)
		close(fd[i]);
	return NULL;
}

/* One event of the echo server; returns 1 if a connection ended. */
static int serve(int port, int listener, const port_event_t *pe)
{
	struct slot *s = (struct slot *)((uintptr_t)pe->portev_user & ~(uintptr_t)1);
	unsigned char byte;
	CHECK_EQ(pe->portev_source, PORT_SOURCE_FD);
	CHECK_EQ(pe->portev_events & ~(POLLIN | POLLOUT | POLLERR | POLLHUP | POLLNVAL), 0);
	if (s->fd == -1 || s->instance != ((uintptr_t)pe->portev_user & 1))
		return 0; /* closed earlier in the same batch */
	CHECK_EQ(pe->portev_object, s->fd);
	if (s->fd == listener) {
		int fd;
		while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
			struct slot *new = slot_of(fd);
			new->fd = fd;
			new->instance ^= 1;
			watch(port, fd, POLLIN, tagged(new));
		}
		CHECK_EQ(errno, EAGAIN);
		watch(port, listener, POLLIN, tagged(s));
		return 0;
	}
	ssize_t n = read(s->fd, &byte, 1);
	if (n == 1) {
		CHECK_EQ(write(s->fd, &byte, 1), 1);
		watch(port, s->fd, POLLIN, tagged(s));
		return 0;
	}
	CHECK_EQ(n, 0);
	CHECK_OK(close(s->fd));
	s->fd = -1;
	return 1;
}

TEST_LIMIT(nginx_loop, "T-350 R4.20 R7.1", 30)
{
	struct sockaddr_in at;
	struct thread client;
	int port = new_port(), listener = listen_on_loopback(&at), ended = 0;
	for (int i = 0; i < SLOTS; i++)
		slots[i].fd = -1;
	slot_of(listener)->fd = listener;
	watch(port, listener, POLLIN, tagged(slot_of(listener)));
	thread_start(&client, client_main, &at);
	while (ended < CLIENTS) {
		port_event_t list[32];
		unsigned n = 1;
		int result = port_getn(port, list, 32, &n, LONG_TIMEOUT);
		if (result == -1)
			FAIL("port_getn: %s, %d of %d connections ended", strerror(errno), ended, CLIENTS);
		CHECK(n >= 1 && n <= 32);
		for (unsigned i = 0; i < n; i++)
			ended += serve(port, listener, &list[i]);
	}
	const char *error = thread_join(&client);
	if (error != NULL)
		FAIL("client: %s", error);
	expect_none(port);
	close(listener);
	close(port);
}

TEST(nginx_notify, "19.1 R6.1")
{
	int port = new_port(), handler;
	port_event_t list[32];
	unsigned n = 1;
	CHECK_OK(port_send(port, 0, &handler));
	CHECK_OK(port_getn(port, list, 32, &n, NULL));
	CHECK_EQ(n, 1);
	is_user(&list[0], 0, &handler);
	close(port);
}

/* Closing one descriptor while the event of another one is handled withdraws what is queued. */
TEST(close_inside_a_batch, "T-350 R4.20")
{
	int port = new_port(), a[2], b[2];
	make_pipe(a);
	make_pipe(b);
	put(a[1]);
	put(b[1]);
	watch(port, a[0], POLLIN, USER('a'));
	watch(port, b[0], POLLIN, USER('b'));
	get_fd(port, a[0], POLLIN, USER('a'));
	close_pipe(b);
	make_pipe(b);
	watch(port, b[0], POLLIN, USER('c'));
	expect_none(port);
	put(b[1]);
	get_fd(port, b[0], POLLIN, USER('c'));
	close_pipe(a);
	close_pipe(b);
	close(port);
}

/* ---------------------------------------------------------------- libuv: can this be watched at all? */

/* uv__io_check_fd: the program is ended if the dissociation fails. */
static void check_fd(int fd)
{
	int port = new_port();
	for (int i = 0; i < 3; i++) {
		CHECK_OK(port_associate(port, PORT_SOURCE_FD, fd, POLLIN, 0));
		CHECK_OK(port_dissociate(port, PORT_SOURCE_FD, fd));
		CHECK_OK(port_associate(port, PORT_SOURCE_FD, fd, POLLIN | POLLOUT, 0));
		CHECK_OK(port_dissociate(port, PORT_SOURCE_FD, fd));
	}
	expect_none(port);
	CHECK_OK(close(port));
	CHECK_OK(close(fd));
}

TEST(libuv_check, "T-351 R4.4 4.4")
{
	int fds[2], ready[2], inner = new_port();
	make_pipe(fds);
	make_pipe(ready);
	put(ready[1]);
	check_fd(fds[0]);
	check_fd(fds[1]);
	check_fd(ready[0]);
	close(ready[1]);
	for (int kind = SOCK_STREAM; kind <= SOCK_DGRAM; kind++) {
		CHECK_OK(socketpair(AF_UNIX, kind, 0, fds));
		put(fds[1]);
		check_fd(fds[0]);
		check_fd(fds[1]);
		check_fd(socket(AF_INET, kind, 0));
	}
	CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
	close(fds[1]);
	check_fd(fds[0]);
	check_fd(open("/", O_RDONLY | O_DIRECTORY));
	check_fd(open("/proc/self/exe", O_RDONLY));
	check_fd(open("/dev/null", O_RDWR));
	check_fd(eventfd(0, 0));
	check_fd(eventfd(1, 0));
	CHECK_OK(port_send(inner, 1, NULL));
	check_fd(inner);
	int terminal = posix_openpt(O_RDWR | O_NOCTTY);
	if (terminal >= 0)
		check_fd(terminal);
}

/* ---------------------------------------------------------------- redis: the batch is armed again first */

TEST_LIMIT(redis_loop, "T-352 R4.4", 30)
{
	const int rounds = 10000 / slow();
	int port = new_port(), s[2], served = 0, answered = 0, waiting[2], count = 0;
	CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	watch(port, s[0], POLLIN, (void *)(uintptr_t)POLLIN);
	watch(port, s[1], POLLIN, (void *)(uintptr_t)POLLIN);
	put(s[1]);
	while (answered < rounds) {
		port_event_t list[512];
		unsigned n = 1;
		for (int i = 0; i < count; i++)
			watch(port, waiting[i], POLLIN, (void *)(uintptr_t)POLLIN);
		CHECK_EQ(port_getn(port, list, 512, &n, LONG_TIMEOUT), 0);
		CHECK(n == 1 || n == 2);
		count = 0;
		for (unsigned i = 0; i < n; i++) {
			int fd = (int)list[i].portev_object;
			is_fd(&list[i], fd, POLLIN, (void *)(uintptr_t)POLLIN);
			CHECK(fd == s[0] || fd == s[1]);
			take(fd);
			if (fd == s[0])
				served++;
			else
				answered++;
			put(fd);
			waiting[count++] = fd;
		}
	}
	CHECK(served == rounds || served == rounds + 1);
	close_pipe(s);
	close(port);
}

/* aeApiDelEvent: a descriptor of the last batch is not associated, all others are dissociated with success. */
TEST(redis_delete, "T-352 4.4")
{
	int port = new_port(), a[2], b[2];
	make_pipe(a);
	make_pipe(b);
	put(a[1]);
	put(b[1]);
	watch(port, a[0], POLLIN, USER(1));
	watch(port, b[0], POLLIN, USER(2));
	get_fd(port, a[0], POLLIN, USER(1));
	CHECK_OK(unwatch(port, b[0]));
	watch(port, a[0], POLLIN, USER(1));
	CHECK_OK(unwatch(port, a[0]));
	expect_none(port);
	close_pipe(a);
	close_pipe(b);
	close(port);
}

/* ---------------------------------------------------------------- Go: registered with no events at open */

TEST(go_arms_later, "T-353 R4.1 R4.3")
{
	int port = new_port(), s[2];
	CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	watch(port, s[0], 0, USER(1));
	expect_none(port);
	put(s[1]);
	expect_none(port);
	watch(port, s[0], POLLIN, USER(1));
	CHECK_EQ(pending(port), 1);
	get_fd(port, s[0], POLLIN, USER(1));
	close_pipe(s);
	close(port);
}

TEST(go_two_directions, "T-353 R4.3 R4.5")
{
	int port = new_port(), s[2], armed = 0, reads = 0, writes = 0;
	CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	watch(port, s[0], 0, USER(1));
	put(s[1]);
	/* netpollarm: add one direction to what is armed; netpoll: what fired is disarmed, the rest armed again. */
	for (int round = 0; round < 200; round++) {
		armed |= round % 3 == 2 ? POLLIN | POLLOUT : round % 2 == 0 ? POLLIN : POLLOUT;
		watch(port, s[0], armed, USER(1));
		port_event_t pe = get_one(port);
		CHECK(pe.portev_events != 0 && (pe.portev_events & ~armed) == 0);
		reads += (pe.portev_events & POLLIN) != 0;
		writes += (pe.portev_events & POLLOUT) != 0;
		armed &= ~pe.portev_events;
		if (armed != 0)
			watch(port, s[0], armed, USER(1));
	}
	CHECK(reads > 60 && writes > 60);
	close_pipe(s);
	close(port);
}

/* ---------------------------------------------------------------- nng and MySQL: stopping a poller thread */

static int stop_port;

static void *poller_main(void *arg)
{
	port_event_t pe;
	(void)arg;
	for (;;) {
		unsigned n = 1;
		if (port_getn(stop_port, &pe, 1, &n, NULL) != 0) {
			if (errno == EINTR)
				continue;
			return errno == EBADF || errno == EBADFD ? NULL : (void *)"another error";
		}
		if (pe.portev_source == PORT_SOURCE_ALERT)
			return NULL;
	}
}

TEST_LIMIT(nng_stop, "T-355 R7.30 R8.3", 30)
{
	struct thread t;
	for (int i = 0; i < 100; i++) {
		stop_port = new_port();
		thread_start(&t, poller_main, NULL);
		if (i % 2 == 0)
			wait_until_blocked(t.tid);
		long long begin = now_ms();
		CHECK_OK(port_alert(stop_port, PORT_ALERT_SET, 1, NULL));
		CHECK_OK(close(stop_port));
		const char *error = thread_join(&t);
		if (error != NULL)
			FAIL("the poller ended with %s", error);
		CHECK(now_ms() - begin < 1000 * slow());
	}
}

TEST(stop_by_close_alone, "T-355 R7.30")
{
	struct thread t;
	for (int i = 0; i < 20; i++) {
		stop_port = new_port();
		thread_start(&t, poller_main, NULL);
		wait_until_blocked(t.tid);
		CHECK_OK(close(stop_port));
		CHECK(thread_join(&t) == NULL);
	}
}

/* ---------------------------------------------------------------- lighttpd: ask first, then take */

TEST(lighttpd_count_then_take, "T-356 R7.1")
{
	enum { COUNT = 20 };
	int port = new_port(), fds[COUNT][2];
	port_event_t list[64];
	for (int i = 0; i < COUNT; i++) {
		make_pipe(fds[i]);
		watch(port, fds[i][0], POLLIN, USER(i));
	}
	for (int ready = 1; ready <= COUNT; ready++) {
		for (int i = 0; i < ready; i++)
			put(fds[i][1]);
		unsigned queued = pending(port), n = queued;
		CHECK_EQ(queued, ready);
		CHECK_OK(port_getn(port, list, 64, &n, NULL));
		CHECK_EQ(n, ready);
		for (unsigned j = 0; j < n; j++) {
			int fd = (int)list[j].portev_object;
			take(fd);
			watch(port, fd, POLLIN, list[j].portev_user);
		}
	}
	expect_none(port);
	for (int i = 0; i < COUNT; i++)
		close_pipe(fds[i]);
	close(port);
}
