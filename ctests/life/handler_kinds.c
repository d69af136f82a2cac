/*
 * What each flag of a handler does, what children inherit, and handlers that were installed behind the C library's
 * back: all of it as if the library had no part in signals (R6.3, R7.6). See dispositions.c.
 * Copyright the evshim authors; MIT or Apache-2.0, at your choice.
 */
#include "dispositions.h"
#include <spawn.h>
#pragma GCC diagnostic ignored "-Wdeprecated-declarations" /* siginterrupt */

extern char **environ;

/* ------------------------------------------------------------------ flags */

TEST(reset_handlers_reset_once, "R6.3")
{
	int port = port_create();
	for (int i = 0; i < 3; i++) {
		install(SIGUSR1, i == 1 ? (void *)with_info : (void *)plain_a,
			SA_RESETHAND | (i == 1 ? SA_SIGINFO : 0), set_of(0, 0));
		CHECK_OK(raise(SIGUSR1));
		CHECK_EQ(seen.calls, i + 1);
		struct sigaction now;
		CHECK_OK(sigaction(SIGUSR1, NULL, &now));
		CHECK_EQ((uintptr_t)now.sa_handler, (uintptr_t)SIG_DFL);
	}
	CHECK_EQ((uintptr_t)sysv_signal(SIGUSR1, plain_a), (uintptr_t)SIG_DFL);
	pid_t pid = fork();
	if (pid == 0) {
		raise(SIGUSR1);
		raise(SIGUSR1); /* ends the process */
		_exit(1);
	}
	CHECK_EQ(wait_child(pid), 128 + SIGUSR1);
	signal(SIGUSR1, SIG_DFL);
	close(port);
}

static bool within(const stack_t *stack, void *address)
{
	return (char *)address >= (char *)stack->ss_sp && (char *)address < (char *)stack->ss_sp + stack->ss_size;
}

TEST(alternate_stack_where_wanted, "R6.3")
{
	int port = port_create();
	size_t size = 256 * 1024;
	stack_t stack = { .ss_sp = malloc(size), .ss_size = size }, none = { .ss_flags = SS_DISABLE };
	CHECK_OK(sigaltstack(&stack, NULL));
	for (int i = 0; i < 4; i++) {
		install(SIGUSR1, i & 2 ? (void *)with_info : (void *)plain_a,
			(i & 1 ? SA_ONSTACK : 0) | (i & 2 ? SA_SIGINFO : 0), set_of(0, 0));
		CHECK_OK(raise(SIGUSR1));
		CHECK_EQ(seen.calls, i + 1);
		CHECK_EQ(within(&stack, seen.stack), i & 1);
	}
	CHECK_OK(sigaltstack(&none, NULL));
	CHECK_PORT_WORKS(port);
	free(stack.ss_sp);
	close(port);
}

/* ------------------------------------------------------------------ interrupted reads */

struct interrupter {
	struct thread thread;
	pthread_t to;
	pid_t tid;
	int write_to; /* what ends a read that was restarted */
};

static void *interrupt_once(void *arg)
{
	struct interrupter *i = arg;
	wait_until_blocked(i->tid);
	CHECK_EQ(pthread_kill(i->to, SIGUSR1), 0);
	wait_until_blocked(i->tid); /* in the read that was restarted, or in the join */
	put(i->write_to);
	return NULL;
}

static bool read_is_interrupted(void)
{
	struct interrupter i = { .to = pthread_self(), .tid = (pid_t)syscall(SYS_gettid) };
	int fds[2], calls = seen.calls;
	char byte;
	make_pipe(fds);
	i.write_to = fds[1];
	thread_start(&i.thread, interrupt_once, &i);
	ssize_t got = read(fds[0], &byte, 1);
	CHECK(got == 1 || (got == -1 && errno == EINTR));
	thread_join(&i.thread);
	CHECK_EQ(seen.calls, calls + 1);
	close_pipe(fds);
	return got == -1;
}

static void interrupted_reads(void)
{
	install(SIGUSR1, plain_a, 0, set_of(0, 0));
	CHECK(read_is_interrupted());
	install(SIGUSR1, plain_a, SA_RESTART, set_of(0, 0));
	CHECK(!read_is_interrupted());
	signal(SIGUSR1, plain_b);
	CHECK(!read_is_interrupted());
	CHECK_OK(siginterrupt(SIGUSR1, 1));
	check_installed(SIGUSR1, plain_b, 0, set_of(SIGUSR1, 0));
	CHECK(read_is_interrupted());
	signal(SIGUSR1, plain_a);
	check_installed(SIGUSR1, plain_a, 0, set_of(SIGUSR1, 0));
	CHECK(read_is_interrupted());
	CHECK_OK(siginterrupt(SIGUSR1, 0));
	CHECK(!read_is_interrupted());
	signal(SIGUSR1, plain_b);
	CHECK(!read_is_interrupted());
	sysv_signal(SIGUSR1, plain_a);
#ifdef __GLIBC__
	CHECK(read_is_interrupted());
#endif
	signal(SIGUSR1, SIG_DFL);
}

TEST(interrupted_reads_without_ports, "R7.6") { interrupted_reads(); }

TEST(interrupted_reads_with_a_port, "R7.6")
{
	int port = port_create();
	interrupted_reads();
	CHECK_PORT_WORKS(port);
	close(port);
}

/* ------------------------------------------------------------------ children */

static uint64_t field(const char *status, const char *name)
{
	const char *at = strstr(status, name);
	CHECK(at != NULL);
	return strtoull(at + strlen(name), NULL, 16);
}

#define BIT(sig) (1ULL << ((sig) - 1))
#define ALL_BUT_LIBC (~(3ULL << 31)) /* 32 and 33 are the C library's */

/* A sanitizer's runtime that is preloaded handles faults in every program. */
#define FAULTS (BIT(SIGSEGV) | BIT(SIGBUS) | BIT(SIGFPE) | BIT(SIGILL) | BIT(SIGABRT) | BIT(SIGTRAP))

/* Runs `cat /proc/self/status`: it handles nothing, ignores SIGUSR2, and blocks SIGHUP. */
static void check_program(bool spawned)
{
	char status[8192];
	char *const argv[] = { "cat", "/proc/self/status", NULL };
	int fds[2];
	pid_t pid;
	size_t length = 0;
	make_pipe(fds);
	if (spawned) {
		posix_spawn_file_actions_t actions;
		posix_spawn_file_actions_init(&actions);
		posix_spawn_file_actions_adddup2(&actions, fds[1], 1);
		CHECK_EQ(posix_spawnp(&pid, "cat", &actions, NULL, argv, environ), 0);
		posix_spawn_file_actions_destroy(&actions);
	} else {
		pid = fork();
		if (pid == 0) {
			dup2(fds[1], 1);
			execvp("cat", argv);
			_exit(127);
		}
	}
	close(fds[1]);
	for (ssize_t got; (got = read(fds[0], status + length, sizeof status - 1 - length)) > 0;)
		length += (size_t)got;
	status[length] = '\0';
	close(fds[0]);
	CHECK_EQ(wait_child(pid), 0);
	CHECK_EQ(field(status, "SigCgt:") & ALL_BUT_LIBC & ~FAULTS, 0);
	CHECK_EQ(field(status, "SigIgn:") & (BIT(SIGUSR1) | BIT(SIGUSR2) | BIT(SIGTERM)), BIT(SIGUSR2));
	CHECK_EQ(field(status, "SigBlk:") & ALL_BUT_LIBC, BIT(SIGHUP));
}

static void check_children(void)
{
	sigset_t hup = set_of(SIGHUP, 0), before;
	CHECK_OK(pthread_sigmask(SIG_SETMASK, &hup, &before));
	install(SIGUSR1, with_info, SA_SIGINFO | SA_RESTART, set_of(SIGTERM, 0));
	install(SIGTERM, plain_b, 0, set_of(0, 0));
	signal(SIGUSR2, SIG_IGN);
	pid_t pid = fork();
	if (pid == 0) {
		check_installed(SIGUSR1, with_info, SA_SIGINFO | SA_RESTART, set_of(SIGTERM, 0));
		check_installed(SIGTERM, plain_b, 0, set_of(0, 0));
		check_installed(SIGUSR2, SIG_IGN, SA_RESTART, set_of(SIGUSR2, 0));
		raise(SIGUSR1);
		CHECK_EQ(seen.by, 'i');
		CHECK_EQ(seen.info.si_pid, getpid());
		signal(SIGTERM, plain_c);
		raise(SIGTERM);
		CHECK_EQ(seen.by, 'c');
		_exit(0);
	}
	CHECK_EQ(wait_child(pid), 0);
	check_installed(SIGTERM, plain_b, 0, set_of(0, 0));
	check_program(false);
	check_program(true);
	CHECK_OK(pthread_sigmask(SIG_SETMASK, &before, NULL));
}

TEST(children_without_ports, "R6.3 R7.6") { check_children(); }

TEST(children_with_a_port, "R6.3 R7.6")
{
	int port = port_create();
	check_children();
	CHECK_PORT_WORKS(port);
	close(port);
}

/* ------------------------------------------------------------------ the system call */

/* The kernel's structure. */
struct raw_action {
	void *handler;
	unsigned long flags;
#ifdef __x86_64__
	void (*restorer)(void);
#endif
	uint64_t mask;
};

static void install_raw(int sig, void *handler, int flags, uint64_t mask)
{
	struct raw_action raw = { .handler = handler, .flags = (unsigned long)flags, .mask = mask };
#ifdef __x86_64__
	struct sigaction theirs;
	install(SIGUSR2, plain_c, 0, set_of(0, 0));
	CHECK_OK(sigaction(SIGUSR2, NULL, &theirs));
	CHECK(theirs.sa_restorer != NULL);
	raw.restorer = theirs.sa_restorer;
	raw.flags |= RESTORER;
#elif !defined(__aarch64__) && !defined(__riscv)
	SKIP("the kernel's structure is not known here");
#endif
	CHECK_OK(syscall(SYS_rt_sigaction, sig, &raw, NULL, 8));
}

/* Installed before the library could know: read back as the program's own, and called as before. */
TEST(installed_by_the_system_call, "R6.3 R7.6")
{
	struct sigaction next = action_of(plain_b, SA_RESTART, set_of(0, 0)), old;
	struct sigaction first = action_of(with_info, SA_SIGINFO | SA_RESTART, set_of(SIGTERM, 0));
	install_raw(SIGUSR1, with_info, SA_SIGINFO | SA_RESTART, BIT(SIGTERM));
	install_raw(SIGHUP, plain_a, SA_RESETHAND, 0);
	CHECK_OK(raise(SIGUSR1));
	CHECK_EQ(seen.by, 'i');
	int port = port_create();
	for (int i = 0; i < 3; i++) {
		check_installed(SIGUSR1, with_info, SA_SIGINFO | SA_RESTART, set_of(SIGTERM, 0));
		seen.calls = 0;
		seen.by = 0;
		CHECK_OK(sigqueue(getpid(), SIGUSR1, (union sigval){ .sival_int = 5 + i }));
		wait_for_calls(1);
		CHECK_EQ(seen.by, 'i');
		CHECK_EQ(seen.info.si_value.sival_int, 5 + i);
		CHECK_EQ(sigismember(&seen.mask, SIGTERM), 1);
		CHECK_EQ(sigismember(&seen.mask, SIGUSR1), 1);
	}
	check_installed(SIGHUP, plain_a, SA_RESETHAND, set_of(0, 0));
	CHECK_OK(raise(SIGHUP));
	CHECK_EQ(seen.by, 'a');
	check_installed(SIGUSR2, plain_c, 0, set_of(0, 0));
	CHECK_OK(sigaction(SIGHUP, NULL, &old));
	CHECK_EQ((uintptr_t)old.sa_handler, (uintptr_t)SIG_DFL);
	CHECK_OK(sigaction(SIGUSR1, &next, &old));
	check_same(&old, &first);
	CHECK_OK(raise(SIGUSR1));
	CHECK_EQ(seen.by, 'b');
	CHECK_OK(sigaction(SIGUSR1, &first, &old));
	check_same(&old, &next);
	CHECK_PORT_WORKS(port);
	close(port);
}

static volatile long raw_calls;
static volatile int raw_stop;

static void count_raw(int sig)
{
	raw_calls += sig == SIGUSR1;
}

static void *send_until_stopped(void *arg)
{
	for (long sent = 1; !raw_stop; sent++) {
		CHECK_EQ(pthread_kill(*(pthread_t *)arg, SIGUSR1), 0);
		while (__atomic_load_n(&raw_calls, __ATOMIC_ACQUIRE) < sent)
			sched_yield();
		CHECK_EQ(raw_calls, sent);
	}
	return NULL;
}

/* The first port of the process is made while signals come; each child of the loop has its own first port. */
TEST_LIMIT(first_port_under_a_storm, "R6.3 R7.6", 30)
{
	install_raw(SIGUSR1, count_raw, SA_RESTART, 0);
	for (int i = 0; i < 100; i++) {
		pid_t pid = fork();
		if (pid == 0) {
			pthread_t me = pthread_self();
			struct thread sender;
			sigset_t usr1 = set_of(SIGUSR1, 0);
			pthread_sigmask(SIG_BLOCK, &usr1, NULL);
			thread_start(&sender, send_until_stopped, &me);
			pthread_sigmask(SIG_UNBLOCK, &usr1, NULL);
			while (raw_calls < i % 7)
				sched_yield();
			int port = port_create();
			CHECK_PORT_WORKS(port);
			CHECK_OK(close(port));
			check_installed(SIGUSR1, count_raw, SA_RESTART, set_of(0, 0));
			raw_stop = 1;
			thread_join(&sender);
			_exit(0);
		}
		CHECK_EQ(wait_child(pid), 0);
	}
}
