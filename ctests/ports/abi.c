/* Layouts, constants and prototypes: what a program compiled against the headers relies on. */
#include "harness.h"
#include <siginfo.h>
#include <stddef.h>
#include <sys/port_impl.h>

/* SIGEV_PORT shares struct sigevent with the host's values and must collide with none (section 1.6). */
static const int host_sigev[] = { SIGEV_NONE, SIGEV_SIGNAL, SIGEV_THREAD, 4 };

TEST(event_layout, "T-001 1.2")
{
	CHECK_EQ(offsetof(port_event_t, portev_events), 0);
	CHECK_EQ(offsetof(port_event_t, portev_source), 4);
	CHECK_EQ(offsetof(port_event_t, portev_pad), 6);
	CHECK_EQ(offsetof(port_event_t, portev_object), 8);
	CHECK_EQ(offsetof(port_event_t, portev_user), 8 + sizeof(void *));
	CHECK_EQ(sizeof(port_event_t), 8 + 2 * sizeof(void *));
	CHECK_EQ(_Alignof(port_event_t), sizeof(void *));
	CHECK_EQ(sizeof(((port_event_t *)0)->portev_events), sizeof(int));
	CHECK_EQ(sizeof(((port_event_t *)0)->portev_source), 2);
	CHECK_EQ(sizeof(((port_event_t *)0)->portev_pad), 2);
	CHECK_EQ(sizeof(struct port_event), sizeof(port_event_t));
}

TEST(notify_layout, "T-001 1.3")
{
	CHECK_EQ(offsetof(port_notify_t, portnfy_port), 0);
	CHECK_EQ(offsetof(port_notify_t, portnfy_user), sizeof(void *));
	CHECK_EQ(sizeof(port_notify_t), 2 * sizeof(void *));
	CHECK_EQ(sizeof(struct port_notify), sizeof(port_notify_t));
}

TEST(file_obj_layout, "T-001 1.4 1.5")
{
	size_t stamp = 2 * sizeof(long);
	CHECK_EQ(sizeof(struct timespec), stamp);
	CHECK_EQ(offsetof(struct timespec, tv_nsec), sizeof(long));
	CHECK_EQ(offsetof(file_obj_t, fo_atime), 0);
	CHECK_EQ(offsetof(file_obj_t, fo_mtime), stamp);
	CHECK_EQ(offsetof(file_obj_t, fo_ctime), 2 * stamp);
	CHECK_EQ(offsetof(file_obj_t, fo_pad), 3 * stamp);
	CHECK_EQ(offsetof(file_obj_t, fo_name), 3 * stamp + 3 * sizeof(uintptr_t));
	CHECK_EQ(sizeof(file_obj_t), 3 * stamp + 3 * sizeof(uintptr_t) + sizeof(char *));
	CHECK_EQ(sizeof(struct file_obj), sizeof(file_obj_t));
}

TEST(source_constants, "T-001 1.7")
{
	CHECK_EQ(PORT_SOURCE_AIO, 1);
	CHECK_EQ(PORT_SOURCE_TIMER, 2);
	CHECK_EQ(PORT_SOURCE_USER, 3);
	CHECK_EQ(PORT_SOURCE_FD, 4);
	CHECK_EQ(PORT_SOURCE_ALERT, 5);
	CHECK_EQ(PORT_SOURCE_MQ, 6);
	CHECK_EQ(PORT_SOURCE_FILE, 7);
	CHECK_EQ(PORT_ALERT_SET, 1);
	CHECK_EQ(PORT_ALERT_UPDATE, 2);
	CHECK_EQ(PORT_ALERT_INVALID, 3);
	CHECK_EQ(PORT_MAX_LIST, 8192);
	CHECK_EQ(S_IFPORT, 0xE000);
	CHECK(S_ISPORT(0xE000 | 0600));
	CHECK(!S_ISPORT(0x8000 | 0600));
}

TEST(file_constants, "T-001 1.7")
{
	CHECK_EQ(FILE_ACCESS, 0x1);
	CHECK_EQ(FILE_MODIFIED, 0x2);
	CHECK_EQ(FILE_ATTRIB, 0x4);
	CHECK_EQ(FILE_DELETE, 0x10);
	CHECK_EQ(FILE_RENAME_TO, 0x20);
	CHECK_EQ(FILE_RENAME_FROM, 0x40);
	CHECK_EQ(FILE_TRUNC, 0x100000);
	CHECK_EQ(FILE_NOFOLLOW, 0x10000000);
	CHECK_EQ(UNMOUNTED, 0x20000000);
	CHECK_EQ(MOUNTEDOVER, 0x40000000);
	CHECK_EQ(FILE_EXCEPTION, 0x60000070);
}

TEST(aio_and_sigev_constants, "T-001 1.6 1.7")
{
	CHECK_EQ(AIOLIO, 7);
	CHECK_EQ(AIOAREAD, 11);
	CHECK_EQ(AIOAWRITE, 12);
	CHECK_EQ(AIOFSYNC, 20);
	for (size_t i = 0; i < sizeof host_sigev / sizeof host_sigev[0]; i++)
		CHECK(SIGEV_PORT != host_sigev[i]);
}

TEST(helper_types, "T-001 1.1 1.8 1.9")
{
	timespec_t a = { 0, 0 };
	timestruc_t b = a;
	struct timespec *same = &b;
	uint_t u = (uint_t)-1;
	ushort_t s = (ushort_t)-1;
	CHECK(same->tv_sec == 0 && u == UINT32_MAX && s == 65535);
	CHECK_EQ(sizeof(itimerspec_t), 2 * sizeof(struct timespec));
	CHECK(ETIME > 0 && EBADFD > 0 && ETIME != EBADFD && EBADFD != EBADF);
	CHECK(POLLIN == 1 && POLLPRI == 2 && POLLOUT == 4 && POLLERR == 8 && POLLHUP == 16);
}

/* Every function with exactly the types of a program written for illumos. */
TEST(prototypes, "T-002 1.1")
{
	int (*create)(void) = port_create;
	int (*associate)(int, int, uintptr_t, int, void *) = port_associate;
	int (*dissociate)(int, int, uintptr_t) = port_dissociate;
	int (*send)(int, int, void *) = port_send;
	int (*sendn)(int[], int[], uint_t, int, void *) = port_sendn;
	int (*get)(int, port_event_t *, const struct timespec *) = port_get;
	int (*getn)(int, port_event_t[], uint_t, uint_t *, const struct timespec *) = port_getn;
	int (*alert)(int, int, int, void *) = port_alert;
	CHECK(create && associate && dissociate && send && sendn && get && getn && alert);
}

TEST(timeout_with_and_without_const, "T-002 1.1")
{
	struct timespec plain = { 0, 1000000 };
	const struct timespec constant = { 0, 1000000 };
	port_event_t pe;
	uint_t n = 1;
	int port = port_create();
	CHECK_ERR(port_get(port, &pe, &plain), ETIME);
	CHECK_ERR(port_get(port, &pe, &constant), ETIME);
	CHECK_ERR(port_getn(port, &pe, 1, &n, &plain), ETIME);
	n = 1;
	CHECK_ERR(port_getn(port, &pe, 1, &n, &constant), ETIME);
	/* The caller's structure is not the library's scratch space. */
	CHECK(plain.tv_sec == 0 && plain.tv_nsec == 1000000);
	CHECK_OK(close(port));
}
