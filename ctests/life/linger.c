/*
 * A close() that blocks for two seconds (SO_LINGER with unsent data) while its number is in use again.
 *
 * The kernel frees the number before it waits, so another thread gets it from the next open(). Whatever the
 * library does after the real close would hit the new owner of the number; whatever it holds across the real
 * close would stop everybody.
 * Copyright the evshim authors; MIT or Apache-2.0, at your choice.
 */
#include "life.h"
#include <netinet/in.h>
#include <sys/eventfd.h>

struct lingerer {
	int port;
	int fd;   /* its close blocks */
	int peer; /* the other end, which never reads */
	int other; /* what dup2 puts in the place of fd */
	FILE *stream;
	long long took; /* how long the closing call blocked, ms */
	int result;
};

static int loopback_listener(struct sockaddr_in *address)
{
	socklen_t length = sizeof *address;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	memset(address, 0, sizeof *address);
	address->sin_family = AF_INET;
	address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || bind(fd, (struct sockaddr *)address, length) != 0 || listen(fd, 1) != 0
		|| getsockname(fd, (struct sockaddr *)address, &length) != 0)
		SKIP("no TCP on the loopback interface");
	return fd;
}

/* A connected socket whose send queue cannot drain, and whose end of file is queued as an event. */
static void lingerer_open(struct lingerer *l)
{
	static const char block[65536];
	struct linger linger = { .l_onoff = 1, .l_linger = 2 };
	struct sockaddr_in address;
	int listener;
	SKIP_UNDER_VALGRIND("stops all threads while one is in close");
	listener = loopback_listener(&address);
	l->port = port_create();
	l->other = eventfd(1, EFD_CLOEXEC);
	l->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK_OK(connect(l->fd, (struct sockaddr *)&address, sizeof address));
	l->peer = accept(listener, NULL, NULL);
	CHECK(l->peer >= 0);
	close(listener);
	while (send(l->fd, block, sizeof block, MSG_DONTWAIT) > 0)
		;
	CHECK_EQ(errno, EAGAIN);
	CHECK_OK(setsockopt(l->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger));
	l->stream = NULL;
	CHECK_OK(watch(l->port, l->fd, POLLIN));
	put(l->peer);
	CHECK_FD_EVENT(l->port, l->fd);
	take(l->fd); /* unread data would make close() reset the connection at once */
	CHECK_OK(shutdown(l->peer, SHUT_WR));
	CHECK_OK(watch(l->port, l->fd, POLLIN));
	CHECK_EQ(pending(l->port), 1);
}

static void lingerer_close(struct lingerer *l)
{
	close(l->peer);
	close(l->port);
	close(l->other);
}

static void *plain_close(void *arg)
{
	struct lingerer *l = arg;
	long long start = now_ms();
	l->result = close(l->fd);
	l->took = now_ms() - start;
	return NULL;
}

static void *stream_close(void *arg)
{
	struct lingerer *l = arg;
	long long start = now_ms();
	l->result = fclose(l->stream);
	l->took = now_ms() - start;
	return NULL;
}

static void *replacing_close(void *arg)
{
	struct lingerer *l = arg;
	long long start = now_ms();
	l->result = dup2(l->other, l->fd) == l->fd ? 0 : -1;
	l->took = now_ms() - start;
	return NULL;
}

#ifdef __GLIBC__
static void *ranged_close(void *arg)
{
	struct lingerer *l = arg;
	long long start = now_ms();
	l->result = close_range((unsigned)l->fd, (unsigned)l->fd, 0);
	if (l->result != 0) /* an old kernel */
		l->result = close(l->fd);
	l->took = now_ms() - start;
	return NULL;
}
#endif

/* An event descriptor at the very number that is being closed. */
static void seize(int number)
{
	long long end = now_ms() + 1000;
	int fd = -1, event = eventfd(1, EFD_CLOEXEC);
	CHECK(event >= 0 && event != number);
	while (now_ms() < end) {
		fd = fcntl(event, F_DUPFD_CLOEXEC, number);
		if (fd == number) {
			close(event);
			return;
		}
		close(fd);
	}
	FAIL("number %d does not come free, last was %d", number, fd);
}

/* Everything that a program may want of ports while somebody's close blocks, and none of it may wait for it. */
static void use_ports_meanwhile(struct lingerer *l)
{
	long long start = now_ms();
	int fds[2], another = port_create();
	make_pair(fds);
	CHECK_PORT_WORKS(another);
	CHECK_OK(watch(another, fds[0], POLLIN));
	put(fds[1]);
	CHECK_FD_EVENT(another, fds[0]);
	CHECK_OK(watch(l->port, fds[0], POLLIN));
	CHECK_FD_EVENT(l->port, fds[0]);
	CHECK_EQ(unwatch(l->port, fds[0]), -1);
	CHECK_OK(close(another));
	close_pipe(fds);
	CHECK(now_ms() - start < 700LL * slow());
}

/* `seized`: the number has to be taken again; otherwise the closing call itself renamed it. */
static void lingering(void *(*closer)(void *), bool streamed, bool seized)
{
	struct lingerer l;
	struct thread closing;
	lingerer_open(&l);
	if (streamed)
		l.stream = fdopen(l.fd, "r");
	thread_start(&closing, closer, &l);
	if (seized)
		seize(l.fd);
	else
		sleep_ms(200);
	CHECK_ERR(unwatch(l.port, l.fd), ENOENT);
	CHECK_EQ(pending(l.port), 0);
	CHECK_OK(watch(l.port, l.fd, POLLIN));
	CHECK_FD_EVENT(l.port, l.fd);
	use_ports_meanwhile(&l);
	CHECK_OK(watch(l.port, l.fd, POLLIN)); /* its event stays queued while the close ends */
	CHECK_EQ(pending(l.port), 1);
	bool overlapped = !thread_done(&closing);
	thread_join(&closing);
	CHECK_EQ(l.result, 0);
	if (!overlapped || l.took < 1000)
		SKIP("close with SO_LINGER does not block on this host");
	CHECK_EQ(pending(l.port), 1);
	CHECK_FD_EVENT(l.port, l.fd);
	take(l.peer);
	CHECK_OK(watch(l.port, l.fd, POLLIN));
	CHECK_OK(unwatch(l.port, l.fd));
	CHECK_EQ(pending(l.port), 0);
	close(l.fd);
	lingerer_close(&l);
}

TEST(number_reused_while_close_blocks, "R4.20 R4.23") { lingering(plain_close, false, true); }
TEST(number_reused_while_fclose_blocks, "R4.20 R4.23") { lingering(stream_close, true, true); }
TEST(number_replaced_while_dup2_blocks, "R4.20 R4.23") { lingering(replacing_close, false, false); }
#ifdef __GLIBC__
TEST(number_reused_while_close_range_blocks, "R4.20 R4.23 T-061") { lingering(ranged_close, false, true); }
#endif

/* An armed association of the new owner gets its event while the old number's close still blocks. */
TEST(new_association_works_while_close_blocks, "R4.20 R4.23 T-066")
{
	struct lingerer l;
	struct thread closing;
	uint64_t value;
	lingerer_open(&l);
	l.stream = NULL;
	thread_start(&closing, plain_close, &l);
	seize(l.fd);
	CHECK_EQ(read(l.fd, &value, sizeof value), sizeof value);
	long long start = now_ms();
	for (int i = 0; i < 200 && now_ms() - start < 1000; i++) {
		CHECK_OK(watch(l.port, l.fd, POLLIN));
		CHECK_EQ(pending(l.port), 0);
		value = 1;
		CHECK_EQ(write(l.fd, &value, sizeof value), sizeof value);
		CHECK_FD_EVENT(l.port, l.fd);
		CHECK_EQ(read(l.fd, &value, sizeof value), sizeof value);
	}
	CHECK_OK(watch(l.port, l.fd, POLLIN)); /* armed across the end of the old close */
	thread_join(&closing);
	CHECK_EQ(write(l.fd, &value, sizeof value), sizeof value);
	CHECK_FD_EVENT(l.port, l.fd);
	close(l.fd);
	lingerer_close(&l);
}

/* fork() while another thread is inside a blocking close: nothing that fork needs may be held there. */
TEST(fork_while_close_blocks, "R4.20 T-302")
{
	struct lingerer l;
	struct thread closing;
	lingerer_open(&l);
	thread_start(&closing, plain_close, &l);
	sleep_ms(100);
	long long start = now_ms();
	pid_t pid = fork();
	if (pid == 0) {
		int port = port_create();
		_exit(port >= 0 && port_send(port, 1, NULL) == 0 && pending(port) == 1 ? 0 : 1);
	}
	CHECK_EQ(wait_child(pid), 0);
	CHECK(now_ms() - start < 1000LL * slow());
	thread_join(&closing);
	CHECK_PORT_WORKS(l.port);
	lingerer_close(&l);
}
