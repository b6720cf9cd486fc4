/*
 * The keeper's loop: what is asked, what the children do, and how the tree ends. The contract is in
 * keeper.h.
 */
#include "keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/*
 * Rounds of killing, and how far apart, until what is still there is told of; from there on seldom.
 */
#define MAX_ROUNDS 100
#define ROUND_MS 5
#define SELDOM_MS 1000
/*
 * Before it kills, a round stops whoever runs, again until nobody new is found, or so often: a
 * process in the kernel does not show that it was stopped.
 */
#define MAX_STOPS 16
/* Between two looks where the kernel has no memory to wait in. */
#define BLIND_MS 10

enum state { WAITING, STARTING, STARTED, FAILED };
enum ending { NOT_ENDING, ASKED, KILLING };

struct keeper {
  struct wire wire;
  enum state state;
  enum ending ending;
  /* The socket's end has been seen; the end of it means nothing any more. */
  bool is_alone, is_released, is_over;
  /* What made it impossible to keep anything, told once there is a plan. */
  int setup_error;
  int signals, reports;
  pid_t leader;
  struct report report;
  bool leader_ended;
  int status;
  struct rusage usage;
  bool has_terminal, told_left;
  uint64_t grace_ms;
  int64_t deadline;
  int rounds;
  char control_group[4096];
};

static int64_t now_ms(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

/* --- the end of the tree --- */

/*
 * To the leader's process group: its number is nobody else's while the leader has not been reaped,
 * or a child of ours is in it.
 */
static void signal_group(struct keeper *keeper, int number) {
  siginfo_t info;
  if (keeper->leader_ended &&
      waitid(P_PGID, (id_t)keeper->leader, &info, WEXITED | WNOHANG | WNOWAIT) != 0) {
    /* those whose parents live on in other groups */
    tree_signal(number, CHOOSE_GROUP, keeper->leader);
    return;
  }
  kill(-keeper->leader, number);
}

static int signal_tree(struct keeper *keeper, int number, enum choice choice) {
  int count = tree_signal(number, choice, 0);
  if (count < 0) signal_group(keeper, number);
  return count;
}

static void kill_control_group(struct keeper *keeper) {
  char path[sizeof keeper->control_group + 16];
  if (keeper->control_group[0] == '\0') return;
  snprintf(path, sizeof path, "%s/cgroup.kill", keeper->control_group);
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return;
  /* before Linux 5.14 there is none, and the walk does it */
  ssize_t put = write(fd, "1", 1);
  (void)put;
  close(fd);
}

static void kill_round(struct keeper *keeper) {
  kill_control_group(keeper);
  for (int stops = 0; stops < MAX_STOPS && signal_tree(keeper, SIGSTOP, CHOOSE_RUNNING) > 0;) stops++;
  int count = signal_tree(keeper, SIGKILL, CHOOSE_ALL);
  bool is_long = ++keeper->rounds >= MAX_ROUNDS;
  keeper->deadline = now_ms() + (is_long ? SELDOM_MS : ROUND_MS);
  if (!is_long || keeper->told_left || keeper->state != STARTED) return;
  const uint64_t left = count < 0 ? 0 : (uint64_t)count;
  wire_tell(&keeper->wire, TELL_LEFT, 1, &left);
  keeper->told_left = true;
}

static void end_tree(struct keeper *keeper, uint64_t grace_ms) {
  const int64_t now = now_ms(), deadline = now + (int64_t)grace_ms;
  if (keeper->state != STARTED || (keeper->ending == NOT_ENDING && grace_ms == 0)) {
    keeper->ending = KILLING;
    keeper->deadline = now;
  } else if (keeper->ending == NOT_ENDING) {
    signal_tree(keeper, keeper->has_terminal ? SIGHUP : SIGTERM, CHOOSE_ALL);
    signal_tree(keeper, SIGCONT, CHOOSE_ALL);
    keeper->ending = ASKED;
    keeper->deadline = deadline;
  } else if (keeper->ending == ASKED && deadline < keeper->deadline) {
    keeper->deadline = deadline;
  }
}

static void go_on_ending(struct keeper *keeper) {
  if (keeper->ending == NOT_ENDING || now_ms() < keeper->deadline) return;
  keeper->ending = KILLING;
  if (keeper->state == STARTING) kill(keeper->leader, SIGKILL);
  kill_round(keeper);
}

static void be_alone(struct keeper *keeper) {
  if (keeper->is_alone) return;
  keeper->is_alone = true;
  close(CONTROL_FD);
  if (keeper->leader > 0 && !keeper->is_released && !keeper->is_over) end_tree(keeper, keeper->grace_ms);
}

/* --- what is asked --- */

static void fail_launch(struct keeper *keeper, enum stage stage, int error) {
  const uint64_t numbers[] = {stage, (uint64_t)error};
  keeper->state = FAILED;
  wire_tell(&keeper->wire, TELL_FAILED, 2, numbers);
}

static void start(struct keeper *keeper) {
  struct plan plan;
  int error = keeper->setup_error;
  if (error != 0) return fail_launch(keeper, STAGE_PROCESS, error);
  error = read_plan(keeper->wire.body, keeper->wire.length, &plan);
  if (error == 0 && strlen(plan.control_group) >= sizeof keeper->control_group) error = ENAMETOOLONG;
  if (error != 0) {
    free_plan(&plan);
    return fail_launch(keeper, STAGE_PLAN, error);
  }
  strcpy(keeper->control_group, plan.control_group);
  keeper->has_terminal = (plan.flags & PLAN_TERMINAL) != 0;
  keeper->grace_ms = plan.grace_ms;
  keeper->leader = start_leader(&plan, &keeper->reports);
  error = errno;
  free_plan(&plan);
  /* Whoever reads the command's output waits for the last copy of its end. */
  for (int fd = 0; fd < CONTROL_FD; fd++) close(fd);
  if (keeper->leader < 0) fail_launch(keeper, STAGE_PROCESS, error);
  else keeper->state = STARTING;
}

static void pass_signal(struct keeper *keeper) {
  const int number = (int)wire_number(&keeper->wire, 0);
  const pid_t group = (pid_t)wire_number(&keeper->wire, 2);
  switch (wire_number(&keeper->wire, 1)) {
    case SCOPE_LEADER:
      if (!keeper->leader_ended) kill(keeper->leader, number);
      break;
    case SCOPE_GROUP:
      signal_group(keeper, number);
      break;
    case SCOPE_TREE:
      signal_tree(keeper, number, CHOOSE_ALL);
      break;
    case SCOPE_FOREGROUND:
      tree_signal(number, CHOOSE_GROUP, group);
      break;
  }
}

/* False: it makes no sense. */
static bool obey(struct keeper *keeper) {
  const struct wire *wire = &keeper->wire;
  if (keeper->state == WAITING) {
    if (wire->kind != ASK_PLAN) return false;
    start(keeper);
    return true;
  }
  switch (wire->kind) {
    case ASK_SIGNAL:
      if (keeper->state == STARTED) pass_signal(keeper);
      return wire->length == 3 * sizeof(uint64_t);
    case ASK_END:
      if (wire->length != sizeof(uint64_t)) return false;
      if (keeper->state != FAILED) end_tree(keeper, wire_number(wire, 0) & UINT32_MAX);
      return true;
    case ASK_RELEASE:
      keeper->is_released = keeper->leader_ended && keeper->ending == NOT_ENDING;
      return wire->length == 0;
    default:
      return false;
  }
}

/* While the answers find room. */
static void hear(struct keeper *keeper) {
  while (!keeper->is_alone && keeper->wire.filled < OUT_EVENT_BYTES) {
    int got = wire_receive(&keeper->wire);
    if (got == 0) return;
    bool makes_sense = got > 0 && obey(keeper);
    wire_next(&keeper->wire);
    keeper->wire.most = MAX_REQUEST_BYTES;
    if (!makes_sense) be_alone(keeper);
  }
}

/* --- what the children do --- */

static uint64_t microseconds(const struct timeval *time) {
  return (uint64_t)time->tv_sec * 1000000 + (uint64_t)time->tv_usec;
}

/* One that has no child has no descendant: whoever loses its parent becomes a child. */
static void tell_ended(struct keeper *keeper, bool is_left) {
  const int status = keeper->status;
  const int count = is_left ? tree_count() : 0;
  const bool by_signal = WIFSIGNALED(status);
  const uint64_t numbers[] = {
      by_signal ? 0 : (uint64_t)WEXITSTATUS(status),
      by_signal ? (uint64_t)WTERMSIG(status) : 0,
      by_signal && WCOREDUMP(status),
      microseconds(&keeper->usage.ru_utime),
      microseconds(&keeper->usage.ru_stime),
      (uint64_t)keeper->usage.ru_maxrss,
      count < 0 ? 0 : (uint64_t)count,
  };
  wire_tell(&keeper->wire, TELL_ENDED, sizeof numbers / sizeof *numbers, numbers);
}

/* What the new process has said, until it is the program or gone. */
static void hear_leader(struct keeper *keeper) {
  struct report report;
  ssize_t got;
  if (keeper->state != STARTING) return;
  while ((got = read(keeper->reports, &report, sizeof report)) == (ssize_t)sizeof report) keeper->report = report;
  if (got < 0) return;
  close(keeper->reports);
  keeper->reports = -1;
  report = keeper->report;
  if (report.stage != STAGE_EXECUTE || report.error != 0) {
    /* one that said nothing was killed */
    if (report.error == 0) report = (struct report){STAGE_PROCESS, ECHILD};
    return fail_launch(keeper, (enum stage)report.stage, report.error);
  }
  const uint64_t reach = keeper->control_group[0] != '\0' ? REACH_CONTROL_GROUP
                         : tree_is_known()               ? REACH_TREE
                                                         : REACH_GROUP;
  const uint64_t numbers[] = {(uint64_t)keeper->leader, reach};
  keeper->state = STARTED;
  wire_tell(&keeper->wire, TELL_STARTED, 2, numbers);
}

/* Takes the end of whoever has ended; false: there is no child any more, and so no descendant. */
static bool reap(struct keeper *keeper) {
  bool was_running = !keeper->leader_ended;
  for (;;) {
    int status;
    struct rusage usage;
    pid_t pid = wait4(-1, &status, WNOHANG | WUNTRACED | WCONTINUED, &usage);
    if (pid <= 0) {
      bool is_left = pid == 0 || errno != ECHILD;
      if (was_running && keeper->leader_ended && keeper->state == STARTED) tell_ended(keeper, is_left);
      return is_left;
    }
    if (pid != keeper->leader) continue;
    /* what it did as our own code comes first */
    hear_leader(keeper);
    if (WIFEXITED(status) || WIFSIGNALED(status)) {
      keeper->leader_ended = true;
      keeper->status = status;
      keeper->usage = usage;
    } else if (keeper->state == STARTED && keeper->ending != KILLING) {
      const uint64_t number = WIFSTOPPED(status) ? (uint64_t)WSTOPSIG(status) : 0;
      wire_tell(&keeper->wire, WIFSTOPPED(status) ? TELL_STOPPED : TELL_CONTINUED, WIFSTOPPED(status) ? 1 : 0, &number);
    }
  }
}

/* --- the loop --- */

static void hear_signals(struct keeper *keeper) {
  struct signalfd_siginfo info;
  while (read(keeper->signals, &info, sizeof info) == (ssize_t)sizeof info)
    if (info.ssi_signo == SIGTERM && keeper->leader > 0 && !keeper->is_released && !keeper->is_over)
      end_tree(keeper, keeper->grace_ms);
}

static void wait_for_something(const struct keeper *keeper) {
  const struct wire *wire = &keeper->wire;
  const short in = wire->filled < (keeper->is_over ? 1 : OUT_EVENT_BYTES) ? POLLIN : 0;
  struct pollfd descriptors[] = {
      {.fd = keeper->is_alone ? -1 : CONTROL_FD, .events = (short)(in | (wire->filled > 0 ? POLLOUT : 0))},
      {.fd = keeper->signals, .events = POLLIN},
      {.fd = keeper->reports, .events = POLLIN},
  };
  int timeout = -1;
  if (keeper->ending != NOT_ENDING && !keeper->is_over) {
    int64_t left = keeper->deadline - now_ms();
    timeout = left < 0 ? 0 : left > INT32_MAX ? INT32_MAX : (int)left;
  }
  const struct timespec blind = {.tv_nsec = BLIND_MS * 1000000};
  if (CALL(poll, poll(descriptors, 3, timeout)) < 0 && errno != EINTR) nanosleep(&blind, NULL);
}

static void set_up(struct keeper *keeper) {
  sigset_t all, heard;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, NULL);
  sigemptyset(&heard);
  sigaddset(&heard, SIGCHLD);
  sigaddset(&heard, SIGTERM);
  /* One that the server has put into a session of its own is there already. */
  setsid();
  if (CALL(subreaper, prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)) != 0) keeper->setup_error = errno;
  keeper->signals = CALL(signalfd, signalfd(-1, &heard, SFD_NONBLOCK | SFD_CLOEXEC));
  if (keeper->signals < 0) keeper->setup_error = errno;
}

/*
 * The last words are said: true once the server has closed its side as well. One that writes to a
 * socket that is gone throws away what it has not yet read of it.
 */
static bool has_parted(void) {
  uint8_t unread[256];
  ssize_t got;
  shutdown(CONTROL_FD, SHUT_WR);
  while ((got = recv(CONTROL_FD, unread, sizeof unread, MSG_DONTWAIT)) > 0) continue;
  return got == 0 || (errno != EAGAIN && errno != EINTR);
}

/*
 * One turn of everything but waiting and sending. True: there is nothing more to do, and what is
 * said now is the last.
 */
static bool turn(struct keeper *keeper) {
  hear(keeper);
  bool is_left = keeper->state != WAITING && reap(keeper);
  hear_leader(keeper);
  go_on_ending(keeper);
  if (is_left) return false;
  if (keeper->state == STARTED && keeper->leader_ended) {
    wire_tell(&keeper->wire, TELL_EMPTY, 0, NULL);
    return true;
  }
  return keeper->state == FAILED || (keeper->state == WAITING && keeper->is_alone);
}

int main(int count, char **words) {
  if (count == 2 && strcmp(words[1], "--version") == 0) return printf("%d\n", KEEPER_VERSION) < 0;
  static struct keeper keeper = {.signals = -1, .reports = -1, .wire = {.most = MAX_PLAN_BYTES}};
  set_up(&keeper);
  for (;;) {
    hear_signals(&keeper);
    if (!keeper.is_over) keeper.is_over = turn(&keeper);
    if (!keeper.is_alone && wire_flush(&keeper.wire) != 0) be_alone(&keeper);
    /* the last words wait for a server that takes them, or is gone */
    if (keeper.is_over && (keeper.is_alone || (keeper.wire.filled == 0 && has_parted()))) break;
    wait_for_something(&keeper);
  }
  wire_next(&keeper.wire);
  /* nobody is in it any more, and nobody else is there to do it where the server is gone */
  if (keeper.control_group[0] != '\0') rmdir(keeper.control_group);
  return 0;
}
