/*
 * <sys/event.h> where libkqueue has it: evshim's. Link with `pkg-config --libs libkqueue`.
 *
 * Copyright the evshim authors; MIT or Apache-2.0, at your choice.
 */
#ifndef LIBKQUEUE
#define LIBKQUEUE 1
#endif
#include "../../evshim/kqueue/sys/event.h"
