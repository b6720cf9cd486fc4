/*
 * What the parts of vmtool share. Every part is one sub-command; all of them end the process with a
 * message where the system says no.
 */
#ifndef VMTOOL_H
#define VMTOOL_H

#define _GNU_SOURCE
#include <stddef.h>

/* Ends with `vmtool: WHAT: the system's reason`. */
void die(const char *what);
/*
 * Opens a device for reading and writing; a terminal is made raw, and does not hang up. -1 with
 * errno where it cannot be.
 */
int open_device(const char *path, int flags);
/* Writes all of it. */
void put(int fd, const void *bytes, size_t count);

int control(const char *port);
int probe(const char *device);
int echo_device(const char *device, size_t count);
int vsock_echo(unsigned port);
int vsock_say(unsigned cid, unsigned port, const char *text);

#endif
