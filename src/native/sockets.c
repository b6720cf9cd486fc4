/*
 * Sockets that Node's net does not make: listening ones whose accept runs only when it is asked
 * for, and connections of families that it does not know. Nothing here touches a connection's
 * bytes: Node does, or poller.c.
 *
 * A further address family needs one branch in read_address and one in make_address.
 */
#include "native.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>
/* after sys/socket.h, which it builds on */
#include <linux/vm_sockets.h>

/* --- addresses -------------------------------------------------------------------------------- */

union address {
  struct sockaddr any;
  struct sockaddr_in ipv4;
  struct sockaddr_in6 ipv6;
  struct sockaddr_vm vsock;
  struct sockaddr_un local;
  struct sockaddr_storage storage;
};

static bool read_text(napi_env env, napi_value object, const char *key, char *text, size_t size) {
  napi_value value;
  size_t length = 0;
  if (napi_get_named_property(env, object, key, &value) != napi_ok) return false;
  if (napi_get_value_string_utf8(env, value, text, size, &length) != napi_ok) return false;
  /*
   * A NUL inside would end the text early for C, and a text that fills the room may have been cut.
   */
  return strlen(text) == length && length + 1 < size;
}

/* A property that is a whole number of 32 bits. */
static bool read_u32(napi_env env, napi_value object, const char *key, uint32_t *number) {
  napi_value value;
  int64_t given = 0;
  if (napi_get_named_property(env, object, key, &value) != napi_ok) return false;
  if (!read_whole(env, value, 0, UINT32_MAX, &given)) return false;
  *number = (uint32_t)given;
  return true;
}

/* Digits to a number of 32 bits. */
static bool parse_u32(const char *text, uint32_t *number) {
  uint64_t value = 0;
  if (*text == '\0') return false;
  for (; *text != '\0'; text++) {
    if (*text < '0' || *text > '9') return false;
    value = value * 10 + (uint64_t)(*text - '0');
    if (value > UINT32_MAX) return false;
  }
  *number = (uint32_t)value;
  return true;
}

/*
 * { path } to the address of a unix socket: a file, or, where a NUL comes first, an abstract name.
 * False: it is none, or too long.
 */
static bool read_local(napi_env env, napi_value object, struct sockaddr_un *address, socklen_t *length) {
  napi_value value;
  uint8_t *bytes = NULL;
  size_t size = 0;
  if (napi_get_named_property(env, object, "path", &value) != napi_ok) return false;
  if (!read_bytes(env, value, &bytes, &size) || size == 0) return false;
  const bool is_abstract = bytes[0] == 0;
  /* a path ends with a NUL, which has to fit, and holds none */
  if (size + (is_abstract ? 0 : 1) > sizeof address->sun_path) return false;
  if (!is_abstract && memchr(bytes, 0, size) != NULL) return false;
  address->sun_family = AF_UNIX;
  memcpy(address->sun_path, bytes, size);
  *length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size + (is_abstract ? 0 : 1));
  return true;
}

/*
 * { family, address, port }, or { family, path } of a unix socket, to a socket address. False: it
 * is not one.
 */
static bool read_address(napi_env env, napi_value object, union address *address, socklen_t *length) {
  char family[8], text[64];
  uint32_t port = 0;
  memset(address, 0, sizeof *address);
  if (!read_text(env, object, "family", family, sizeof family)) return false;
  if (strcmp(family, "unix") == 0) return read_local(env, object, &address->local, length);
  if (!read_text(env, object, "address", text, sizeof text)) return false;
  if (!read_u32(env, object, "port", &port)) return false;
  if (strcmp(family, "vsock") == 0) {
    uint32_t cid = 0;
    if (!parse_u32(text, &cid)) return false;
    address->vsock.svm_family = AF_VSOCK;
    address->vsock.svm_cid = cid;
    /* 0 asks for a free port, as it does elsewhere */
    address->vsock.svm_port = port == 0 ? VMADDR_PORT_ANY : port;
    *length = sizeof address->vsock;
    return true;
  }
  if (port > UINT16_MAX) return false;
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
  } else if (address->any.sa_family == AF_VSOCK) {
    family = "vsock";
    port = address->vsock.svm_port;
    snprintf(text, sizeof text, "%u", address->vsock.svm_cid);
  } else if (address->any.sa_family == AF_UNIX) {
    /* who connects has no name, and the listener knows its own */
    family = "unix";
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

/* --- descriptors ------------------------------------------------------------------------------ */

static napi_value fail_and_close(napi_env env, int fd, const char *syscall_name) {
  int error = errno;
  close(fd);
  return raise_errno(env, error, syscall_name);
}

/*
 * listen({ family, address, port } or { family, path }, backlog): the descriptor of a listening
 * socket.
 */
static napi_value js_listen(napi_env env, napi_callback_info info) {
  size_t count = 2;
  napi_value args[2], result;
  union address address;
  socklen_t length = 0;
  int64_t backlog = 0;
  const int on = 1;
  CHECK(env, napi_get_cb_info(env, info, &count, args, NULL, NULL));
  if (count < 1 || !read_address(env, args[0], &address, &length)) return raise_argument(env, "not a socket address");
  if (count < 2 || !read_whole(env, args[1], 1, INT_MAX, &backlog)) {
    return raise_argument(env, "backlog is not a positive whole number");
  }
  int fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return raise_errno(env, errno, "socket");
  /*
   * As libuv does: a port is free again although connections of the previous listener linger in
   * TIME_WAIT.
   */
  if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0) return fail_and_close(env, fd, "setsockopt");
  /* What was decided upon is what is bound: `::` does not take the IPv4 wildcard along. */
  if (address.any.sa_family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) != 0) {
    return fail_and_close(env, fd, "setsockopt");
  }
  if (bind(fd, &address.any, length) != 0) return fail_and_close(env, fd, "bind");
  if (listen(fd, (int)backlog) != 0) return fail_and_close(env, fd, "listen");
  if (napi_create_int32(env, fd, &result) != napi_ok) {
    close(fd);
    return raise_api(env);
  }
  return result;
}

/*
 * How long the kernel may take for a connection. Of its own it gives a machine that is booting 2 s.
 */
static bool let_connecting_take(int fd, uint32_t ms) {
  const struct timeval time = {.tv_sec = ms / 1000, .tv_usec = (ms % 1000) * 1000L};
  return setsockopt(fd, AF_VSOCK, SO_VM_SOCKETS_CONNECT_TIMEOUT, &time, sizeof time) == 0;
}

/*
 * connect({ family, address, port }, timeoutMs): the descriptor of a socket that is being
 * connected. It is writable when the outcome is known; socketError says which. The time limit is
 * the kernel's own for vsock and nobody's for the others: who gives up earlier closes the
 * descriptor. { family, path } is connected at once; EAGAIN says that its listener's backlog is
 * full.
 */
static napi_value js_connect(napi_env env, napi_callback_info info) {
  size_t count = 2;
  napi_value args[2], result;
  union address address;
  socklen_t length = 0;
  int64_t timeout = 0;
  CHECK(env, napi_get_cb_info(env, info, &count, args, NULL, NULL));
  if (count < 1 || !read_address(env, args[0], &address, &length)) return raise_argument(env, "not a socket address");
  if (count < 2 || !read_whole(env, args[1], 1, UINT32_MAX, &timeout)) {
    return raise_argument(env, "timeoutMs is not a positive whole number");
  }
  int fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return raise_errno(env, errno, "socket");
  if (address.any.sa_family == AF_VSOCK && !let_connecting_take(fd, (uint32_t)timeout)) {
    return fail_and_close(env, fd, "setsockopt");
  }
  /* Interrupted or not, it goes on by itself. */
  if (connect(fd, &address.any, length) != 0 && errno != EINPROGRESS && errno != EINTR) {
    return fail_and_close(env, fd, "connect");
  }
  if (napi_create_int32(env, fd, &result) != napi_ok) {
    close(fd);
    return raise_api(env);
  }
  return result;
}

/* localAddress(fd): { family, address, port } of the socket. */
static napi_value js_local_address(napi_env env, napi_callback_info info) {
  napi_value args[1];
  int fd = -1;
  union address address;
  socklen_t length = sizeof address;
  if (!read_fd_call(env, info, 1, args, &fd)) return NULL;
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
  napi_value args[1], result;
  int fd = -1, accepted;
  union address remote;
  socklen_t length;
  if (!read_fd_call(env, info, 1, args, &fd)) return NULL;
  do {
    memset(&remote, 0, sizeof remote);
    length = sizeof remote;
    accepted = accept4(fd, &remote.any, &length, SOCK_CLOEXEC | SOCK_NONBLOCK);
  } while (accepted < 0 && errno == EINTR);
  if (accepted < 0 && is_later(errno)) {
    CHECK(env, napi_get_undefined(env, &result));
    return result;
  }
  if (accepted < 0) return raise_errno(env, errno, "accept");
  result = make_accepted(env, accepted, &remote);
  if (result == NULL) close(accepted);
  return result;
}

/*
 * socketError(fd): the name of the error that waits to be told (SO_ERROR), or undefined. libuv
 * reports a reset that arrives together with the last data as a clean end (the POLLHUP shortcut of
 * uv__stream_io); the kernel still knows better.
 */
static napi_value js_socket_error(napi_env env, napi_callback_info info) {
  napi_value args[1], result;
  int fd = -1, error = 0;
  socklen_t length = sizeof error;
  if (!read_fd_call(env, info, 1, args, &fd)) return NULL;
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
  napi_value args[1];
  int fd = -1;
  if (!read_fd_call(env, info, 1, args, &fd)) return NULL;
  if (close(fd) != 0 && errno != EINTR) return raise_errno(env, errno, "close");
  return NULL;
}

napi_status export_sockets(napi_env env, napi_value exports) {
  const napi_property_descriptor functions[] = {
      {"listen", NULL, js_listen, NULL, NULL, NULL, napi_enumerable, NULL},
      {"connect", NULL, js_connect, NULL, NULL, NULL, napi_enumerable, NULL},
      {"localAddress", NULL, js_local_address, NULL, NULL, NULL, napi_enumerable, NULL},
      {"accept", NULL, js_accept, NULL, NULL, NULL, napi_enumerable, NULL},
      {"close", NULL, js_close, NULL, NULL, NULL, napi_enumerable, NULL},
      {"socketError", NULL, js_socket_error, NULL, NULL, NULL, napi_enumerable, NULL},
  };
  return napi_define_properties(env, exports, sizeof functions / sizeof *functions, functions);
}
