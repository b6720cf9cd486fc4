/*
 * From the plan to the program: what the new process does before it is one, in this order, each
 * step where it can still be told what failed.
 */
#include "keeper.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_close_range
#define SYS_close_range 436
#endif

#define SCORE_FILE "/proc/self/oom_score_adj"
/* Where the reports go, in the new process. */
#define REPORT_FD 3

/* The program is as likely a victim as the server is, whatever the keeper made of itself. */
static char inherited_score[16];

static ssize_t read_text(const char *path, char *text, size_t room) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  ssize_t length = read(fd, text, room - 1);
  close(fd);
  if (length < 0) return -1;
  text[length] = '\0';
  return length;
}

static int write_text(const char *path, const char *text) {
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  ssize_t put = write(fd, text, strlen(text));
  int error = errno;
  close(fd);
  errno = error;
  return put < 0 ? -1 : 0;
}

/*
 * A keeper that the kernel kills to have memory leaves a tree behind. Only root may do this; others
 * are as likely victims as anybody.
 */
static void be_spared(void) {
  if (read_text(SCORE_FILE, inherited_score, sizeof inherited_score) > 0) write_text(SCORE_FILE, "-1000");
}

static void report(int32_t stage, int32_t error) {
  struct report record = {stage, error};
  while (write(REPORT_FD, &record, sizeof record) < 0 && errno == EINTR) continue;
}

static _Noreturn void fail(int32_t stage, int32_t error) {
  report(stage, error);
  _exit(127);
}

static int enter_control_group(const char *group) {
  char path[4096];
  if ((size_t)snprintf(path, sizeof path, "%s/cgroup.procs", group) >= sizeof path) {
    errno = ENAMETOOLONG;
    return -1;
  }
  return write_text(path, "0");
}

static void set_terminal(const struct plan *plan) {
  if ((plan->flags & PLAN_TERMINAL) == 0) return;
  if (CALL(terminal, ioctl(STDIN_FILENO, TIOCSCTTY, 0)) != 0) fail(STAGE_TERMINAL, errno);
  /* programs open it by its name: it is the user's */
  if ((plan->flags & PLAN_USER) != 0 && CALL(fchown, fchown(STDIN_FILENO, plan->uid, (gid_t)-1)) != 0)
    fail(STAGE_TERMINAL, errno);
}

/*
 * Programs open them by their names (/dev/stdin): the pipes that were made for them are the user's.
 */
static void give_pipes(const struct plan *plan) {
  if ((plan->flags & PLAN_USER) == 0) return;
  for (int fd = 0; fd < CONTROL_FD; fd++) {
    struct stat status;
    if (fstat(fd, &status) == 0 && S_ISFIFO(status.st_mode) &&
        CALL(fchown, fchown(fd, plan->uid, (gid_t)-1)) != 0)
      fail(STAGE_USER, errno);
  }
}

static void set_limits(const struct plan *plan) {
  if (plan->control_group[0] != '\0' && CALL(control_group, enter_control_group(plan->control_group)) != 0)
    fail(STAGE_LIMITS, errno);
  /* where /proc is read-only the keeper could not change it, either */
  if (inherited_score[0] != '\0' && CALL(score, write_text(SCORE_FILE, inherited_score)) != 0 && errno != EROFS)
    fail(STAGE_LIMITS, errno);
  for (size_t index = 0; index < plan->limit_count; index++) {
    const struct limit *limit = &plan->limits[index];
    if (CALL(setrlimit, setrlimit((__rlimit_resource_t)limit->resource, &limit->values)) != 0)
      fail(STAGE_LIMITS, errno);
  }
  if ((plan->flags & PLAN_NICENESS) != 0 && CALL(setpriority, setpriority(PRIO_PROCESS, 0, plan->niceness)) != 0)
    fail(STAGE_LIMITS, errno);
  if ((plan->flags & PLAN_UMASK) != 0) umask((mode_t)plan->umask);
}

static void set_user(const struct plan *plan) {
  if ((plan->flags & PLAN_USER) != 0) {
    if (CALL(setgroups, setgroups(plan->group_count, plan->groups)) != 0) fail(STAGE_USER, errno);
    if (CALL(setgid, setresgid(plan->gid, plan->gid, plan->gid)) != 0) fail(STAGE_USER, errno);
    if (CALL(setuid, setresuid(plan->uid, plan->uid, plan->uid)) != 0) fail(STAGE_USER, errno);
  }
  if ((plan->flags & PLAN_NO_NEW_PRIVILEGES) != 0 &&
      CALL(no_new_privileges, prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) != 0)
    fail(STAGE_USER, errno);
}

/* A change of user takes it away, so it comes behind that. */
static void die_with(pid_t keeper) {
  if (CALL(parent_death, prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0)) != 0) fail(STAGE_PROCESS, errno);
  if (getppid() != keeper) _exit(127);
}

static void reset_signals(void) {
  sigset_t none;
  struct sigaction standard = {.sa_handler = SIG_DFL};
  /* those that the C library keeps for itself are refused, and are as they should be */
  for (int number = 1; number < NSIG; number++) sigaction(number, &standard, NULL);
  sigemptyset(&none);
  if (CALL(sigmask, sigprocmask(SIG_SETMASK, &none, NULL)) != 0) fail(STAGE_PROCESS, errno);
}

/* Those that /proc has, of which there are few; false where it is not there. */
static bool close_listed(void) {
  DIR *folder = ROOM(opendir, opendir("/proc/self/fd"));
  if (folder == NULL) return false;
  for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
    const int fd = (int)strtol(entry->d_name, NULL, 10);
    if (fd > REPORT_FD && fd != dirfd(folder)) close(fd);
  }
  closedir(folder);
  return true;
}

/* Before Linux 5.9 one by one; without /proc as many as there may be. */
static void close_others(void) {
  if (CALL(close_range, syscall(SYS_close_range, REPORT_FD + 1, ~0U, 0)) == 0) return;
  if (!is_unknown_call(errno)) fail(STAGE_PROCESS, errno);
  if (close_listed()) return;
  for (int fd = REPORT_FD + 1, end = (int)sysconf(_SC_OPEN_MAX); fd < end; fd++) close(fd);
}

static _Noreturn void execute(const struct plan *plan) {
  struct stat status;
  report(STAGE_EXECUTE, 0);
  (void)CALL(execve, execve(plan->file, plan->argv, plan->env));
  int error = errno;
  /* A script whose interpreter is missing fails as a file does that is not there. */
  bool is_missing = (error == ENOENT || error == ENOTDIR) && stat(plan->file, &status) != 0;
  fail(is_missing ? STAGE_SEARCH : STAGE_EXECUTE, error);
}

static _Noreturn void become(const struct plan *plan, pid_t keeper, int reports) {
  /* The socket was there: nobody else is to have it. */
  if (CALL(dup3, dup3(reports, REPORT_FD, O_CLOEXEC)) < 0) _exit(127);
  /* while as many are allowed as there may be */
  close_others();
  if (CALL(setsid, setsid()) < 0) fail(STAGE_PROCESS, errno);
  set_terminal(plan);
  set_limits(plan);
  give_pipes(plan);
  set_user(plan);
  if (plan->directory[0] != '\0' && CALL(chdir, chdir(plan->directory)) != 0) fail(STAGE_DIRECTORY, errno);
  die_with(keeper);
  reset_signals();
  execute(plan);
}

pid_t start_leader(const struct plan *plan, int *reports) {
  int ends[2];
  const pid_t keeper = getpid();
  if (CALL(pipe, pipe2(ends, O_CLOEXEC | O_NONBLOCK)) != 0) return -1;
  be_spared();
  pid_t leader = (pid_t)CALL(fork, fork());
  if (leader == 0) become(plan, keeper, ends[1]);
  int error = errno;
  close(ends[1]);
  if (leader < 0) close(ends[0]);
  else *reports = ends[0];
  errno = error;
  return leader;
}
