/*
 * Gives Node's net.Socket a descriptor that its constructor refuses. The constructor looks at the
 * kind of a descriptor, while what does the work (libuv's pipe handle) drives any that can be
 * polled, read and written. So the socket is made on a placeholder of a kind that it takes, and in
 * the same turn of the event loop, before anything has polled the placeholder, the real descriptor
 * is put under its number.
 */
#include "native.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

/* placeholder(): a descriptor that net.Socket takes and that leads nowhere. */
static napi_value js_placeholder(napi_env env, napi_callback_info info) {
  int pair[2];
  napi_value result;
  (void)info;
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0) {
    return raise_errno(env, errno, "socketpair");
  }
  close(pair[1]);
  if (napi_create_int32(env, pair[0], &result) != napi_ok) {
    close(pair[0]);
    return raise_api(env);
  }
  return result;
}

/*
 * replace(number, fd): from here on `number` stands for what `fd` stood for; what it stood for is
 * closed, and so is the number `fd`. Where it fails, both are what they were.
 */
static napi_value js_replace(napi_env env, napi_callback_info info) {
  size_t count = 2;
  napi_value args[2];
  int number = -1, fd = -1, status;
  CHECK(env, napi_get_cb_info(env, info, &count, args, NULL, NULL));
  if (count < 1 || !read_fd(env, args[0], &number)) return raise_argument(env, "not a descriptor");
  /* dup3 would take any free number, and the descriptor that it makes would be nobody's. */
  if (fcntl(number, F_GETFD) < 0) return raise_errno(env, errno, "fcntl");
  if (count < 2 || !read_fd(env, args[1], &fd)) return raise_argument(env, "not a descriptor");
  do {
    status = dup3(fd, number, O_CLOEXEC);
  } while (status < 0 && (errno == EINTR || errno == EBUSY));
  if (status < 0) return raise_errno(env, errno, "dup3");
  close(fd);
  return NULL;
}

napi_status export_swap(napi_env env, napi_value exports) {
  const napi_property_descriptor functions[] = {
      {"placeholder", NULL, js_placeholder, NULL, NULL, NULL, napi_enumerable, NULL},
      {"replace", NULL, js_replace, NULL, NULL, NULL, napi_enumerable, NULL},
  };
  return napi_define_properties(env, exports, sizeof functions / sizeof *functions, functions);
}
