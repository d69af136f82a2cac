/*
 * Handlers as the program sees them. On the original system port_send may be called in any of them (R6.3) and a wait
 * ends with EINTR (R7.6) without the library taking part in signals at all. So whatever it does to handlers must not
 * show: what is installed is what is read back, and it runs with the mask, siginfo and stack that it asked for.
 * The flags and what children inherit are in handler_kinds.c, storms of signals in postponed.c.
 * Copyright the evshim authors; MIT or Apache-2.0, at your choice.
 */
#include "dispositions.h"
#include <setjmp.h>
#include <ucontext.h>
#pragma GCC diagnostic ignored "-Wdeprecated-declarations" /* sigset, siginterrupt */

extern sighandler_t bsd_signal(int sig, sighandler_t handler); /* no longer in the headers */
extern sighandler_t __sysv_signal(int sig, sighandler_t handler);

/* ------------------------------------------------------------------ reading back */

static const int some_signals[] = { SIGHUP, SIGSEGV, SIGTERM, SIGCHLD, SIGPIPE, SIGUSR1 };
static const int all_flags[] = { SA_SIGINFO, SA_RESTART, SA_NODEFER, SA_RESETHAND, SA_ONSTACK, SA_NOCLDSTOP,
	SA_NOCLDWAIT };
static void *const handlers[] = { plain_a, with_info, plain_b, SIG_IGN, plain_c, SIG_DFL, plain_a };

/* A chain of changes with every combination of flags: each one gives the one before back. */
static void read_back(int sig)
{
	struct sigaction before, got;
	CHECK_OK(sigaction(sig, NULL, &before));
	before.sa_flags &= ~RESTORER;
	for (int round = 0; round < 128 * 3; round++) {
		int flags = 0;
		for (int i = 0; i < 7; i++)
			flags |= round % 128 >> i & 1 ? all_flags[i] : 0;
		struct sigaction next = action_of(handlers[round % 7], flags,
			set_of(round % 3 ? SIGUSR2 : 0, round % 5 ? SIGRTMIN + round % 20 : 0));
		memset(&got, 0xa5, sizeof got);
		CHECK_OK(sigaction(sig, &next, round % 4 == 3 ? NULL : &got));
		if (round % 4 != 3)
			check_same(&got, &before);
		if (round % 2)
			check_installed(sig, next.sa_handler, flags, next.sa_mask);
		before = next;
	}
	signal(sig, SIG_DFL);
}

static void read_back_all(void)
{
	for (unsigned i = 0; i < sizeof some_signals / sizeof *some_signals; i++)
		read_back(some_signals[i]);
	read_back(SIGRTMIN);
	read_back(SIGRTMAX - 1); /* the last one is valgrind's */
}

TEST(read_back_without_ports, "R6.3 R7.6") { read_back_all(); }

TEST(read_back_with_a_port, "R6.3 R7.6")
{
	int port = port_create();
	read_back_all();
	CHECK_PORT_WORKS(port);
	close(port);
}

#define CHECK_BEFORE(call, wanted)                                                                        \
	do {                                                                                              \
		errno = H_SENTINEL;                                                                       \
		CHECK_EQ((uintptr_t)(call), (uintptr_t)(wanted));                                         \
		CHECK_EQ(errno, H_SENTINEL);                                                              \
	} while (0)

/* The old functions: what they return, and the flags and mask that each of them means. */
static void old_functions(void)
{
	sigset_t itself = set_of(SIGUSR1, 0), none = set_of(0, 0), mask;
	const int one_shot = SA_RESETHAND | SA_NODEFER;
	CHECK_BEFORE(signal(SIGUSR1, plain_a), SIG_DFL);
	check_installed(SIGUSR1, plain_a, SA_RESTART, itself);
	CHECK_BEFORE(bsd_signal(SIGUSR1, plain_b), plain_a);
	CHECK_BEFORE(ssignal(SIGUSR1, plain_c), plain_b);
	check_installed(SIGUSR1, plain_c, SA_RESTART, itself);
	CHECK_BEFORE(sysv_signal(SIGUSR1, plain_a), plain_c);
#ifdef __GLIBC__
	check_installed(SIGUSR1, plain_a, one_shot, none);
#endif
	CHECK_BEFORE(__sysv_signal(SIGUSR1, plain_b), plain_a);
#ifdef __GLIBC__
	check_installed(SIGUSR1, plain_b, one_shot, none);
#endif
	CHECK_BEFORE(sigset(SIGUSR1, plain_c), plain_b);
	check_installed(SIGUSR1, plain_c, 0, none);
	CHECK_BEFORE(sigset(SIGUSR1, SIG_HOLD), plain_c);
	check_installed(SIGUSR1, plain_c, 0, none);
	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	CHECK(sigismember(&mask, SIGUSR1) == 1);
	CHECK_BEFORE(sigset(SIGUSR1, SIG_HOLD), SIG_HOLD);
	CHECK_OK(raise(SIGUSR1));
	CHECK_EQ(seen.calls, 0);
	CHECK_BEFORE(sigset(SIGUSR1, plain_a), SIG_HOLD);
	CHECK_EQ(seen.calls, 1);
	CHECK_EQ(seen.by, 'a');
	CHECK_BEFORE(sigset(SIGUSR1, SIG_IGN), plain_a);
	CHECK_BEFORE(signal(SIGUSR1, SIG_DFL), SIG_IGN);
	CHECK_BEFORE(signal(SIGUSR1, SIG_IGN), SIG_DFL);
	CHECK_BEFORE(signal(SIGUSR1, plain_b), SIG_IGN);
	CHECK_BEFORE(signal(SIGUSR1, SIG_DFL), plain_b);
	CHECK_BEFORE(signal(SIGUSR1, SIG_DFL), SIG_DFL);
}

TEST(old_functions_without_ports, "R6.3 R7.6") { old_functions(); }

TEST(old_functions_with_a_port, "R6.3 R7.6")
{
	int port = port_create();
	old_functions();
	CHECK_PORT_WORKS(port);
	close(port);
}

#define CHECK_SIG_ERR(call)                                                                               \
	do {                                                                                              \
		errno = H_SENTINEL;                                                                       \
		CHECK((call) == SIG_ERR);                                                                 \
		CHECK_EQ(errno, EINVAL);                                                                  \
	} while (0)

TEST(refused_numbers, "R6.3 R7.6")
{
	static const int wrong[] = { SIGKILL, SIGSTOP, 0, -1, 65, 1000, 0x7fffffff, -0x7fffffff - 1 };
	struct sigaction action = action_of(plain_a, 0, set_of(0, 0)), old;
	int port = port_create();
	SKIP_UNDER_VALGRIND("answers wrong numbers itself, with words on stderr");
	for (unsigned i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		CHECK_ERR(sigaction(wrong[i], &action, NULL), EINVAL);
		CHECK_ERR(sigaction(wrong[i], &action, &old), EINVAL);
		CHECK_SIG_ERR(signal(wrong[i], plain_a));
		CHECK_SIG_ERR(signal(wrong[i], SIG_IGN));
		CHECK_SIG_ERR(sysv_signal(wrong[i], plain_a));
		CHECK_SIG_ERR(sigset(wrong[i], plain_a));
		if (i < 2) /* these can be asked */
			check_installed(wrong[i], SIG_DFL, 0, set_of(0, 0));
		else
			CHECK_ERR(sigaction(wrong[i], NULL, &old), EINVAL);
	}
	CHECK_ERR(siginterrupt(0, 1), EINVAL);
	CHECK_ERR(siginterrupt(65, 1), EINVAL);
	CHECK_SIG_ERR(signal(SIGUSR1, SIG_ERR));
	CHECK_OK(sigaction(SIGUSR1, NULL, NULL));
	CHECK_OK(sigaction(64, &action, NULL));
	check_installed(64, plain_a, 0, set_of(0, 0));
	check_installed(SIGUSR1, SIG_DFL, 0, set_of(0, 0));
	close(port);
}

/* ------------------------------------------------------------------ what a handler is told */

TEST(handlers_are_told, "R6.3")
{
	int port = port_create(), sigs[] = { SIGHUP, SIGSEGV, SIGUSR1, SIGCHLD, SIGRTMIN, SIGRTMAX - 1 };
	for (int i = 0; i < 6; i++) {
		union sigval value = { .sival_ptr = (void *)(uintptr_t)(0x123456789aL + i) };
		install(sigs[i], plain_b, 0, set_of(0, 0));
		CHECK_OK(raise(sigs[i]));
		CHECK_EQ(seen.calls, 3 * i + 1);
		CHECK_EQ(seen.by, 'b');
		CHECK_EQ(seen.sig, sigs[i]);
		install(sigs[i], with_info, SA_SIGINFO, set_of(0, 0));
		seen.context = NULL;
		CHECK_OK(sigqueue(getpid(), sigs[i], value));
		wait_for_calls(3 * i + 2);
		CHECK_EQ(seen.by, 'i');
		CHECK_EQ(seen.sig, sigs[i]);
		CHECK_EQ(seen.info.si_signo, sigs[i]);
		CHECK_EQ(seen.info.si_code, SI_QUEUE);
		CHECK_EQ(seen.info.si_pid, getpid());
		CHECK_EQ(seen.info.si_uid, getuid());
		CHECK_EQ((uintptr_t)seen.info.si_value.sival_ptr, (uintptr_t)value.sival_ptr);
		CHECK(seen.context != NULL);
		CHECK_OK(kill(getpid(), sigs[i]));
		wait_for_calls(3 * i + 3);
		CHECK_EQ(seen.info.si_code, SI_USER);
		signal(sigs[i], SIG_DFL);
	}
	close(port);
}

static sigjmp_buf back;
static void *fault_at;

static void jump_out_of_fault(int sig, siginfo_t *info, void *context)
{
	with_info(sig, info, context);
	siglongjmp(back, 1);
}

TEST(faults_are_told, "R6.3")
{
	SKIP_UNDER_VALGRIND("reports the fault as an error");
	int port = port_create();
	fault_at = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(fault_at != MAP_FAILED);
	install(SIGSEGV, jump_out_of_fault, SA_SIGINFO, set_of(0, 0));
	for (volatile int i = 1; i <= 3; i++) {
		if (sigsetjmp(back, 1) == 0)
			*(volatile char *)fault_at = 1;
		CHECK_EQ(seen.calls, i);
		CHECK_EQ(seen.sig, SIGSEGV);
		CHECK_EQ(seen.info.si_code, SEGV_ACCERR);
		CHECK_EQ((uintptr_t)seen.info.si_addr, (uintptr_t)fault_at);
		CHECK_PORT_WORKS(port);
	}
	close(port);
}

/* A bad pointer is a fault in the caller, who may handle it. */
TEST(bad_action_is_a_fault, "R6.3")
{
	SKIP_UNDER_VALGRIND("reports the fault as an error");
	fault_at = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(fault_at != MAP_FAILED);
	install(SIGSEGV, jump_out_of_fault, SA_SIGINFO, set_of(0, 0));
	if (sigsetjmp(back, 1) == 0)
		CHECK_EQ(sigaction(SIGUSR1, fault_at, NULL), -1);
	else
		CHECK_EQ(seen.sig, SIGSEGV);
}

static void nothing(int sig)
{
	(void)sig;
}

/* What is read back after SA_RESETHAND is what was given, but for the handler. */
TEST(flags_after_reset, "R6.3")
{
	struct sigaction now;
	install(SIGUSR1, with_info, SA_SIGINFO | SA_RESETHAND, set_of(0, 0));
	for (int i = 0; i < 2; i++) {
		CHECK_OK(raise(SIGUSR1));
		CHECK_OK(sigaction(SIGUSR1, NULL, &now));
		CHECK(now.sa_handler == SIG_DFL);
		CHECK_EQ(now.sa_flags & (SA_SIGINFO | SA_RESETHAND), i == 0 ? SA_SIGINFO | SA_RESETHAND : SA_RESETHAND);
		struct sigaction plain = { .sa_handler = nothing, .sa_flags = SA_RESETHAND };
		CHECK_OK(sigaction(SIGUSR1, &plain, NULL));
	}
}

static void block_on_return(int sig, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;
	with_info(sig, info, context);
	CHECK_EQ(sigismember(&uc->uc_sigmask, SIGHUP), 1);
	CHECK_EQ(sigismember(&uc->uc_sigmask, SIGUSR1), 0);
	sigaddset(&uc->uc_sigmask, SIGUSR2);
}

/* The context is the interrupted one's: its mask is the program's, and changing it counts. */
TEST(context_is_the_interrupted_one, "R6.3")
{
	SKIP_UNDER_VALGRIND("the context has no mask there");
	int port = port_create();
	sigset_t hup = set_of(SIGHUP, 0), both = set_of(SIGHUP, SIGUSR2), before, mask;
	CHECK_OK(pthread_sigmask(SIG_SETMASK, &hup, &before));
	install(SIGUSR1, block_on_return, SA_SIGINFO, set_of(0, 0));
	CHECK_OK(raise(SIGUSR1));
	CHECK_OK(pthread_sigmask(SIG_SETMASK, &before, &mask));
	check_same_set(&mask, &both);
	close(port);
}

static volatile int depth, deepest;

static void call_itself(int sig)
{
	if (++depth > deepest)
		deepest = depth;
	if (depth < 3)
		raise(sig);
	depth--;
}

TEST(mask_in_and_after_a_handler, "R6.3")
{
	SKIP_UNDER_VALGRIND("SA_NODEFER switches sa_mask off there");
	int port = port_create();
	sigset_t outside = set_of(SIGHUP, SIGRTMAX), before, mask;
	CHECK_OK(pthread_sigmask(SIG_SETMASK, &outside, &before));
	for (int i = 0; i < 4; i++) {
		sigset_t wanted = outside;
		install(SIGUSR1, plain_a, i & 1 ? SA_NODEFER : 0, set_of(i & 2 ? SIGTERM : 0, SIGUSR2));
		CHECK_OK(raise(SIGUSR1));
		CHECK_EQ(seen.calls, i + 1);
		sigaddset(&wanted, SIGUSR2);
		if (i & 2)
			sigaddset(&wanted, SIGTERM);
		if (!(i & 1))
			sigaddset(&wanted, SIGUSR1);
		check_same_set(&seen.mask, &wanted);
		CHECK_OK(pthread_sigmask(SIG_SETMASK, NULL, &mask));
		check_same_set(&mask, &outside);
	}
	CHECK_OK(pthread_sigmask(SIG_SETMASK, &before, NULL));
	install(SIGUSR1, call_itself, SA_NODEFER, set_of(0, 0));
	CHECK_OK(raise(SIGUSR1));
	CHECK_EQ(deepest, 3);
	close(port);
}
