/*
 * <sys/port.h>: types and constants of the illumos event ports.
 *
 * The layouts are those of illumos on LP64 and ILP32; poll bits are the host's own (<poll.h>).
 * Copyright the evshim authors; MIT or Apache-2.0, at your choice.
 */
#ifndef EVSHIM_SYS_PORT_H
#define EVSHIM_SYS_PORT_H

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/select.h>
#include <time.h>
#if defined(__GLIBC__)
#include <bits/types/struct_timespec.h> /* strict C89 hides it in <time.h>, and the prototypes need it */
#endif

#if defined(__GLIBC__) && defined(_TIME_BITS) && _TIME_BITS == 64 && !defined(__LP64__) && !defined(__x86_64__)
#error "evshim on 32-bit systems is built for a 32-bit time_t: compile without -D_TIME_BITS=64"
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* A struct timespec of two longs is what the library was built for. A system whose 32-bit ABI has only a
 * 64-bit time_t stops here, at compile time, and not in the middle of a time-out. */
typedef char evshim_timespec_is_two_longs[sizeof(struct timespec) == 2 * sizeof(long) ? 1 : -1];

/* Names that illumos has in <sys/types.h> and <sys/time_impl.h>. */
#if !defined(__sun) && !defined(EVSHIM_HAVE_ILLUMOS_TYPES)
#define EVSHIM_HAVE_ILLUMOS_TYPES 1
typedef unsigned int uint_t;
typedef unsigned short ushort_t;
typedef struct timespec timespec_t;
typedef struct timespec timestruc_t;
typedef struct itimerspec itimerspec_t;
#endif

/* Error numbers that some hosts lack. Own values lie above every host's (the largest is below 200). */
#ifndef ETIME
#define ETIME 262
#endif
#ifndef EBADFD
#define EBADFD 281
#endif

typedef struct port_event {
	int portev_events;         /* what happened: poll bits, user's value, expiry count */
	unsigned short portev_source; /* PORT_SOURCE_* */
	unsigned short portev_pad; /* never written: do not compare it */
	uintptr_t portev_object;   /* descriptor, address of a file_obj_t, ... by source */
	void *portev_user;         /* the user's value, verbatim */
} port_event_t;

typedef struct port_notify {
	int portnfy_port;   /* bind the request to this port */
	void *portnfy_user; /* becomes portev_user */
} port_notify_t;

typedef struct file_obj {
	struct timespec fo_atime; /* time stamps as stat(2) gave them, or zero */
	struct timespec fo_mtime;
	struct timespec fo_ctime;
	uintptr_t fo_pad[3];
	char *fo_name; /* null-terminated path */
} file_obj_t;

/* Sources (portev_source). */
#define PORT_SOURCE_AIO 1
#define PORT_SOURCE_TIMER 2
#define PORT_SOURCE_USER 3
#define PORT_SOURCE_FD 4
#define PORT_SOURCE_ALERT 5
#define PORT_SOURCE_MQ 6
#define PORT_SOURCE_FILE 7

/* Flags of port_alert(). */
#define PORT_ALERT_SET 0x01
#define PORT_ALERT_UPDATE 0x02
#define PORT_ALERT_INVALID (PORT_ALERT_SET | PORT_ALERT_UPDATE)

/* Watched and reported events of PORT_SOURCE_FILE. */
#define FILE_ACCESS 0x00000001
#define FILE_MODIFIED 0x00000002
#define FILE_ATTRIB 0x00000004
#define FILE_DELETE 0x00000010
#define FILE_RENAME_TO 0x00000020
#define FILE_RENAME_FROM 0x00000040
#define FILE_TRUNC 0x00100000
#define FILE_NOFOLLOW 0x10000000
#define UNMOUNTED 0x20000000
#define MOUNTEDOVER 0x40000000
#define FILE_EXCEPTION (UNMOUNTED | FILE_DELETE | FILE_RENAME_TO | FILE_RENAME_FROM | MOUNTEDOVER)

/* Event codes of PORT_SOURCE_AIO (illumos keeps them in <sys/aio.h>). */
#ifndef AIOLIO
#define AIOLIO 7
#endif
#ifndef AIOAREAD
#define AIOAREAD 11
#endif
#ifndef AIOAWRITE
#define AIOAWRITE 12
#endif
#ifndef AIOFSYNC
#define AIOFSYNC 20
#endif

/* sigev_notify value that binds a timer or request to a port. illumos has 4, which means SIGEV_THREAD_ID
 * here: a private value, valid at source level only. */
#ifndef SIGEV_PORT
#define SIGEV_PORT 0x455650
#endif

/* File type of a port in st_mode. */
#ifndef S_IFPORT
#define S_IFPORT 0xE000
#endif
#ifndef S_ISPORT
#define S_ISPORT(mode) (((mode) & 0xF000) == 0xE000)
#endif

#ifdef __cplusplus
}
#endif

#endif /* EVSHIM_SYS_PORT_H */
