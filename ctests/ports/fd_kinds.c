/* Every kind of descriptor as the object of an association (section 4.2). */
#include "harness.h"
#include "events.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <termios.h>

/* A descriptor that is not readable yet and becomes so only by make_ready, until drain. */
struct kind {
	int fd;
	int other; /* the descriptor to act on */
	void (*make_ready)(struct kind *);
	void (*drain)(struct kind *);
};

static void by_put(struct kind *k)
{
	put(k->other);
}

static void by_take(struct kind *k)
{
	take(k->fd);
}

/* The whole life of an association, the same for every kind. */
static void check_kind(struct kind *k)
{
	int port = new_port();
	for (int i = 0; i < 3; i++) {
		watch(port, k->fd, POLLIN, USER(i));
		expect_none(port);
		k->make_ready(k);
		get_fd(port, k->fd, POLLIN, USER(i));
		expect_none(port);
		watch(port, k->fd, POLLIN, USER(i + 10));
		get_fd(port, k->fd, POLLIN, USER(i + 10));
		watch(port, k->fd, POLLIN, USER(i + 20));
		CHECK_OK(unwatch(port, k->fd));
		expect_none(port);
		k->drain(k);
		watch(port, k->fd, POLLIN, USER(i + 30));
		expect_none(port);
		CHECK_OK(unwatch(port, k->fd));
	}
	close(port);
}

TEST(pipe_end, "T-068 R4.4")
{
	int fds[2];
	make_pipe(fds);
	check_kind(&(struct kind){ fds[0], fds[1], by_put, by_take });
	close_pipe(fds);
}

TEST(unix_stream_socket, "T-068 R4.4")
{
	int s[2];
	CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	check_kind(&(struct kind){ s[0], s[1], by_put, by_take });
	close_pipe(s);
}

TEST(unix_datagram_socket, "T-068 R4.4")
{
	int s[2];
	CHECK_OK(socketpair(AF_UNIX, SOCK_DGRAM, 0, s));
	check_kind(&(struct kind){ s[0], s[1], by_put, by_take });
	close_pipe(s);
}

static void bump(struct kind *k)
{
	CHECK_OK(eventfd_write(k->fd, 1));
}

static void read_counter(struct kind *k)
{
	uint64_t value;
	CHECK_EQ(read(k->fd, &value, sizeof value), sizeof value);
}

TEST(event_descriptor, "T-068 R4.4")
{
	int fd = eventfd(0, EFD_CLOEXEC);
	CHECK(fd >= 0);
	check_kind(&(struct kind){ fd, fd, bump, read_counter });
	close(fd);
}

static void expire(struct kind *k)
{
	struct itimerspec soon = { { 0, 0 }, { 0, 1000000 } };
	CHECK_OK(timerfd_settime(k->fd, 0, &soon, NULL));
}

TEST(timer_descriptor, "T-068 R4.4")
{
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	CHECK(fd >= 0);
	check_kind(&(struct kind){ fd, fd, expire, read_counter });
	close(fd);
}

static void raise_signal(struct kind *k)
{
	(void)k;
	CHECK_OK(kill(getpid(), SIGUSR1));
}

static void read_signal(struct kind *k)
{
	struct signalfd_siginfo info;
	CHECK_EQ(read(k->fd, &info, sizeof info), sizeof info);
	CHECK_EQ(info.ssi_signo, SIGUSR1);
}

TEST(signal_descriptor, "T-068 R4.4")
{
	sigset_t mask;
	sigemptyset(&mask);
	sigaddset(&mask, SIGUSR1);
	CHECK_OK(pthread_sigmask(SIG_BLOCK, &mask, NULL));
	int fd = signalfd(-1, &mask, SFD_CLOEXEC);
	CHECK(fd >= 0);
	check_kind(&(struct kind){ fd, fd, raise_signal, read_signal });
	CHECK_OK(pthread_sigmask(SIG_UNBLOCK, &mask, NULL));
	close(fd);
}

static int tcp_listener(struct sockaddr_in *at)
{
	socklen_t size = sizeof *at;
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	*at = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	CHECK_EQ(bind(fd, (struct sockaddr *)at, sizeof *at), 0);
	CHECK_EQ(getsockname(fd, (struct sockaddr *)at, &size), 0);
	return fd;
}

/* A connected pair of TCP sockets. */
static void tcp_pair(int s[2])
{
	struct sockaddr_in at;
	int listener = tcp_listener(&at);
	CHECK_EQ(listen(listener, 1), 0);
	s[0] = socket(AF_INET, SOCK_STREAM, 0);
	CHECK_EQ(connect(s[0], (struct sockaddr *)&at, sizeof at), 0);
	s[1] = accept(listener, NULL, NULL);
	CHECK(s[1] >= 0);
	close(listener);
}

static struct sockaddr_in listener_at;

static void connect_to(struct kind *k)
{
	if (k->other >= 0)
		close(k->other);
	k->other = socket(AF_INET, SOCK_STREAM, 0);
	CHECK_EQ(connect(k->other, (struct sockaddr *)&listener_at, sizeof listener_at), 0);
}

static void accept_one(struct kind *k)
{
	int fd = accept(k->fd, NULL, NULL);
	CHECK(fd >= 0);
	close(fd);
}

TEST(listening_socket, "T-068 R4.4")
{
	struct kind k = { tcp_listener(&listener_at), -1, connect_to, accept_one };
	CHECK_EQ(listen(k.fd, 8), 0);
	check_kind(&k);
	close(k.other);
	close(k.fd);
}

TEST(tcp_socket, "T-068 R4.4")
{
	int s[2];
	tcp_pair(s);
	check_kind(&(struct kind){ s[0], s[1], by_put, by_take });
	close_pipe(s);
}

TEST(fifo, "T-068 R4.4")
{
	char dir[] = "/tmp/evshim-fifo-XXXXXX", path[64];
	CHECK(mkdtemp(dir) != NULL);
	snprintf(path, sizeof path, "%s/f", dir);
	CHECK_OK(mkfifo(path, 0600));
	int reader = open(path, O_RDONLY | O_NONBLOCK), writer = open(path, O_WRONLY);
	unlink(path);
	rmdir(dir);
	CHECK(reader >= 0 && writer >= 0);
	check_kind(&(struct kind){ reader, writer, by_put, by_take });
	close(reader);
	close(writer);
}

TEST(pseudo_terminal, "T-068 R4.4")
{
	struct termios raw;
	int master = posix_openpt(O_RDWR | O_NOCTTY);
	if (master < 0 || grantpt(master) != 0 || unlockpt(master) != 0)
		SKIP("no pseudo-terminal");
	int slave = open(ptsname(master), O_RDWR | O_NOCTTY);
	CHECK(slave >= 0);
	CHECK_EQ(tcgetattr(slave, &raw), 0);
	cfmakeraw(&raw);
	CHECK_EQ(tcsetattr(slave, TCSANOW, &raw), 0);
	check_kind(&(struct kind){ slave, master, by_put, by_take });
	check_kind(&(struct kind){ master, slave, by_put, by_take });
	close(slave);
	close(master);
}

TEST(writable_socket, "T-049 R4.6")
{
	int port = new_port(), s[2];
	CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	watch(port, s[0], POLLOUT, USER(1));
	port_event_t pe = get_one(port);
	CHECK_EQ(pe.portev_events, POLLOUT);
	put(s[1]);
	watch(port, s[0], POLLIN | POLLOUT, USER(2));
	pe = get_one(port);
	CHECK_EQ(pe.portev_events, POLLIN | POLLOUT);
	close_pipe(s);
	close(port);
}

TEST(writable_again, "R4.4 R4.6")
{
	static char block[4096];
	int port = new_port(), s[2];
	CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, s));
	while (write(s[0], block, sizeof block) > 0)
		;
	watch(port, s[0], POLLOUT, USER(1));
	expect_none(port);
	while (read(s[1], block, sizeof block) > 0)
		;
	get_fd(port, s[0], POLLOUT, USER(1));
	close_pipe(s);
	close(port);
}

TEST(refused_connection, "T-050 R4.6")
{
	struct sockaddr_in at;
	int error = 0, port = new_port(), closed = tcp_listener(&at);
	socklen_t size = sizeof error;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	close(closed);
	if (connect(fd, (struct sockaddr *)&at, sizeof at) == 0 || errno != EINPROGRESS)
		SKIP("the connection is refused at once");
	watch(port, fd, POLLOUT, USER(1));
	get_fd(port, fd, POLLOUT, USER(1));
	/* The library must not have looked at the error: reading it takes it away. */
	CHECK_EQ(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size), 0);
	CHECK_EQ(error, ECONNREFUSED);
	close(fd);
	close(port);
}

TEST(connection_completes, "T-050 R4.6")
{
	struct sockaddr_in at;
	int error = -1, port = new_port(), listener = tcp_listener(&at);
	socklen_t size = sizeof error;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	CHECK_EQ(listen(listener, 1), 0);
	watch(port, listener, POLLIN, USER('l'));
	CHECK(connect(fd, (struct sockaddr *)&at, sizeof at) == 0 || errno == EINPROGRESS);
	get_fd(port, listener, POLLIN, USER('l'));
	watch(port, fd, POLLOUT, USER('c'));
	port_event_t pe = get_one(port);
	CHECK_EQ(pe.portev_events, POLLOUT);
	CHECK_EQ(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size), 0);
	CHECK_EQ(error, 0);
	close(fd);
	close(listener);
	close(port);
}

TEST(urgent_data, "R4.6 1.9")
{
	int port = new_port(), s[2];
	tcp_pair(s);
	watch(port, s[0], POLLPRI, USER(1));
	put(s[1]);
	expect_none(port);
	CHECK_EQ(send(s[1], "!", 1, MSG_OOB), 1);
	port_event_t pe = get_one(port);
	CHECK_EQ(pe.portev_events, POLLPRI);
	close_pipe(s);
	close(port);
}

TEST(peer_shut_down, "R4.6 1.9")
{
	int port = new_port(), s[2];
	tcp_pair(s);
	watch(port, s[0], POLLRDHUP, USER(1));
	expect_none(port);
	CHECK_OK(shutdown(s[1], SHUT_WR));
	port_event_t pe = get_one(port);
	CHECK_EQ(pe.portev_events, POLLRDHUP);
	watch(port, s[0], POLLIN, USER(2));
	pe = get_one(port);
	CHECK_EQ(pe.portev_events, POLLIN);
	watch(port, s[0], 0, USER(3));
	expect_none(port);
	close_pipe(s);
	close(port);
}

TEST(hang_up_of_a_socket, "T-047 R4.1")
{
	int port = new_port(), s[2];
	CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	watch(port, s[0], 0, USER(1));
	put(s[1]);
	expect_none(port);
	close(s[1]);
	get_fd(port, s[0], POLLHUP, USER(1));
	expect_none(port);
	close(s[0]);
	close(port);
}
