/*
 * <sys/port_impl.h>: what some programs take from illumos' private header.
 * Copyright the evshim authors; MIT or Apache-2.0, at your choice.
 */
#ifndef EVSHIM_SYS_PORT_IMPL_H
#define EVSHIM_SYS_PORT_IMPL_H

#include <sys/port.h>

/* Entries that one pass of port_sendn() takes. */
#define PORT_MAX_LIST 8192

/* Sub-codes of the illumos system call, for programs that print or decode them. */
#define PORT_CREATE 0
#define PORT_ASSOCIATE 1
#define PORT_DISSOCIATE 2
#define PORT_SEND 3
#define PORT_SENDN 4
#define PORT_GET 5
#define PORT_GETN 6
#define PORT_ALERT 7
#define PORT_DISPATCH 8
#define PORT_SYS_NOPORT 0x100
#define PORT_SYS_NOSHARE 0x200
#define PORT_CODE_MASK 0xff

/* illumos' defaults of process.max-port-events and project.max-port-ids. */
#define PORT_DEFAULT_EVENTS 0x10000
#define PORT_DEFAULT_PORTS 0x2000
#define PORT_MAX_PORTS 0x10000

#endif /* EVSHIM_SYS_PORT_IMPL_H */
