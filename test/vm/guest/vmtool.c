/*
 * The guest's tool: what the bed needs inside and busybox does not have. Linked statically.
 *
 * vmtool control PORT process 1: runs what the host asks for on a virtio port (control.c) vmtool
 * probe DEVICE does one system call on a device for each line of its input (probe.c) vmtool echo
 * DEVICE COUNT says 'ready', sends COUNT bytes back on a device vmtool vsock-echo PORT says
 * 'ready', takes one AF_VSOCK connection, sends each byte back plus one vmtool vsock-say CID PORT
 * TEXT says TEXT to that, prints what came back minus one
 */
#include "vmtool.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

void die(const char *what) {
  fprintf(stderr, "vmtool: %s: %s\n", what, strerror(errno));
  exit(1);
}

int open_device(const char *path, int flags) {
  int fd = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC | flags);
  struct termios terminal;
  if (fd >= 0 && tcgetattr(fd, &terminal) == 0) {
    cfmakeraw(&terminal);
    terminal.c_cflag |= CLOCAL;
    terminal.c_cflag &= ~(tcflag_t)HUPCL;
    tcsetattr(fd, TCSANOW, &terminal);
  }
  return fd;
}

void put(int fd, const void *bytes, size_t count) {
  const char *at = bytes;
  while (count > 0) {
    ssize_t written = write(fd, at, count);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) die("write");
    at += written;
    count -= (size_t)written;
  }
}

int echo_device(const char *device, size_t count) {
  static char buffer[64 * 1024];
  int fd = open_device(device, 0);
  if (fd < 0) die(device);
  /* a UART loses what is sent before it is open */
  puts("ready");
  fflush(stdout);
  while (count > 0) {
    ssize_t got = read(fd, buffer, count < sizeof buffer ? count : sizeof buffer);
    if (got < 0) die(device);
    /* 0: the host is not there at the moment */
    if (got == 0) usleep(1000);
    put(fd, buffer, (size_t)got);
    count -= (size_t)got;
  }
  if (isatty(fd)) tcdrain(fd);
  return 0;
}

static unsigned number(const char *text) { return (unsigned)strtoul(text, NULL, 10); }

int main(int argc, char **argv) {
  const char *command = argc > 1 ? argv[1] : "";
  signal(SIGPIPE, SIG_IGN);
  if (strcmp(command, "control") == 0 && argc == 3) return control(argv[2]);
  if (strcmp(command, "probe") == 0 && argc == 3) return probe(argv[2]);
  if (strcmp(command, "echo") == 0 && argc == 4) return echo_device(argv[2], number(argv[3]));
  if (strcmp(command, "vsock-echo") == 0 && argc == 3) return vsock_echo(number(argv[2]));
  if (strcmp(command, "vsock-say") == 0 && argc == 5) return vsock_say(number(argv[2]), number(argv[3]), argv[4]);
  fputs("usage: see the head of vmtool.c\n", stderr);
  return 2;
}
