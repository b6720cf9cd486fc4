/*
 * The bytes of many connections, by one poller: one call reads from every socket that is ready.
 * Node's sockets cost a forward four fifths of its time (docs/internals/performance.md), most of it
 * for telling one event after the other; here a turn of the event loop is told of as one.
 *
 * A poller is an epoll descriptor, to be watched like any other (watch.c), and the sockets in it.
 * They are its own from `want` to `drop`: a worker that ends takes them along.
 */
#include "native.h"

#include <errno.h>
#include <limits.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

/*
 * Most that is read from one socket before the others have had their turn: a frame of trunkline's.
 */
#define READ_BYTES (64 * 1024)
/* Most sockets of one `read`. */
#define MAX_EVENTS 64
/* Most pieces of one sendmsg. */
#define MAX_PIECES 64
/* A record of `read`: whose it is, what happened, and its number. */
#define RECORD_FIELDS 3

/* What happened to a socket: bytes were read (0: its end), it is writable, it has failed. */
enum { WAS_READ = 1, WAS_WRITABLE = 2, HAS_FAILED = 4 };
/* What a socket is watched for. */
enum { READABLE = UV_READABLE, WRITABLE = UV_WRITABLE };

static const napi_type_tag POLLER_TAG = {0x3d2a90c15e7b46f8, 0xb1c7f4086a9d23e5};

/*
 * What is behind a number in the poller. Somebody who closes a socket that is the poller's lets the
 * number stand for something else.
 */
struct member {
  bool is_in;
  uint64_t cookie;
};

struct poller {
  int epoll;
  /* By descriptor. */
  struct member *members;
  size_t room;
};

/*
 * The kernel's own name for a socket, which no other one ever has; 0 where there is none (before
 * Linux 4.12, or no socket).
 */
static uint64_t cookie_of(int fd) {
  uint64_t cookie = 0;
  socklen_t length = sizeof cookie;
  return getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &length) == 0 ? cookie : 0;
}

static void end_poller(struct poller *poller) {
  for (size_t fd = 0; fd < poller->room; fd++) {
    if (poller->members[fd].is_in && poller->members[fd].cookie == cookie_of((int)fd)) close((int)fd);
  }
  close(poller->epoll);
  free(poller->members);
  free(poller);
}

/* The poller was dropped without close(), or its thread has ended. */
static void on_dropped(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  end_poller(data);
}

static bool has_member(const struct poller *poller, int fd) {
  return (size_t)fd < poller->room && poller->members[fd].is_in;
}

static bool add_member(struct poller *poller, int fd) {
  if ((size_t)fd >= poller->room) {
    size_t room = poller->room * 2 > (size_t)fd ? poller->room * 2 : (size_t)fd + 1;
    struct member *members = realloc(poller->members, room * sizeof *members);
    if (members == NULL) return false;
    memset(members + poller->room, 0, (room - poller->room) * sizeof *members);
    poller->members = members;
    poller->room = room;
  }
  poller->members[fd] = (struct member){.is_in = true, .cookie = cookie_of(fd)};
  return true;
}

/*
 * The poller that a method was called on, and the call's arguments; NULL with an exception pending
 * where there is none (any more).
 */
static struct poller *this_poller(napi_env env, napi_callback_info info, size_t count, napi_value *args) {
  napi_value self;
  void *data = NULL;
  if (napi_get_cb_info(env, info, &count, args, &self, NULL) != napi_ok) {
    raise_api(env);
    return NULL;
  }
  if (!read_wrapped(env, self, &POLLER_TAG, &data)) raise_argument(env, "this is not a poller");
  else if (data == NULL) raise_argument(env, "the poller is closed");
  return data;
}

/*
 * want(fd, id, events): from here on `read` tells of `fd`, by the name of `id`, when it is 1
 * readable or 2 writable, and when it fails.
 */
static napi_value js_want(napi_env env, napi_callback_info info) {
  napi_value args[3];
  int fd = -1;
  int64_t id = 0, events = 0;
  struct poller *poller = this_poller(env, info, 3, args);
  if (poller == NULL) return NULL;
  if (!read_fd(env, args[0], &fd)) return raise_argument(env, "not a descriptor");
  if (!read_whole(env, args[1], 0, INT32_MAX, &id)) return raise_argument(env, "id is not a whole number of 31 bits");
  if (!read_whole(env, args[2], 0, READABLE | WRITABLE, &events)) {
    return raise_argument(env, "events is not 0, 1, 2 or 3");
  }
  struct epoll_event event = {
      .events = ((events & READABLE) != 0 ? (uint32_t)EPOLLIN : 0) | ((events & WRITABLE) != 0 ? (uint32_t)EPOLLOUT : 0),
      .data.u64 = (uint64_t)(uint32_t)id << 32 | (uint32_t)fd,
  };
  bool added = !has_member(poller, fd);
  int status = epoll_ctl(poller->epoll, added ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, fd, &event);
  if (status != 0 && !added && errno == ENOENT) {
    /* one that hung up was taken out by `read` */
    added = true;
    status = epoll_ctl(poller->epoll, EPOLL_CTL_ADD, fd, &event);
  }
  if (status != 0) return raise_errno(env, errno, "epoll_ctl");
  if (added && !add_member(poller, fd)) {
    epoll_ctl(poller->epoll, EPOLL_CTL_DEL, fd, &event);
    return raise_errno(env, ENOMEM, "want");
  }
  return NULL;
}

/*
 * drop(fd, reset): takes the socket out and closes it; with `reset` its other side sees ECONNRESET,
 * and what it has not taken is thrown away. Harmless for one that is not in it.
 */
static napi_value js_drop(napi_env env, napi_callback_info info) {
  napi_value args[2];
  int fd = -1;
  bool reset = false;
  napi_valuetype type = napi_undefined;
  struct epoll_event event = {0};
  const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
  struct poller *poller = this_poller(env, info, 2, args);
  if (poller == NULL) return NULL;
  if (!read_fd(env, args[0], &fd)) return raise_argument(env, "not a descriptor");
  CHECK(env, napi_typeof(env, args[1], &type));
  if (type != napi_undefined) CHECK(env, napi_get_value_bool(env, args[1], &reset));
  if (!has_member(poller, fd)) return NULL;
  poller->members[fd].is_in = false;
  /* somebody has closed the poller's socket, and the number is another's now */
  if (poller->members[fd].cookie != cookie_of(fd)) return raise_errno(env, EBADF, "drop");
  /*
   * Not left to close: while a child is being started it has a copy of the descriptor, which would
   * keep the socket in here.
   */
  epoll_ctl(poller->epoll, EPOLL_CTL_DEL, fd, &event);
  /* Fails only for what is no socket, which is then closed all the same. */
  if (reset) setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  close(fd);
  return NULL;
}

static int pending_error(int fd) {
  int error = 0;
  socklen_t length = sizeof error;
  return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) == 0 ? error : errno;
}

/* Reads once from a socket that is ready. */
static int read_once(int fd, uint8_t *into, int32_t *value) {
  ssize_t got;
  do {
    got = recv(fd, into, READ_BYTES, MSG_DONTWAIT);
  } while (got < 0 && errno == EINTR);
  if (got >= 0) {
    *value = (int32_t)got;
    return WAS_READ;
  }
  /* somebody else has read it: nobody may, but nothing is lost by asking again */
  if (is_later(errno)) return 0;
  *value = uv_translate_sys_error(errno);
  return HAS_FAILED;
}

static int deal_with(struct poller *poller, const struct epoll_event *event, uint8_t *into, int32_t *value) {
  int fd = (int)(uint32_t)event->data.u64;
  int what = 0;
  if ((event->events & EPOLLIN) != 0) {
    what = read_once(fd, into, value);
  } else if ((event->events & (EPOLLERR | EPOLLHUP)) != 0) {
    /*
     * Nobody reads. What came before a reset is not lost by it: the bytes first, and then the
     * kernel tells of it again.
     */
    int unread = 0, error = 0;
    if (ioctl(fd, FIONREAD, &unread) != 0 || unread == 0) error = pending_error(fd);
    if (error != 0) {
      *value = uv_translate_sys_error(error);
      what = HAS_FAILED;
    } else {
      /* It would be told of for ever. Reading, when it is wanted again, finds the rest. */
      struct epoll_event none = {0};
      epoll_ctl(poller->epoll, EPOLL_CTL_DEL, fd, &none);
    }
  }
  if ((event->events & EPOLLOUT) != 0 && what != HAS_FAILED) what |= WAS_WRITABLE;
  return what;
}

/*
 * read(into, offset, records): reads from every socket that is ready, at most 64 KiB from each and
 * from as many as there is room for, one behind the other from `offset` on. Gives how many records
 * there are in `records`: id, what happened (1 read, 2 writable, 4 failed, added up), and the
 * number of bytes, 0 for the end, or of the error (libuv's, below 0). Who was not reached is first
 * next time.
 */
static napi_value js_read_ready(napi_env env, napi_callback_info info) {
  size_t length = 0, fields = 0;
  napi_value args[3], result;
  napi_typedarray_type type = napi_uint8_array;
  uint8_t *bytes = NULL;
  void *data = NULL;
  int64_t offset = 0;
  struct epoll_event events[MAX_EVENTS];
  struct poller *poller = this_poller(env, info, 3, args);
  if (poller == NULL) return NULL;
  if (!read_bytes(env, args[0], &bytes, &length)) return raise_argument(env, "into is not a Uint8Array");
  if (!read_whole(env, args[1], 0, (int64_t)length, &offset)) {
    return raise_argument(env, "offset is not within the array");
  }
  if (napi_get_typedarray_info(env, args[2], &type, &fields, &data, NULL, NULL) != napi_ok ||
      type != napi_int32_array) {
    return raise_argument(env, "records is not an Int32Array");
  }
  size_t most = (length - (size_t)offset) / READ_BYTES;
  if (most > fields / RECORD_FIELDS) most = fields / RECORD_FIELDS;
  if (most > MAX_EVENTS) most = MAX_EVENTS;
  if (most == 0) return raise_argument(env, "there is no room for one read");
  int ready;
  do {
    ready = epoll_wait(poller->epoll, events, (int)most, 0);
  } while (ready < 0 && errno == EINTR);
  if (ready < 0) return raise_errno(env, errno, "epoll_wait");
  int32_t *record = data;
  for (int index = 0; index < ready; index++, record += RECORD_FIELDS) {
    record[0] = (int32_t)(events[index].data.u64 >> 32);
    record[2] = 0;
    record[1] = deal_with(poller, &events[index], bytes + offset, &record[2]);
    if ((record[1] & WAS_READ) != 0) offset += record[2];
  }
  CHECK(env, napi_create_int32(env, ready, &result));
  return result;
}

/*
 * close(): closes the poller and every socket that is still in it. Harmless for one that is closed.
 */
static napi_value js_poller_close(napi_env env, napi_callback_info info) {
  napi_value self;
  void *data = NULL;
  CHECK(env, napi_get_cb_info(env, info, NULL, NULL, &self, NULL));
  if (!read_wrapped(env, self, &POLLER_TAG, &data)) return raise_argument(env, "this is not a poller");
  if (data == NULL) return NULL;
  CHECK(env, napi_remove_wrap(env, self, NULL));
  end_poller(data);
  return NULL;
}

/*
 * poller(): { fd, want, drop, read, close }; `fd` is readable while `read` has something to tell.
 */
static napi_value js_poller(napi_env env, napi_callback_info info) {
  static const napi_property_descriptor methods[] = {
      {"want", NULL, js_want, NULL, NULL, NULL, napi_default_method, NULL},
      {"drop", NULL, js_drop, NULL, NULL, NULL, napi_default_method, NULL},
      {"read", NULL, js_read_ready, NULL, NULL, NULL, napi_default_method, NULL},
      {"close", NULL, js_poller_close, NULL, NULL, NULL, napi_default_method, NULL},
  };
  napi_value object, number;
  (void)info;
  CHECK(env, napi_create_object(env, &object));
  CHECK(env, napi_define_properties(env, object, sizeof methods / sizeof *methods, methods));
  struct poller *poller = calloc(1, sizeof *poller);
  if (poller == NULL) return raise_errno(env, ENOMEM, "poller");
  poller->epoll = epoll_create1(EPOLL_CLOEXEC);
  if (poller->epoll < 0) {
    free(poller);
    return raise_errno(env, errno, "epoll_create1");
  }
  if (napi_create_int32(env, poller->epoll, &number) != napi_ok ||
      napi_set_named_property(env, object, "fd", number) != napi_ok ||
      napi_type_tag_object(env, object, &POLLER_TAG) != napi_ok ||
      napi_wrap(env, object, poller, on_dropped, NULL, NULL) != napi_ok) {
    end_poller(poller);
    return raise_api(env);
  }
  return object;
}

/* --- one socket ------------------------------------------------------------------------------- */

/* Sends what the kernel takes of `pieces` now; false with errno: it takes no more. */
static bool send_pieces(int fd, struct iovec *pieces, size_t count, size_t *total) {
  struct msghdr message = {.msg_iov = pieces, .msg_iovlen = count};
  size_t length = 0;
  ssize_t put;
  for (size_t index = 0; index < count; index++) length += pieces[index].iov_len;
  do {
    put = sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  } while (put < 0 && errno == EINTR);
  if (put < 0) return false;
  *total += (size_t)put;
  errno = EAGAIN;
  return (size_t)put == length;
}

/*
 * The pieces of `count` chunks. In two steps, since taking a chunk out of the array may run
 * JavaScript, which can take away the memory of one that was looked at before; looking at them runs
 * none. How many there are before the first that is no chunk, which is `count` where all are.
 */
static napi_status read_pieces(
    napi_env env, napi_value chunks, uint32_t first, size_t count, struct iovec *pieces, size_t *filled) {
  napi_value taken[MAX_PIECES];
  for (size_t index = 0; index < count; index++) {
    napi_status status = napi_get_element(env, chunks, first + (uint32_t)index, &taken[index]);
    if (status != napi_ok) return status;
  }
  for (*filled = 0; *filled < count; ++*filled) {
    uint8_t *bytes = NULL;
    size_t length = 0;
    if (!read_bytes(env, taken[*filled], &bytes, &length)) break;
    pieces[*filled] = (struct iovec){.iov_base = bytes, .iov_len = length};
  }
  return napi_ok;
}

/*
 * send(fd, chunks): how many bytes of the chunks, in their order, the socket has taken; 0 where it
 * takes none now.
 */
static napi_value js_send(napi_env env, napi_callback_info info) {
  size_t total = 0;
  napi_value args[2], result;
  struct iovec pieces[MAX_PIECES];
  uint32_t chunks = 0;
  bool is_array = false, open = true;
  int fd = -1;
  if (!read_fd_call(env, info, 2, args, &fd)) return NULL;
  if (napi_is_array(env, args[1], &is_array) != napi_ok || !is_array) {
    return raise_argument(env, "chunks is not an array");
  }
  CHECK(env, napi_get_array_length(env, args[1], &chunks));
  for (uint32_t first = 0; open && first < chunks; first += MAX_PIECES) {
    size_t count = chunks - first < MAX_PIECES ? chunks - first : MAX_PIECES, filled = 0;
    CHECK(env, read_pieces(env, args[1], first, count, pieces, &filled));
    /*
     * What was taken has left: a caller that makes this mistake is told when nothing depends on it.
     */
    if (filled < count && filled == 0 && total == 0) return raise_argument(env, "a chunk is not a Uint8Array");
    if (filled > 0) open = send_pieces(fd, pieces, filled, &total);
    if (filled < count) break;
  }
  /* An error behind bytes that were taken is told by the next call. */
  if (!open && total == 0 && !is_later(errno)) return raise_errno(env, errno, "send");
  CHECK(env, napi_create_int64(env, (int64_t)total, &result));
  return result;
}

/* shutdown(fd): ends our side, behind what was sent. */
static napi_value js_shutdown(napi_env env, napi_callback_info info) {
  napi_value args[1];
  int fd = -1;
  if (!read_fd_call(env, info, 1, args, &fd)) return NULL;
  if (shutdown(fd, SHUT_WR) != 0) return raise_errno(env, errno, "shutdown");
  return NULL;
}

/*
 * unacknowledged(fd): bytes, and one for an end, that the other side's kernel has not acknowledged:
 * a reset would throw them away.
 */
static napi_value js_unacknowledged(napi_env env, napi_callback_info info) {
  napi_value args[1], result;
  int fd = -1, left = 0;
  if (!read_fd_call(env, info, 1, args, &fd)) return NULL;
  if (ioctl(fd, SIOCOUTQ, &left) != 0) return raise_errno(env, errno, "ioctl");
  CHECK(env, napi_create_int32(env, left, &result));
  return result;
}

/*
 * tune(fd, keepaliveSeconds): no delay for small packets (Nagle), and, where it is more than 0, a
 * sign of life asked of a connection that has been silent for so long, ten times at most and a
 * second apart, as libuv does.
 */
static napi_value js_tune(napi_env env, napi_callback_info info) {
  napi_value args[2];
  int fd = -1;
  int64_t given = 0;
  const int on = 1, apart = 1, times = 10;
  if (!read_fd_call(env, info, 2, args, &fd)) return NULL;
  if (!read_whole(env, args[1], 0, INT_MAX, &given)) {
    return raise_argument(env, "keepaliveSeconds is not a whole number from 0 on");
  }
  const int seconds = (int)given;
  if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0) return raise_errno(env, errno, "setsockopt");
  if (seconds > 0 && (setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on) != 0 ||
                      setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &seconds, sizeof seconds) != 0 ||
                      setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &apart, sizeof apart) != 0 ||
                      setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &times, sizeof times) != 0)) {
    return raise_errno(env, errno, "setsockopt");
  }
  return NULL;
}

napi_status export_poller(napi_env env, napi_value exports) {
  const napi_property_descriptor functions[] = {
      {"poller", NULL, js_poller, NULL, NULL, NULL, napi_enumerable, NULL},
      {"send", NULL, js_send, NULL, NULL, NULL, napi_enumerable, NULL},
      {"shutdown", NULL, js_shutdown, NULL, NULL, NULL, napi_enumerable, NULL},
      {"unacknowledged", NULL, js_unacknowledged, NULL, NULL, NULL, napi_enumerable, NULL},
      {"tune", NULL, js_tune, NULL, NULL, NULL, napi_enumerable, NULL},
  };
  return napi_define_properties(env, exports, sizeof functions / sizeof *functions, functions);
}

napi_status export_poller_constants(napi_env env, napi_value constants) {
  const struct {
    const char *name;
    int64_t value;
  } all[] = {
      {"WAS_READ", WAS_READ},
      {"WAS_WRITABLE", WAS_WRITABLE},
      {"HAS_FAILED", HAS_FAILED},
      {"RECORD_FIELDS", RECORD_FIELDS},
      {"POLLER_READ_BYTES", READ_BYTES},
  };
  for (size_t index = 0; index < sizeof all / sizeof *all; index++) {
    napi_status status = export_constant(env, constants, all[index].name, all[index].value);
    if (status != napi_ok) return status;
  }
  return napi_ok;
}
