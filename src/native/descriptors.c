/*
 * Makes, names and watches socket descriptors that Node's public API can't: a listening socket whose accept runs only when
 * it is asked for. Node does all reading and writing; nothing here touches a connection's bytes.
 *
 * Promises: every descriptor is made close-on-exec and non-blocking; a failing call throws an Error with the `code`,
 * `errno` and `syscall` that Node's own errors have, and leaves no descriptor behind. No global state, so it may be
 * loaded by several worker threads. Assumes: its caller owns each descriptor and closes it once.
 *
 * A further address family needs one branch in read_address and one in make_address.
 */
#define _GNU_SOURCE
#ifndef NAPI_VERSION
#define NAPI_VERSION 8
#endif

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <node_api.h>
#include <uv.h>

/* Returns NULL to JavaScript with an exception pending when a Node-API call fails; that is a bug or an out-of-memory. */
#define CHECK(env, call)                                                                                                 \
  do {                                                                                                                   \
    if ((call) != napi_ok) return raise_api(env);                                                                        \
  } while (0)

static napi_value raise_api(napi_env env) {
  bool pending = false;
  napi_is_exception_pending(env, &pending);
  if (!pending) {
    const napi_extended_error_info *info = NULL;
    napi_get_last_error_info(env, &info);
    const char *why = info != NULL && info->error_message != NULL ? info->error_message : "a Node-API call failed";
    napi_throw_error(env, "ERR_INVALID_STATE", why);
  }
  return NULL;
}

/* Throws what Node would: Error { code: 'EADDRINUSE', errno: -98, syscall: 'bind' }. */
static napi_value raise_errno(napi_env env, int error, const char *syscall_name) {
  int uv_error = uv_translate_sys_error(error);
  char text[192];
  snprintf(text, sizeof text, "%s %s: %s", syscall_name, uv_err_name(uv_error), uv_strerror(uv_error));
  napi_value code, message, failure, number, name;
  CHECK(env, napi_create_string_utf8(env, uv_err_name(uv_error), NAPI_AUTO_LENGTH, &code));
  CHECK(env, napi_create_string_utf8(env, text, NAPI_AUTO_LENGTH, &message));
  CHECK(env, napi_create_error(env, code, message, &failure));
  CHECK(env, napi_create_int32(env, uv_error, &number));
  CHECK(env, napi_create_string_utf8(env, syscall_name, NAPI_AUTO_LENGTH, &name));
  CHECK(env, napi_set_named_property(env, failure, "errno", number));
  CHECK(env, napi_set_named_property(env, failure, "syscall", name));
  napi_throw(env, failure);
  return NULL;
}

static napi_value raise_argument(napi_env env, const char *message) {
  napi_throw_type_error(env, "ERR_INVALID_ARG_VALUE", message);
  return NULL;
}

/* --- addresses ------------------------------------------------------------------------------------------------------- */

union address {
  struct sockaddr any;
  struct sockaddr_in ipv4;
  struct sockaddr_in6 ipv6;
  struct sockaddr_storage storage;
};

static bool read_text(napi_env env, napi_value object, const char *key, char *text, size_t size) {
  napi_value value;
  size_t length = 0;
  if (napi_get_named_property(env, object, key, &value) != napi_ok) return false;
  if (napi_get_value_string_utf8(env, value, text, size, &length) != napi_ok) return false;
  /* A NUL inside would end the text early for C, and a text that fills the room may have been cut. */
  return strlen(text) == length && length + 1 < size;
}

/* { family, address, port } to a socket address. False: it is not one. */
static bool read_address(napi_env env, napi_value object, union address *address, socklen_t *length) {
  char family[8], text[64];
  napi_value port_value;
  uint32_t port = 0;
  memset(address, 0, sizeof *address);
  if (!read_text(env, object, "family", family, sizeof family)) return false;
  if (!read_text(env, object, "address", text, sizeof text)) return false;
  if (napi_get_named_property(env, object, "port", &port_value) != napi_ok) return false;
  if (napi_get_value_uint32(env, port_value, &port) != napi_ok || port > UINT16_MAX) return false;
  if (strcmp(family, "ipv4") == 0) {
    address->ipv4.sin_family = AF_INET;
    address->ipv4.sin_port = htons((uint16_t)port);
    *length = sizeof address->ipv4;
    return inet_pton(AF_INET, text, &address->ipv4.sin_addr) == 1;
  }
  if (strcmp(family, "ipv6") == 0) {
    address->ipv6.sin6_family = AF_INET6;
    address->ipv6.sin6_port = htons((uint16_t)port);
    *length = sizeof address->ipv6;
    return inet_pton(AF_INET6, text, &address->ipv6.sin6_addr) == 1;
  }
  return false;
}

/* A socket address to { family, address, port }. */
static napi_value make_address(napi_env env, const union address *address) {
  char text[INET6_ADDRSTRLEN] = "";
  const char *family = "unknown";
  uint32_t port = 0;
  if (address->any.sa_family == AF_INET) {
    family = "ipv4";
    port = ntohs(address->ipv4.sin_port);
    inet_ntop(AF_INET, &address->ipv4.sin_addr, text, sizeof text);
  } else if (address->any.sa_family == AF_INET6) {
    family = "ipv6";
    port = ntohs(address->ipv6.sin6_port);
    inet_ntop(AF_INET6, &address->ipv6.sin6_addr, text, sizeof text);
  }
  napi_value object, value;
  CHECK(env, napi_create_object(env, &object));
  CHECK(env, napi_create_string_utf8(env, family, NAPI_AUTO_LENGTH, &value));
  CHECK(env, napi_set_named_property(env, object, "family", value));
  CHECK(env, napi_create_string_utf8(env, text, NAPI_AUTO_LENGTH, &value));
  CHECK(env, napi_set_named_property(env, object, "address", value));
  CHECK(env, napi_create_uint32(env, port, &value));
  CHECK(env, napi_set_named_property(env, object, "port", value));
  return object;
}

/* --- descriptors ----------------------------------------------------------------------------------------------------- */

static bool read_fd(napi_env env, napi_value value, int *fd) {
  int32_t number = -1;
  if (napi_get_value_int32(env, value, &number) != napi_ok || number < 0) return false;
  *fd = number;
  return true;
}

static napi_value fail_and_close(napi_env env, int fd, const char *syscall_name) {
  int error = errno;
  close(fd);
  return raise_errno(env, error, syscall_name);
}

/* listen({ family, address, port }, backlog): the descriptor of a listening socket. */
static napi_value js_listen(napi_env env, napi_callback_info info) {
  size_t count = 2;
  napi_value args[2], result;
  union address address;
  socklen_t length = 0;
  int32_t backlog = 0;
  const int on = 1;
  CHECK(env, napi_get_cb_info(env, info, &count, args, NULL, NULL));
  if (count < 1 || !read_address(env, args[0], &address, &length)) return raise_argument(env, "not a socket address");
  if (count < 2 || napi_get_value_int32(env, args[1], &backlog) != napi_ok || backlog < 1) {
    return raise_argument(env, "backlog is not a positive whole number");
  }
  int fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return raise_errno(env, errno, "socket");
  /* As libuv does: a port is free again although connections of the previous listener linger in TIME_WAIT. */
  if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0) return fail_and_close(env, fd, "setsockopt");
  /* What was decided upon is what is bound: `::` does not take the IPv4 wildcard along. */
  if (address.any.sa_family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) != 0) {
    return fail_and_close(env, fd, "setsockopt");
  }
  if (bind(fd, &address.any, length) != 0) return fail_and_close(env, fd, "bind");
  if (listen(fd, backlog) != 0) return fail_and_close(env, fd, "listen");
  if (napi_create_int32(env, fd, &result) != napi_ok) {
    close(fd);
    return raise_api(env);
  }
  return result;
}

/* localAddress(fd): { family, address, port } of the socket. */
static napi_value js_local_address(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value args[1];
  int fd = -1;
  union address address;
  socklen_t length = sizeof address;
  CHECK(env, napi_get_cb_info(env, info, &count, args, NULL, NULL));
  if (count < 1 || !read_fd(env, args[0], &fd)) return raise_argument(env, "not a descriptor");
  memset(&address, 0, sizeof address);
  if (getsockname(fd, &address.any, &length) != 0) return raise_errno(env, errno, "getsockname");
  return make_address(env, &address);
}

static napi_value make_accepted(napi_env env, int fd, const union address *remote) {
  union address local;
  socklen_t length = sizeof local;
  napi_value object, value;
  memset(&local, 0, sizeof local);
  /* Fails for nothing that matters: the addresses are then empty, as in Node. */
  if (getsockname(fd, &local.any, &length) != 0) memset(&local, 0, sizeof local);
  CHECK(env, napi_create_object(env, &object));
  CHECK(env, napi_create_int32(env, fd, &value));
  CHECK(env, napi_set_named_property(env, object, "fd", value));
  if ((value = make_address(env, remote)) == NULL) return NULL;
  CHECK(env, napi_set_named_property(env, object, "remote", value));
  if ((value = make_address(env, &local)) == NULL) return NULL;
  CHECK(env, napi_set_named_property(env, object, "local", value));
  return object;
}

/* accept(fd): { fd, remote, local } of one waiting connection, or undefined when none waits. */
static napi_value js_accept(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value args[1], result;
  int fd = -1, accepted;
  union address remote;
  socklen_t length;
  CHECK(env, napi_get_cb_info(env, info, &count, args, NULL, NULL));
  if (count < 1 || !read_fd(env, args[0], &fd)) return raise_argument(env, "not a descriptor");
  do {
    memset(&remote, 0, sizeof remote);
    length = sizeof remote;
    accepted = accept4(fd, &remote.any, &length, SOCK_CLOEXEC | SOCK_NONBLOCK);
  } while (accepted < 0 && errno == EINTR);
  if (accepted < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
    CHECK(env, napi_get_undefined(env, &result));
    return result;
  }
  if (accepted < 0) return raise_errno(env, errno, "accept");
  result = make_accepted(env, accepted, &remote);
  if (result == NULL) close(accepted);
  return result;
}

/*
 * socketError(fd): the name of the error that waits to be told (SO_ERROR), or undefined. libuv reports a reset that arrives together
 * with the last data as a clean end (the POLLHUP shortcut of uv__stream_io); the kernel still knows better.
 */
static napi_value js_socket_error(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value args[1], result;
  int fd = -1, error = 0;
  socklen_t length = sizeof error;
  CHECK(env, napi_get_cb_info(env, info, &count, args, NULL, NULL));
  if (count < 1 || !read_fd(env, args[0], &fd)) return raise_argument(env, "not a descriptor");
  if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0) return raise_errno(env, errno, "getsockopt");
  if (error == 0) {
    CHECK(env, napi_get_undefined(env, &result));
    return result;
  }
  const char *name = uv_err_name(uv_translate_sys_error(error));
  CHECK(env, napi_create_string_utf8(env, name, NAPI_AUTO_LENGTH, &result));
  return result;
}

/* close(fd). An error is thrown but the descriptor is gone on Linux in any case. */
static napi_value js_close(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value args[1];
  int fd = -1;
  CHECK(env, napi_get_cb_info(env, info, &count, args, NULL, NULL));
  if (count < 1 || !read_fd(env, args[0], &fd)) return raise_argument(env, "not a descriptor");
  if (close(fd) != 0 && errno != EINTR) return raise_errno(env, errno, "close");
  return NULL;
}

/* --- readiness ------------------------------------------------------------------------------------------------------- */

/*
 * One watched descriptor. Its JavaScript object is held strongly until close(), so the collector never decides when the
 * poll handle ends; the memory is freed by libuv's close callback. A worker that ends runs `on_env_end` instead.
 */
struct watch {
  uv_poll_t poll;
  napi_env env;
  napi_ref object;
  napi_ref callback;
  napi_async_context context;
  napi_async_cleanup_hook_handle hook;
};

static void on_closed(uv_handle_t *handle) {
  struct watch *watch = handle->data;
  if (watch->hook != NULL) napi_remove_async_cleanup_hook(watch->hook);
  free(watch);
}

static void on_env_end(napi_async_cleanup_hook_handle hook, void *data) {
  struct watch *watch = data;
  (void)hook;
  if (!uv_is_closing((uv_handle_t *)&watch->poll)) uv_close((uv_handle_t *)&watch->poll, on_closed);
}

/* Calls the watch's function with undefined, or with the name of the error that ended the watching. */
static void on_ready(uv_poll_t *poll, int status, int events) {
  struct watch *watch = poll->data;
  napi_env env = watch->env;
  napi_handle_scope scope;
  napi_value callback, object, argument, failure;
  bool pending = false;
  (void)events;
  if (napi_open_handle_scope(env, &scope) != napi_ok) return;
  if (napi_get_reference_value(env, watch->callback, &callback) == napi_ok &&
      napi_get_reference_value(env, watch->object, &object) == napi_ok &&
      (status < 0 ? napi_create_string_utf8(env, uv_err_name(status), NAPI_AUTO_LENGTH, &argument)
                  : napi_get_undefined(env, &argument)) == napi_ok) {
    napi_make_callback(env, watch->context, object, callback, 1, &argument, NULL);
  }
  napi_is_exception_pending(env, &pending);
  if (pending && napi_get_and_clear_last_exception(env, &failure) == napi_ok) napi_fatal_exception(env, failure);
  napi_close_handle_scope(env, scope);
}

static struct watch *this_watch(napi_env env, napi_callback_info info) {
  napi_value self;
  void *data = NULL;
  if (napi_get_cb_info(env, info, NULL, NULL, &self, NULL) != napi_ok) return NULL;
  /* Not wrapped (any more): closed before, or called on something else; either way there is nothing to do. */
  if (napi_unwrap(env, self, &data) != napi_ok) return NULL;
  return data;
}

static napi_value js_watch_start(napi_env env, napi_callback_info info) {
  struct watch *watch = this_watch(env, info);
  if (watch == NULL) return raise_argument(env, "the watch is closed");
  int status = uv_poll_start(&watch->poll, UV_READABLE, on_ready);
  return status == 0 ? NULL : raise_errno(env, -status, "epoll");
}

static napi_value js_watch_stop(napi_env env, napi_callback_info info) {
  struct watch *watch = this_watch(env, info);
  if (watch != NULL) uv_poll_stop(&watch->poll);
  return NULL;
}

static napi_value js_watch_close(napi_env env, napi_callback_info info) {
  struct watch *watch = this_watch(env, info);
  napi_value self;
  if (watch == NULL) return NULL;
  CHECK(env, napi_get_cb_info(env, info, NULL, NULL, &self, NULL));
  CHECK(env, napi_remove_wrap(env, self, NULL));
  napi_async_destroy(env, watch->context);
  napi_delete_reference(env, watch->callback);
  napi_delete_reference(env, watch->object);
  /* From here on epoll does not know the descriptor: the caller may close it at once. */
  if (!uv_is_closing((uv_handle_t *)&watch->poll)) uv_close((uv_handle_t *)&watch->poll, on_closed);
  return NULL;
}

static napi_status wrap_watch(napi_env env, struct watch *watch, napi_value callback, napi_value *object) {
  static const napi_property_descriptor methods[] = {
      {"start", NULL, js_watch_start, NULL, NULL, NULL, napi_default_method, NULL},
      {"stop", NULL, js_watch_stop, NULL, NULL, NULL, napi_default_method, NULL},
      {"close", NULL, js_watch_close, NULL, NULL, NULL, napi_default_method, NULL},
  };
  napi_value name;
  napi_status status = napi_create_object(env, object);
  if (status == napi_ok) status = napi_define_properties(env, *object, sizeof methods / sizeof *methods, methods);
  if (status == napi_ok) status = napi_create_string_utf8(env, "trunkline:watch", NAPI_AUTO_LENGTH, &name);
  if (status == napi_ok) status = napi_async_init(env, NULL, name, &watch->context);
  if (status == napi_ok) status = napi_create_reference(env, callback, 1, &watch->callback);
  if (status == napi_ok) status = napi_create_reference(env, *object, 1, &watch->object);
  if (status == napi_ok) status = napi_add_async_cleanup_hook(env, on_env_end, watch, &watch->hook);
  if (status == napi_ok) status = napi_wrap(env, *object, watch, NULL, NULL, NULL);
  return status;
}

/* watch(fd, callback): { start, stop, close }, stopped at first. Readiness is repeated until it was dealt with. */
static napi_value js_watch(napi_env env, napi_callback_info info) {
  size_t count = 2;
  napi_value args[2], object = NULL;
  napi_valuetype type = napi_undefined;
  uv_loop_t *loop = NULL;
  int fd = -1;
  CHECK(env, napi_get_cb_info(env, info, &count, args, NULL, NULL));
  if (count < 1 || !read_fd(env, args[0], &fd)) return raise_argument(env, "not a descriptor");
  if (count < 2 || napi_typeof(env, args[1], &type) != napi_ok || type != napi_function) {
    return raise_argument(env, "callback is not a function");
  }
  CHECK(env, napi_get_uv_event_loop(env, &loop));
  struct watch *watch = calloc(1, sizeof *watch);
  if (watch == NULL) return raise_errno(env, ENOMEM, "watch");
  int status = uv_poll_init(loop, &watch->poll, fd);
  if (status != 0) {
    free(watch);
    return raise_errno(env, -status, "epoll");
  }
  watch->env = env;
  watch->poll.data = watch;
  if (wrap_watch(env, watch, args[1], &object) != napi_ok) {
    uv_close((uv_handle_t *)&watch->poll, on_closed);
    return raise_api(env);
  }
  return object;
}

NAPI_MODULE_INIT() {
  const napi_property_descriptor functions[] = {
      {"listen", NULL, js_listen, NULL, NULL, NULL, napi_enumerable, NULL},
      {"localAddress", NULL, js_local_address, NULL, NULL, NULL, napi_enumerable, NULL},
      {"accept", NULL, js_accept, NULL, NULL, NULL, napi_enumerable, NULL},
      {"close", NULL, js_close, NULL, NULL, NULL, napi_enumerable, NULL},
      {"socketError", NULL, js_socket_error, NULL, NULL, NULL, napi_enumerable, NULL},
      {"watch", NULL, js_watch, NULL, NULL, NULL, napi_enumerable, NULL},
  };
  CHECK(env, napi_define_properties(env, exports, sizeof functions / sizeof *functions, functions));
  return exports;
}
