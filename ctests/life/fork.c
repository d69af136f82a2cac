/*
 * Children. The policy of this library: a port is of no use in a forked child (EBADFD, T-302), closing it there
 * changes nothing for the parent (T-290 to T-292, T-300), and the child may make ports of its own.
 * Copyright the evshim authors; MIT or Apache-2.0, at your choice.
 */
#include "life.h"
#include <spawn.h>

extern char **environ;

/* A parent with everything a port can hold: one user event, one queued and one armed descriptor. */
struct family {
	int port, ready[2], idle[2];
};

static void family_open(struct family *f)
{
	f->port = port_create();
	make_pair(f->ready);
	make_pair(f->idle);
	put(f->ready[1]);
	CHECK_OK(send_value(f->port, 11));
	CHECK_OK(watch(f->port, f->ready[0], POLLIN));
	CHECK_OK(watch(f->port, f->idle[0], POLLIN));
	CHECK_EQ(pending(f->port), 2);
}

/* Everything arrives, once and in order, whatever the children did. */
static void family_check(struct family *f)
{
	CHECK_EQ(pending(f->port), 2);
	CHECK_USER_EVENT(f->port, 11);
	CHECK_FD_EVENT(f->port, f->ready[0]);
	CHECK_EQ(pending(f->port), 0);
	put(f->idle[1]);
	CHECK_FD_EVENT(f->port, f->idle[0]);
	take(f->idle[0]);
	CHECK_OK(watch(f->port, f->idle[0], POLLIN));
	CHECK_EQ(pending(f->port), 0);
	put(f->idle[1]);
	CHECK_FD_EVENT(f->port, f->idle[0]);
	CHECK_PORT_WORKS(f->port);
	CHECK_OK(close(f->port));
	close_pipe(f->ready);
	close_pipe(f->idle);
}

static void in_child(void (*body)(struct family *))
{
	struct family f;
	family_open(&f);
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		body(&f);
		_exit(0);
	}
	CHECK_EQ(wait_child(pid), 0);
	family_check(&f);
}

static void child_execs(struct family *f)
{
	(void)f;
	execl("/bin/true", "true", (char *)NULL);
	_exit(1);
}

static void child_ends(struct family *f) { (void)f; }
static void child_exits(struct family *f)
{
	(void)f;
	exit(0);
}

static void child_closes_port(struct family *f) { CHECK_OK(close(f->port)); }

static void child_closes_everything(struct family *f)
{
	(void)f;
	for (int fd = 3; fd < 100; fd++)
		close(fd);
}

static void child_closes_descriptors(struct family *f)
{
	close_pipe(f->ready);
	CHECK_OK(close(f->idle[0]));
}

static void child_replaces_numbers(struct family *f)
{
	CHECK_RET(dup2(STDIN_FILENO, f->ready[0]), f->ready[0]);
	CHECK_RET(dup2(STDIN_FILENO, f->port), f->port);
}

TEST(child_runs_a_program, "R14.3 T-290") { in_child(child_execs); }
TEST(child_ends_at_once, "R14.3 T-291") { in_child(child_ends); }
TEST(child_exits_through_libc, "R14.3 T-291") { in_child(child_exits); }
TEST(child_closes_the_port, "R14.3 T-292") { in_child(child_closes_port); }
TEST(child_closes_all_descriptors, "R4.22 T-292 T-300") { in_child(child_closes_everything); }
TEST(child_closes_associated_descriptors, "R4.22 T-300") { in_child(child_closes_descriptors); }
TEST(child_replaces_the_numbers, "R4.22 T-300") { in_child(child_replaces_numbers); }

static void every_call_fails(struct family *f)
{
	port_event_t list[4];
	unsigned nget = 1;
	int error = -1;
	CHECK_ERR(send_value(f->port, 1), EBADFD);
	CHECK_ERR(watch(f->port, f->idle[0], POLLIN), EBADFD);
	CHECK_ERR(unwatch(f->port, f->ready[0]), EBADFD);
	CHECK_ERR(port_get(f->port, list, ZERO_TIMEOUT), EBADFD);
	CHECK_ERR(port_get(f->port, list, NULL), EBADFD);
	CHECK_ERR(port_getn(f->port, list, 4, &nget, NULL), EBADFD);
	CHECK_ERR(port_getn(f->port, NULL, 0, &nget, NULL), EBADFD);
	CHECK_EQ(nget, 1);
	CHECK_ERR(port_alert(f->port, PORT_ALERT_SET, 1, NULL), EBADFD);
	CHECK_ERR(port_alert(f->port, 0, 0, NULL), EBADFD);
	CHECK_EQ(port_sendn(&f->port, &error, 1, 1, NULL), 0);
	CHECK_EQ(error, EBADFD);
	int copy = dup(f->port);
	CHECK_ERR(send_value(copy, 1), EBADFD);
	CHECK_OK(close(copy));
	CHECK_OK(close(f->port));
	CHECK_ERR(send_value(f->port, 1), EBADF);
}

static void own_port_works(struct family *f)
{
	int fds[2], port = port_create();
	CHECK(port >= 0);
	make_pair(fds);
	CHECK_PORT_WORKS(port);
	CHECK_OK(watch(port, fds[0], POLLIN));
	CHECK_OK(watch(port, f->ready[0], POLLIN)); /* the parent's number, in our port */
	CHECK_FD_EVENT(port, f->ready[0]);
	put(fds[1]);
	CHECK_FD_EVENT(port, fds[0]);
	CHECK_OK(watch(port, fds[0], POLLIN));
	CHECK_OK(close(fds[0]));
	CHECK_EQ(pending(port), 0);
	CHECK_OK(close(port));
}

TEST(inherited_port_is_refused, "T-302") { in_child(every_call_fails); }
TEST(child_uses_a_port_of_its_own, "T-302 R14.3") { in_child(own_port_works); }

/* The number of the inherited port becomes a port of the child's own. */
static void inherited_number_is_reused(struct family *f)
{
	CHECK_OK(close(f->port));
	CHECK_EQ(port_create(), f->port);
	CHECK_PORT_WORKS(f->port);
	CHECK_OK(watch(f->port, f->idle[0], POLLIN));
	CHECK_EQ(pending(f->port), 0);
	CHECK_OK(unwatch(f->port, f->idle[0]));
}

TEST(child_reuses_the_number, "T-302 T-292") { in_child(inherited_number_is_reused); }

static void grandchildren(struct family *f)
{
	own_port_works(f);
	int port = port_create();
	CHECK_OK(send_value(port, 1));
	for (int i = 0; i < 3; i++) {
		pid_t pid = fork();
		if (pid == 0) {
			CHECK_ERR(send_value(port, 2), EBADFD);
			CHECK_ERR(send_value(f->port, 2), EBADFD);
			own_port_works(f);
			_exit(0);
		}
		CHECK_EQ(wait_child(pid), 0);
	}
	CHECK_USER_EVENT(port, 1);
	CHECK_EQ(pending(port), 0);
}

TEST(grandchildren_are_children, "T-302") { in_child(grandchildren); }

/* Both go on at the same time; the child's traffic never shows in the parent's port. */
TEST(parent_and_child_at_the_same_time, "T-302 R14.2")
{
	int port = port_create(), fds[2];
	make_pair(fds);
	CHECK_OK(watch(port, fds[0], POLLIN));
	pid_t pid = fork();
	if (pid == 0) {
		int own = port_create();
		for (int i = 0; i < 20000; i++) {
			CHECK_OK(send_value(own, (uintptr_t)i));
			CHECK_USER_EVENT(own, i);
		}
		put(fds[1]);
		_exit(0);
	}
	for (int i = 0; i < 20000; i++) {
		port_event_t pe;
		CHECK_OK(send_value(port, (uintptr_t)i));
		CHECK_OK(port_get(port, &pe, LONG_TIMEOUT));
		if (pe.portev_source == PORT_SOURCE_FD) {
			CHECK_EQ(pe.portev_object, fds[0]);
			CHECK_OK(port_get(port, &pe, LONG_TIMEOUT));
		}
		CHECK_EQ((uintptr_t)pe.portev_user, i);
	}
	CHECK_EQ(wait_child(pid), 0);
	drain(port);
	CHECK_PORT_WORKS(port);
	close(port);
	close_pipe(fds);
}

/* The vfork child shares the memory: what it closes must not be booked for the parent (R14.6). */
TEST(vfork_and_exec, "R14.6 R4.22")
{
	for (int round = 0; round < 20; round++) {
		struct family f;
		family_open(&f);
		pid_t pid = vfork();
		if (pid == 0) {
			close(f.ready[0]);
			dup2(STDIN_FILENO, f.idle[0]);
			close(f.port);
			execl("/bin/true", "true", (char *)NULL);
			_exit(1);
		}
		CHECK_EQ(wait_child(pid), 0);
		family_check(&f);
	}
}

TEST(posix_spawn_with_file_actions, "R14.6 R4.22")
{
	char *argv[] = { (char *)"true", NULL };
	for (int round = 0; round < 20; round++) {
		posix_spawn_file_actions_t actions;
		struct family f;
		pid_t pid;
		family_open(&f);
		posix_spawn_file_actions_init(&actions);
		posix_spawn_file_actions_addclose(&actions, f.port);
		posix_spawn_file_actions_addclose(&actions, f.ready[0]);
		posix_spawn_file_actions_adddup2(&actions, STDIN_FILENO, f.idle[0]);
		posix_spawn_file_actions_addopen(&actions, f.port, "/dev/null", O_RDONLY, 0);
#if defined(__GLIBC__) && (__GLIBC__ > 2 || __GLIBC_MINOR__ >= 34)
		posix_spawn_file_actions_addclosefrom_np(&actions, 3);
#endif
		CHECK_EQ(posix_spawn(&pid, "/bin/true", &actions, NULL, argv, environ), 0);
		CHECK_EQ(wait_child(pid), 0);
		posix_spawn_file_actions_destroy(&actions);
		family_check(&f);
	}
}

TEST(system_and_popen, "R14.6 R14.3")
{
	struct family f;
	char line[16];
	family_open(&f);
	CHECK_EQ(system("exit 3"), 3 << 8);
	FILE *pipe = popen("echo out", "r");
	CHECK(pipe != NULL);
	CHECK(fgets(line, sizeof line, pipe) != NULL);
	CHECK_EQ(pclose(pipe), 0);
	family_check(&f);
}
