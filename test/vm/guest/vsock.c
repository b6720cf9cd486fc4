/*
 * AF_VSOCK as plain as it gets: shows that the kernel's part works, whatever the program under test
 * makes of it.
 */
#include "vmtool.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
/* after sys/socket.h, which it builds on */
#include <linux/vm_sockets.h>

static int vsock(void) {
  int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) die("socket(AF_VSOCK)");
  return fd;
}

static struct sockaddr_vm address(unsigned cid, unsigned port) {
  struct sockaddr_vm given;
  memset(&given, 0, sizeof given);
  given.svm_family = AF_VSOCK;
  given.svm_cid = cid;
  given.svm_port = port;
  return given;
}

/* Plus one, so that what returns cannot be a mirror of the sender's own buffer. */
int vsock_echo(unsigned port) {
  char buffer[4096];
  int listening = vsock();
  struct sockaddr_vm any = address(VMADDR_CID_ANY, port);
  if (bind(listening, (void *)&any, sizeof any) != 0 || listen(listening, 1) != 0) die("vsock listen");
  puts("ready");
  fflush(stdout);
  int fd = accept(listening, NULL, NULL);
  if (fd < 0) die("vsock accept");
  for (;;) {
    ssize_t got = read(fd, buffer, sizeof buffer);
    if (got < 0) die("vsock read");
    if (got == 0) return 0;
    for (ssize_t i = 0; i < got; i++) buffer[i]++;
    put(fd, buffer, (size_t)got);
  }
}

int vsock_say(unsigned cid, unsigned port, const char *text) {
  char buffer[4096];
  size_t length = strlen(text), have = 0;
  struct sockaddr_vm peer = address(cid, port);
  socklen_t size = sizeof peer;
  int fd = vsock();
  if (length > sizeof buffer) {
    errno = EMSGSIZE;
    die("the text");
  }
  if (connect(fd, (void *)&peer, sizeof peer) != 0) die("vsock connect");
  put(fd, text, length);
  while (have < length) {
    ssize_t got = read(fd, buffer + have, length - have);
    if (got < 0) die("vsock read");
    if (got == 0) break;
    have += (size_t)got;
  }
  for (size_t i = 0; i < have; i++) buffer[i]--;
  if (getpeername(fd, (void *)&peer, &size) != 0) die("getpeername");
  printf("%u %.*s\n", peer.svm_cid, (int)have, buffer);
  return 0;
}
