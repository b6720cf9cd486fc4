/*
 * The keeper: a process that starts one command, reaps whatever comes of it, and ends all of it
 * when it is told to or when the server that it works for is gone. One keeper a command; it needs
 * no library of the machine that it runs on. This is its contract.
 *
 * Usage: keeper, with a connected stream socket as descriptor 3; descriptors 0 to 2 become the
 * command's own, and the keeper closes its copies of them. Nothing else that is open reaches the
 * command. `keeper --version` prints the version of what follows.
 *
 * Both sides speak in records: the length of the body (u32), the kind (u32), the body; numbers are
 * the machine's own, since both ends are on it. The first record of the server is the plan, at most
 * MAX_PLAN_BYTES: u32s version, flags, grace in ms, uid, gid, umask, niceness (signed), how many
 * groups, limits, arguments and variables there are; the groups (u32); the limits (u32 resource,
 * u64 soft, u64 hard); and strings that end with NUL: directory, control group, file, the
 * arguments, the variables. An empty directory or control group is none. Every other record of
 * either side is a list of u64, and its kind says how many.
 *
 * The keeper answers the plan with STARTED once the file has been executed, or with FAILED, and is
 * gone then. After STARTED it tells how the leader ended, once, and at last EMPTY, when no
 * descendant is left: it is a subreaper, so whatever hides from the leader (setsid, a second fork)
 * becomes the keeper's own child. Then it is gone.
 *
 * Where the server's end of the socket ends, or what it says makes no sense, the tree is ended with
 * the plan's grace, as END does: TERM (HUP where there is a terminal) and CONT to all of it, KILL
 * to what is left after the grace, in rounds until nothing is. Processes are stopped before they
 * are killed, so that one that forks without end finds no room. RELEASE, which only counts once the
 * leader has ended, makes the end of the socket mean nothing. TERM to the keeper itself is the end
 * of the socket.
 *
 * Events that nobody takes: a second STOPPED or CONTINUED is dropped where the socket is full, and
 * the server's records wait. Room for the last words is always there.
 */
#ifndef TRUNKLINE_KEEPER_H
#define TRUNKLINE_KEEPER_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

/*
 * Says which of two that are of other releases they are: a plan of another version is refused,
 * whatever else is in it.
 */
#ifndef KEEPER_VERSION
#define KEEPER_VERSION 2
#endif

#define CONTROL_FD 3
/* Beyond the most that Linux takes as arguments and variables of a program, 6 MiB. */
#define MAX_PLAN_BYTES (8 * 1024 * 1024)
#define MAX_GROUPS 65536
#define MAX_LIMITS 16

enum plan_flags {
  /* Descriptor 0 is a terminal, which becomes the controlling one. */
  PLAN_TERMINAL = 1,
  PLAN_NO_NEW_PRIVILEGES = 2,
  /* uid, gid and groups mean something. */
  PLAN_USER = 4,
  PLAN_UMASK = 8,
  PLAN_NICENESS = 16,
};

/* Of the server. */
enum request {
  ASK_PLAN = 1,
  /*
   * signal, scope, group: to whom of the tree; the group counts for SCOPE_FOREGROUND, whose
   * terminal the server holds.
   */
  ASK_SIGNAL = 2,
  /* grace in ms: ends the tree; a second one may only shorten it. */
  ASK_END = 3,
  ASK_RELEASE = 4,
};

enum scope { SCOPE_LEADER = 0, SCOPE_GROUP = 1, SCOPE_TREE = 2, SCOPE_FOREGROUND = 3 };

/* Of the keeper. */
enum answer {
  /* pid, reach */
  TELL_STARTED = 1,
  /* stage, errno */
  TELL_FAILED = 2,
  /*
   * code, signal (one of them is 0), whether it dumped core, user and system time in microseconds,
   * most memory in KiB, processes left
   */
  TELL_ENDED = 3,
  /* signal */
  TELL_STOPPED = 4,
  TELL_CONTINUED = 5,
  /*
   * how many are still there after MAX_ROUNDS: those that we may not kill, and those that the
   * kernel does not let go of
   */
  TELL_LEFT = 6,
  TELL_EMPTY = 7,
};

/*
 * What can be ended: the leader's process group alone (where /proc is not mounted), every
 * descendant, or a control group besides.
 */
enum reach { REACH_GROUP = 0, REACH_TREE = 1, REACH_CONTROL_GROUP = 2 };

/* Where a launch fails. */
enum stage {
  STAGE_PLAN = 1,
  STAGE_PROCESS = 2,
  STAGE_TERMINAL = 3,
  STAGE_LIMITS = 4,
  STAGE_USER = 5,
  STAGE_DIRECTORY = 6,
  STAGE_SEARCH = 7,
  STAGE_EXECUTE = 8,
};

/*
 * Every call that can fail goes through one of these, so that a test can make it fail: a build with
 * KEEPER_FAULTS reads KEEPER_FAIL from its environment, NAME:ERRNO or NAME:ERRNO:NTH, where NTH is
 * the call that fails, 0 all of them.
 */
#ifdef KEEPER_FAULTS
bool keeper_fault(const char *name);
#define CALL(name, ...) (keeper_fault(#name) ? -1 : (__VA_ARGS__))
#define ROOM(name, ...) (keeper_fault(#name) ? NULL : (__VA_ARGS__))
#else
#define CALL(name, ...) (__VA_ARGS__)
#define ROOM(name, ...) (__VA_ARGS__)
#endif

/*
 * What a call fails with that this kernel does not have, or that a filter of system calls (a
 * container's) lets nobody make.
 */
static inline bool is_unknown_call(int error) { return error == ENOSYS || error == EPERM; }

/* --- plan.c: what the server wants --- */

struct limit {
  uint32_t resource;
  struct rlimit values;
};

/* Its strings lie in the bytes that it was read from. */
struct plan {
  uint32_t flags, grace_ms, uid, gid, umask;
  int32_t niceness;
  size_t group_count, limit_count;
  gid_t *groups;
  struct limit limits[MAX_LIMITS];
  const char *directory, *control_group, *file;
  char **argv, **env;
};

/* 0, or an errno: EPROTO for another version, EINVAL for what is no plan, ENOMEM. */
int read_plan(const uint8_t *bytes, size_t length, struct plan *plan);
void free_plan(struct plan *plan);

/* --- wire.c: records --- */

#define HEADER_BYTES 8
/* An ASK_SIGNAL is the longest but the plan. */
#define MAX_REQUEST_BYTES (3 * 8)
#define OUT_BYTES 1024
/* TELL_ENDED, TELL_LEFT and TELL_EMPTY, together 96 bytes, always fit behind these. */
#define OUT_EVENT_BYTES (OUT_BYTES - 128)

struct wire {
  uint8_t header[HEADER_BYTES];
  uint8_t *body;
  uint32_t length, kind;
  size_t got, most;
  uint8_t out[OUT_BYTES];
  size_t filled;
};

/*
 * 1: a record is there, in `kind` and `body`, until `wire_next`; 0: not yet; -1: there will be none
 * any more.
 */
int wire_receive(struct wire *wire);
void wire_next(struct wire *wire);
uint64_t wire_number(const struct wire *wire, size_t index);
void wire_tell(struct wire *wire, enum answer kind, size_t count, const uint64_t *numbers);
/* Sends what the socket takes; -1: nobody takes it any more. */
int wire_flush(struct wire *wire);

/* --- tree.c: who there is --- */

/* Whom a signal is for, of the descendants. */
enum choice { CHOOSE_ALL, CHOOSE_RUNNING, CHOOSE_GROUP };

/* Whether anybody can tell who the descendants are. */
bool tree_is_known(void);
/* How many descendants live, -1 where nobody can tell. */
int tree_count(void);
/*
 * Signals those of the descendants that are chosen; how many those are, -1 where nobody can tell
 * (no /proc, no memory).
 */
int tree_signal(int signal_number, enum choice choice, pid_t group);

/* --- leader.c: from the plan to the program --- */

/*
 * What the new process says before it is the program: the last thing it says is STAGE_EXECUTE
 * without an error.
 */
struct report {
  int32_t stage, error;
};

/*
 * Starts it; its pid, or -1 with errno. What it says comes from `*reports`, which ends when the
 * program is executed or the process is gone.
 */
pid_t start_leader(const struct plan *plan, int *reports);

#endif
