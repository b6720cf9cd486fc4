/*
 * Process 1 of the guest: runs commands for the host, which speaks to it in lines over a virtio
 * port. Powers off when the host is gone.
 *
 * from the host to the host run ID COMMAND start 'sh -c COMMAND' hello ready for commands say ID
 * TEXT a line for its input out ID TEXT a line of its output or its errors end ID its input ends
 * exit ID STATUS it has ended (128 and the signal, if by one); its output was said before kill ID
 * SIGKILL to all of it
 *
 * Bounds: MAX_JOBS at a time (an ID is 0 to MAX_JOBS - 1, free again after its exit), lines of
 * MAX_LINE bytes; a longer line of output is cut in pieces. A command that stops reading its input
 * holds everybody up once its pipe is full (64 KiB): do not say that much.
 */
#include "vmtool.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_JOBS 16
#define MAX_LINE (64 * 1024)

struct job {
  pid_t pid; /* 0: free */
  int input;
  int output;
  size_t have;
  char line[MAX_LINE];
};

static struct job jobs[MAX_JOBS];
static int host = -1;

static void tell(const char *what, int id, const char *text, size_t length) {
  char head[32];
  int count = snprintf(head, sizeof head, "%s %d ", what, id);
  put(host, head, (size_t)count);
  put(host, text, length);
  put(host, "\n", 1);
}

static void close_fd(int *fd) {
  if (*fd >= 0) close(*fd);
  *fd = -1;
}

static void run(int id, const char *command) {
  struct job *job = &jobs[id];
  int input[2], output[2];
  if (pipe2(input, O_CLOEXEC) != 0 || pipe2(output, O_CLOEXEC) != 0) die("pipe");
  pid_t pid = fork();
  if (pid < 0) die("fork");
  if (pid == 0) {
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    setsid(); /* a group of its own, to be killed as a whole */
    dup2(input[0], 0);
    dup2(output[1], 1);
    dup2(output[1], 2);
    execl("/bin/sh", "sh", "-c", command, (char *)NULL);
    die("sh");
  }
  close(input[0]);
  close(output[1]);
  fcntl(output[0], F_SETFL, O_NONBLOCK);
  job->pid = pid;
  job->input = input[1];
  job->output = output[0];
  job->have = 0;
}

/*
 * Tells the whole lines that a job has written; at its end, or when a line gets too long, also the
 * rest.
 */
static void relay(int id, int is_over) {
  struct job *job = &jobs[id];
  for (;;) {
    ssize_t got = read(job->output, job->line + job->have, sizeof job->line - job->have);
    if (got > 0) job->have += (size_t)got;
    char *start = job->line, *end = job->line + job->have, *newline;
    while ((newline = memchr(start, '\n', (size_t)(end - start))) != NULL) {
      tell("out", id, start, (size_t)(newline - start));
      start = newline + 1;
    }
    job->have = (size_t)(end - start);
    memmove(job->line, start, job->have);
    int is_last = got <= 0 && is_over;
    if (job->have == sizeof job->line || (is_last && job->have > 0)) {
      tell("out", id, job->line, job->have);
      job->have = 0;
    }
    if (got == 0) close_fd(&job->output);
    if (got <= 0) return;
  }
}

/* Collects whoever has ended, orphans of the jobs included. */
static void reap(void) {
  int status;
  pid_t pid;
  while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
    for (int id = 0; id < MAX_JOBS; id++) {
      struct job *job = &jobs[id];
      if (job->pid != pid) continue;
      char text[16];
      int code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
      if (job->output >= 0) relay(id, 1);
      close_fd(&job->input);
      close_fd(&job->output);
      job->pid = 0;
      tell("exit", id, text, (size_t)snprintf(text, sizeof text, "%d", code));
    }
  }
}

static void obey(char *line) {
  char verb[8] = "";
  int id = -1, used = 0;
  if (sscanf(line, "%7s %d%n", verb, &id, &used) < 2 || id < 0 || id >= MAX_JOBS) {
    fprintf(stderr, "control: not understood: %s\n", line);
    return;
  }
  char *text = line[used] == ' ' ? line + used + 1 : line + used;
  struct job *job = &jobs[id];
  if (strcmp(verb, "run") == 0 && job->pid == 0) run(id, text);
  else if (job->pid == 0) return; /* it has just ended: the host will know in a moment */
  else if (strcmp(verb, "kill") == 0) kill(-job->pid, SIGKILL);
  else if (strcmp(verb, "end") == 0) close_fd(&job->input);
  else if (strcmp(verb, "say") == 0 && job->input >= 0) {
    /* a command that no longer reads is no reason to stop: its exit is told */
    if (write(job->input, text, strlen(text)) >= 0) (void)!write(job->input, "\n", 1);
  }
}

/* Takes in what the host said; false when it is gone. */
static int listen_to_host(void) {
  static char line[MAX_LINE];
  static size_t have;
  ssize_t got = read(host, line + have, sizeof line - 1 - have);
  if (got < 0) return errno == EINTR || errno == EAGAIN;
  if (got == 0) return 0;
  have += (size_t)got;
  char *start = line, *newline;
  while ((newline = memchr(start, '\n', (size_t)(line + have - start))) != NULL) {
    *newline = 0;
    obey(start);
    start = newline + 1;
  }
  have = (size_t)(line + have - start);
  memmove(line, start, have);
  return have < sizeof line - 1;
}

int control(const char *port) {
  sigset_t child;
  sigemptyset(&child);
  sigaddset(&child, SIGCHLD);
  sigprocmask(SIG_BLOCK, &child, NULL);
  int ended = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
  host = open_device(port, 0);
  if (host < 0 || ended < 0) die(port);
  put(host, "hello\n", 6);
  for (;;) {
    struct pollfd ready[2 + MAX_JOBS] = {{.fd = host, .events = POLLIN}, {.fd = ended, .events = POLLIN}};
    for (int id = 0; id < MAX_JOBS; id++) {
      ready[2 + id].fd = jobs[id].pid == 0 ? -1 : jobs[id].output;
      ready[2 + id].events = POLLIN;
    }
    if (poll(ready, 2 + MAX_JOBS, -1) < 0 && errno != EINTR) die("poll");
    if (ready[1].revents != 0) {
      struct signalfd_siginfo info;
      while (read(ended, &info, sizeof info) > 0) continue;
      reap();
    }
    for (int id = 0; id < MAX_JOBS; id++)
      if (ready[2 + id].revents != 0 && jobs[id].pid != 0 && jobs[id].output >= 0) relay(id, 0);
    if (ready[0].revents != 0 && !listen_to_host()) break;
  }
  sync();
  reboot(RB_POWER_OFF);
  return 1;
}
