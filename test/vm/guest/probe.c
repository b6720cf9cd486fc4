/*
 * One system call on a device for each line of standard input, one line of answer: so a test plays
 * with both ends of a device, step by step, and sees what the kernel says, with nothing between
 * that retries, polls or buffers.
 *
 * open [nb] 'ok' or the error's name (nb: without blocking). A device that was open before is
 * closed only if that worked close 'ok' poll what can be done now: 'IN OUT HUP', any of them read
 * COUNT 'COUNT TEXT', 'blocked' after 500 ms, or the error's name write TEXT the number of bytes,
 * 'blocked' after 500 ms, or the error's name fill COUNT writes until COUNT bytes are written or no
 * more go: 'COUNT', then why it ended waiting the bytes that can be read from a terminal, or the
 * error's name drain reads until nothing comes: 'COUNT', then why it ended; checks that it is all
 * one byte, else 'mixed' follows
 */
#include "vmtool.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/time.h>
#include <unistd.h>

#define BLOCKED_MS 500
#define PIECE (32 * 1024)

static char buffer[PIECE];
static int fd = -1;

static void on_alarm(int signal) { (void)signal; }

/*
 * A call that blocks is broken off by SIGALRM; again and again, in case the first one came just
 * before the call.
 */
static void set_alarm(int delay_ms) {
  struct itimerval timer = {
      .it_value = {.tv_usec = delay_ms * 1000},
      .it_interval = {.tv_usec = delay_ms > 0 ? 50 * 1000 : 0},
  };
  setitimer(ITIMER_REAL, &timer, NULL);
}

/* Why a call gave `result`. */
static const char *reason(ssize_t result) {
  if (result == 0) return "0";
  return errno == EINTR ? "blocked" : strerrorname_np(errno);
}

static void do_open(const char *path, const char *how) {
  int opened = open_device(path, strcmp(how, "nb") == 0 ? O_NONBLOCK : 0);
  if (opened < 0) {
    puts(reason(-1));
    return;
  }
  if (fd >= 0) close(fd);
  fd = opened;
  puts("ok");
}

static void do_close(void) {
  close(fd);
  fd = -1;
  puts("ok");
}

static void do_poll(void) {
  struct pollfd asked = {.fd = fd, .events = POLLIN | POLLOUT};
  poll(&asked, 1, 0);
  const char *in = asked.revents & POLLIN ? "IN " : "", *out = asked.revents & POLLOUT ? "OUT " : "";
  printf("%s%s%s\n", in, out, asked.revents & POLLHUP ? "HUP" : "");
}

static void do_read(size_t count) {
  ssize_t got = read(fd, buffer, count < sizeof buffer ? count : sizeof buffer);
  if (got <= 0) puts(reason(got));
  else printf("%zd %.*s\n", got, (int)got, buffer);
}

static void do_write(const char *text) {
  ssize_t written = write(fd, text, strlen(text));
  if (written < 0) puts(reason(written));
  else printf("%zd\n", written);
}

static void do_fill(size_t count) {
  size_t done = 0;
  ssize_t written = 1;
  memset(buffer, 'f', sizeof buffer);
  while (done < count && written > 0) {
    written = write(fd, buffer, count - done < PIECE ? count - done : PIECE);
    if (written > 0) done += (size_t)written;
  }
  printf("%zu %s\n", done, done < count ? reason(written) : "done");
}

static void do_waiting(void) {
  int count;
  if (ioctl(fd, FIONREAD, &count) != 0) puts(reason(-1));
  else printf("%d\n", count);
}

static void do_drain(void) {
  size_t done = 0;
  int mixed = 0;
  char first = 0;
  ssize_t got;
  while ((got = read(fd, buffer, sizeof buffer)) > 0) {
    if (done == 0) first = buffer[0];
    for (ssize_t i = 0; i < got; i++) mixed |= buffer[i] != first;
    done += (size_t)got;
  }
  printf("%zu %s%s\n", done, reason(got), mixed ? " mixed" : "");
}

int probe(const char *device) {
  static char line[4096];
  struct sigaction action = {.sa_handler = on_alarm}; /* without SA_RESTART */
  sigaction(SIGALRM, &action, NULL);
  while (fgets(line, sizeof line, stdin) != NULL) {
    line[strcspn(line, "\n")] = 0;
    char *argument = strchr(line, ' ');
    if (argument != NULL) *argument++ = 0;
    else argument = "";
    set_alarm(BLOCKED_MS);
    if (strcmp(line, "open") == 0) do_open(device, argument);
    else if (strcmp(line, "close") == 0) do_close();
    else if (strcmp(line, "poll") == 0) do_poll();
    else if (strcmp(line, "read") == 0) do_read(strtoul(argument, NULL, 10));
    else if (strcmp(line, "write") == 0) do_write(argument);
    else if (strcmp(line, "fill") == 0) do_fill(strtoul(argument, NULL, 10));
    else if (strcmp(line, "waiting") == 0) do_waiting();
    else if (strcmp(line, "drain") == 0) do_drain();
    else puts("what?");
    set_alarm(0);
    fflush(stdout);
  }
  return 0;
}
