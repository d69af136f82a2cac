/*
 * The types of the exported functions as the library defines them, written a second time by hand: a parameter
 * changed in a header alone, or in the library and here but not in the header, no longer compiles. It is
 * compiled only. scripts/check-symbols.sh demands a line here for every function that a header declares.
 * Copyright the evshim authors; MIT or Apache-2.0, at your choice.
 */
#include <port.h>
#include <sys/event.h>

/* The fixed-width types that the library uses must be what the header's names stand for. */
typedef char uint_is_four_bytes[sizeof(uint_t) == 4 && (uint_t)-1 > 0 ? 1 : -1];
typedef char int_is_four_bytes[sizeof(int) == 4 ? 1 : -1];
typedef char object_is_a_pointer[sizeof(uintptr_t) == sizeof(void *) ? 1 : -1];

/* Sizes of the structures; their offsets have a test of their own (T-001). */
#define IS(name, condition) typedef char name[(condition) ? 1 : -1]
IS(event_size, sizeof(port_event_t) == (sizeof(void *) == 8 ? 24 : 16));
IS(event_source, sizeof(((port_event_t *)0)->portev_source) == 2);
IS(notify_size, sizeof(port_notify_t) == 2 * sizeof(void *));
IS(file_size, sizeof(file_obj_t) == 10 * sizeof(void *));
#ifdef EVSHIM_FREEBSD_KEVENT
IS(kevent_size, sizeof(void *) != 8 || sizeof(struct kevent) == 64);
#else
IS(kevent_size, sizeof(struct kevent) == (sizeof(void *) == 8 ? 32 : 20));
#endif
IS(kevent64_size, sizeof(struct kevent64_s) == 48);

#define EXPECT(result, function, parameters) \
	extern result (*const expect_##function) parameters; \
	result (*const expect_##function) parameters = function

EXPECT(int, port_create, (void));
EXPECT(int, port_associate, (int, int, uintptr_t, int, void *));
EXPECT(int, port_dissociate, (int, int, uintptr_t));
EXPECT(int, port_send, (int, int, void *));
EXPECT(int, port_sendn, (int *, int *, unsigned int, int, void *));
EXPECT(int, port_get, (int, struct port_event *, const struct timespec *));
EXPECT(int, port_getn, (int, struct port_event *, unsigned int, unsigned int *, const struct timespec *));
EXPECT(int, port_alert, (int, int, int, void *));

EXPECT(int, kqueue, (void));
EXPECT(int, kqueue1, (int));
EXPECT(int, kqueuex, (unsigned int));
#ifdef EVSHIM_FREEBSD_KEVENT
/* The header's kevent is this function by its asm label; the name as such is declared nowhere. */
#define evshim_kevent_freebsd kevent
EXPECT(int, evshim_kevent_freebsd, (int, const struct kevent *, int, struct kevent *, int, const struct timespec *));
#else
EXPECT(int, kevent, (int, const struct kevent *, int, struct kevent *, int, const struct timespec *));
EXPECT(int, kevent64, (int, const struct kevent64_s *, int, struct kevent64_s *, int, unsigned int,
	const struct timespec *));
#endif
