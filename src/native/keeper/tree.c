/*
 * The descendants, as /proc has them: read whole each time, since the lists of children that the
 * kernel keeps leave out some while others end. A process is signalled by a descriptor that is
 * compared with what was read, so that a number that was given again in between hits nobody.
 */
#include "keeper.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif

/* The first fields of /proc/PID/stat, of which the name is 16 bytes at most, and numbers. */
#define STAT_BYTES 1024
#define FIRST_ROOM 256

struct process {
  pid_t pid, parent, group;
  char state;
  unsigned long long start;
  bool ours;
};

struct list {
  struct process *processes;
  size_t count, room;
};

static bool read_process(pid_t pid, struct process *process) {
  char path[32], text[STAT_BYTES];
  snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  ssize_t length = read(fd, text, sizeof text - 1);
  close(fd);
  if (length <= 0) return false;
  text[length] = '\0';
  /* The name in front may hold anything, the last parenthesis is its end. */
  const char *rest = strrchr(text, ')');
  int parent, group;
  if (rest == NULL || sscanf(rest + 1,
                             " %c %d %d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
                             &process->state, &parent, &group, &process->start) != 4)
    return false;
  process->pid = pid;
  process->parent = parent;
  process->group = group;
  process->ours = false;
  return true;
}

static bool append(struct list *list, const struct process *process) {
  if (list->count == list->room) {
    size_t room = list->room == 0 ? FIRST_ROOM : list->room * 2;
    struct process *grown = ROOM(list, realloc(list->processes, room * sizeof *grown));
    if (grown == NULL) return false;
    list->processes = grown;
    list->room = room;
  }
  list->processes[list->count++] = *process;
  return true;
}

static bool read_all(struct list *list) {
  DIR *folder = ROOM(opendir, opendir("/proc"));
  if (folder == NULL) return false;
  bool whole = true;
  for (struct dirent *entry; whole && (entry = readdir(folder)) != NULL;) {
    struct process process;
    pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
    if (pid > 0 && read_process(pid, &process)) whole = append(list, &process);
  }
  closedir(folder);
  return whole;
}

static int by_pid(const void *left, const void *right) {
  pid_t a = ((const struct process *)left)->pid, b = ((const struct process *)right)->pid;
  return (a > b) - (a < b);
}

/*
 * Marks those whose parents are marked until none is added: a child mostly has a higher number than
 * its parent, so a pass or two do.
 */
static void mark_descendants(struct list *list) {
  const pid_t self = getpid();
  qsort(list->processes, list->count, sizeof *list->processes, by_pid);
  for (bool more = true; more;) {
    more = false;
    for (size_t index = 0; index < list->count; index++) {
      struct process *process = &list->processes[index];
      if (process->ours) continue;
      const struct process wanted = {.pid = process->parent};
      const struct process *parent =
          bsearch(&wanted, list->processes, list->count, sizeof *list->processes, by_pid);
      process->ours = process->parent == self || (parent != NULL && parent->ours);
      more = more || process->ours;
    }
  }
}

/* False: nobody can tell. What was read has to be freed in any case. */
static bool read_descendants(struct list *list) {
  if (!read_all(list) || list->count == 0) return false;
  mark_descendants(list);
  return true;
}

static bool is_dead(const struct process *process) { return process->state == 'Z' || process->state == 'X'; }

static bool is_stopped(const struct process *process) { return process->state == 'T' || process->state == 't'; }

static void send_signal(const struct process *process, int signal_number) {
  /* A child of ours keeps its number until we take its end, which we do not meanwhile. */
  if (process->parent == getpid()) {
    kill(process->pid, signal_number);
    return;
  }
  int fd = (int)CALL(pidfd_open, syscall(SYS_pidfd_open, process->pid, 0));
  /*
   * before Linux 5.3, and where a filter of system calls knows none of them, the number is all
   * there is
   */
  if (fd < 0 && is_unknown_call(errno)) kill(process->pid, signal_number);
  if (fd < 0) return;
  struct process now;
  if (read_process(process->pid, &now) && now.start == process->start &&
      CALL(pidfd_send_signal, syscall(SYS_pidfd_send_signal, fd, signal_number, NULL, 0)) != 0 && is_unknown_call(errno))
    kill(process->pid, signal_number);
  close(fd);
}

/*
 * Ourselves are always there where /proc is that of our processes: a look at all of them would take
 * as long as there are many.
 */
bool tree_is_known(void) {
  struct process self;
  return ROOM(opendir, "") != NULL && read_process(getpid(), &self);
}

int tree_count(void) {
  struct list list = {0};
  int count = read_descendants(&list) ? 0 : -1;
  for (size_t index = 0; count >= 0 && index < list.count; index++)
    if (list.processes[index].ours && !is_dead(&list.processes[index])) count++;
  free(list.processes);
  return count;
}

int tree_signal(int signal_number, enum choice choice, pid_t group) {
  struct list list = {0};
  int count = read_descendants(&list) ? 0 : -1;
  for (size_t index = 0; count >= 0 && index < list.count; index++) {
    const struct process *process = &list.processes[index];
    if (!process->ours) continue;
    if (choice == CHOOSE_GROUP && process->group != group) continue;
    if (choice == CHOOSE_RUNNING && is_stopped(process)) continue;
    send_signal(process, signal_number);
    /*
     * One whose first thread has ended looks dead while others of its threads go on: it is
     * signalled, and not waited for.
     */
    if (!is_dead(process)) count++;
  }
  free(list.processes);
  return count;
}
