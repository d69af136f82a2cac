/* libs: -lutil -lrt */
/*
 * Descriptors that the C library closes on the program's behalf: those closes never pass through the program's
 * own call of close(), and R4.20 holds for them all the same.
 * Copyright the evshim authors; MIT or Apache-2.0, at your choice.
 */
#include "life.h"
#include <mqueue.h>
#include <pty.h>
#include <utmp.h>

static void purges(void (*give_up)(int fd), bool reused)
{
	for (int ready = 0; ready <= 1; ready++) {
		struct rig r;
		rig_open(&r, ready);
		give_up(r.fd);
		CHECK_EQ(fcntl(r.fd, F_GETFD) != -1, reused);
		rig_check_purged(&r);
		if (reused)
			close(r.fd);
		rig_close(&r, true);
	}
}

static FILE *stream(int fd)
{
	FILE *f = fdopen(fd, "r");
	CHECK(f != NULL);
	return f;
}

static void by_fclose(int fd) { CHECK_OK(fclose(stream(fd))); }

/* freopen() puts the new file at the old number. */
static void by_freopen(int fd)
{
	FILE *f = freopen("/dev/null", "r", stream(fd));
	CHECK(f != NULL);
	CHECK_EQ(fileno(f), fd);
}

/* The new file cannot be opened: the stream is closed nevertheless. */
static void by_failing_freopen(int fd)
{
	CHECK(freopen("/nonexistent/file", "r", stream(fd)) == NULL);
}

TEST(fclose_purges, "R4.20") { purges(by_fclose, false); }
TEST(freopen_purges, "R4.20") { purges(by_freopen, true); }
TEST(failing_freopen_purges, "R4.20") { purges(by_failing_freopen, false); }

/* With a null name the same pipe is opened again: the number stays, the open file is new (R4.2). */
TEST(freopen_without_name_purges, "R4.20 R4.2")
{
	struct rig r;
	int fds[2];
	make_pipe(fds);
	rig_watch(&r, fds[0], fds[1], true);
	FILE *f = freopen(NULL, "r", stream(r.fd));
	if (f == NULL)
		SKIP("freopen cannot open a pipe again here");
	CHECK_EQ(fileno(f), r.fd);
	rig_check_purged(&r);
	CHECK_OK(watch(r.port, r.fd, POLLIN));
	CHECK_FD_EVENT(r.port, r.fd);
	fclose(f);
	rig_close(&r, true);
}

#ifdef __GLIBC__
/* Whether it closes anything is the C library's affair: the port has to agree with the outcome. */
TEST(fcloseall_agrees_with_the_descriptor, "R4.20")
{
	struct rig r;
	rig_open(&r, true);
	CHECK(stream(r.fd) != NULL);
	fcloseall();
	if (fcntl(r.fd, F_GETFD) == -1) {
		rig_check_purged(&r);
		rig_close(&r, true);
	} else {
		rig_check_alive(&r, true);
		rig_close(&r, false);
	}
}
#endif

/* Directories are always ready (R4.8) and no epoll set knows them. */
TEST(closedir_purges, "R4.20 R4.8")
{
	int port = port_create();
	DIR *dir = opendir("/");
	CHECK(dir != NULL);
	int fd = dirfd(dir), keep = dup(fd);
	CHECK_OK(watch(port, fd, POLLIN));
	CHECK_EQ(pending(port), 1);
	CHECK_OK(closedir(dir));
	CHECK_EQ(pending(port), 0);
	CHECK_ERR(unwatch(port, fd), EBADFD);
	close(keep);
	close(port);
}

TEST(pclose_purges, "R4.20 R14.3")
{
	int port = port_create();
	FILE *f = popen("echo hello", "r");
	CHECK(f != NULL);
	int fd = fileno(f), keep = dup(fd);
	CHECK_OK(watch(port, fd, POLLIN));
	CHECK_FD_EVENT(port, fd);
	CHECK_OK(watch(port, fd, POLLIN));
	CHECK_EQ(pending(port), 1);
	CHECK_EQ(pclose(f), 0);
	CHECK_EQ(fcntl(fd, F_GETFD), -1);
	CHECK_EQ(pending(port), 0);
	CHECK_ERR(unwatch(port, fd), EBADFD);
	CHECK_PORT_WORKS(port);
	close(keep);
	close(port);
}

TEST(mq_close_purges, "R4.20")
{
	struct mq_attr attr = { .mq_maxmsg = 1, .mq_msgsize = 8 };
	char name[64];
	snprintf(name, sizeof name, "/evshim-life-%d", (int)getpid());
	mqd_t mq = mq_open(name, O_CREAT | O_EXCL | O_RDWR, 0600, &attr);
	if (mq == (mqd_t)-1)
		SKIP("no message queues here");
	mq_unlink(name);
	int port = port_create(), keep = dup(mq);
	CHECK_OK(mq_send(mq, "x", 1, 0));
	CHECK_OK(watch(port, mq, POLLIN));
	CHECK_EQ(pending(port), 1);
	CHECK_OK(mq_close(mq));
	CHECK_EQ(fcntl(mq, F_GETFD), -1);
	CHECK_EQ(pending(port), 0);
	CHECK_ERR(unwatch(port, mq), EBADFD);
	CHECK_OK(watch(port, keep, POLLIN));
	CHECK_FD_EVENT(port, keep);
	close(keep);
	close(port);
}

/* The terminal takes the numbers 0, 1 and 2 and gives up its own. */
static void login_in_child(int terminal)
{
	int fds[2], keep[3], port, peer;
	make_pair(fds);
	peer = fds[1];
	put(peer);
	for (int i = 0; i < 3; i++)
		keep[i] = fcntl(fds[0], F_DUPFD, 100);
	terminal = fcntl(terminal, F_DUPFD, 200);
	int own = dup(terminal);
	port = fcntl(port_create(), F_DUPFD, 300);
	for (int i = 0; i < 3; i++) {
		CHECK(dup2(fds[0], i) == i);
		CHECK(watch(port, i, POLLIN) == 0);
	}
	CHECK(watch(port, terminal, POLLOUT) == 0);
	CHECK_EQ(pending(port), 4);
	if (login_tty(terminal) != 0)
		_exit(77);
	unsigned left = pending(port);
	if (left != 0)
		_exit(10 + (int)left);
	for (int i = 0; i < 3; i++)
		if (unwatch(port, i) != -1 || errno != ENOENT)
			_exit(20 + i);
	(void)keep;
	(void)own;
	_exit(0);
}

TEST(login_tty_purges, "R4.20")
{
	int master, terminal;
	if (openpty(&master, &terminal, NULL, NULL, NULL) != 0)
		SKIP("no pseudo-terminals here");
	pid_t pid = fork();
	if (pid == 0)
		login_in_child(terminal);
	int status = wait_child(pid);
	if (status == 77)
		SKIP("the terminal cannot become a controlling terminal here");
	CHECK_EQ(status, 0);
	close(master);
	close(terminal);
}

/* daemon() leaves the program in a child: the inherited port is no use there (T-302), a new one works and knows
 * nothing of what was associated before. */
static void daemonized(int report)
{
	int port = port_create(), fds[2];
	make_pair(fds);
	CHECK(dup2(fds[0], STDIN_FILENO) == STDIN_FILENO);
	put(fds[1]);
	CHECK(watch(port, STDIN_FILENO, POLLIN) == 0);
	if (daemon(1, 0) != 0)
		_exit(1);
	char verdict = 'y';
	int own = port_create();
	if (own < 0 || send_value(port, 1) != -1 || errno != EBADFD)
		verdict = 'n';
	/* number 0 is /dev/null now: it is always readable, but nobody has associated it */
	if (unwatch(own, STDIN_FILENO) != -1 || pending(own) != 0)
		verdict = 'u';
	if (watch(own, fds[0], POLLIN) != 0 || pending(own) != 1 || close(fds[0]) != 0 || pending(own) != 0)
		verdict = 'w';
	if (close(port) != 0 || close(own) != 0)
		verdict = 'c';
	if (write(report, &verdict, 1) != 1)
		_exit(1);
	_exit(0);
}

TEST(daemon_leaves_a_working_library, "R4.20 T-302")
{
	int report[2];
	char verdict = '?';
	make_pipe(report);
	pid_t pid = fork();
	if (pid == 0)
		daemonized(report[1]);
	close(report[1]);
	CHECK_EQ(wait_child(pid), 0);
	CHECK_EQ(read(report[0], &verdict, 1), 1);
	if (verdict != 'y')
		FAIL("the daemon's verdict is '%c'", verdict);
	close(report[0]);
}

/* forkpty() and openpty() make numbers; their child is a process of its own (R4.22). */
TEST(forkpty_leaves_the_parent_alone, "R4.22 R14.3")
{
	struct rig r;
	int master;
	rig_open(&r, true);
	pid_t pid = forkpty(&master, NULL, NULL, NULL);
	if (pid == -1)
		SKIP("no pseudo-terminals here");
	if (pid == 0) {
		close(r.fd);
		close(r.port);
		_exit(0);
	}
	CHECK_EQ(wait_child(pid), 0);
	rig_check_alive(&r, true);
	close(master);
	rig_close(&r, false);
}
