/*
 * The end of a process whose threads do not come back. Node's own exit waits for its thread pool,
 * and a thread in there may wait for ever: for the writer of a FIFO, for a reader of our output,
 * for a disk that is gone.
 */
#include "native.h"

#include <fcntl.h>
#include <unistd.h>

/*
 * exit(status, blocking): ends the process. `blocking` has a bit for each of the descriptors 0 to 2
 * that is to block again: others share them.
 */
static napi_value js_exit(napi_env env, napi_callback_info info) {
  size_t count = 2;
  napi_value args[2];
  uint32_t status = 0, blocking = 0;
  CHECK(env, napi_get_cb_info(env, info, &count, args, NULL, NULL));
  if (count < 2 || napi_get_value_uint32(env, args[0], &status) != napi_ok ||
      napi_get_value_uint32(env, args[1], &blocking) != napi_ok) {
    return raise_argument(env, "status and blocking are not numbers");
  }
  for (int fd = 0; fd <= 2; fd++) {
    int flags = blocking & (1u << fd) ? fcntl(fd, F_GETFL) : -1;
    if (flags != -1) fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
  }
  _exit((int)(status & 0xff));
}

napi_status export_exit(napi_env env, napi_value exports) {
  const napi_property_descriptor functions[] = {
      {"exit", NULL, js_exit, NULL, NULL, NULL, napi_enumerable, NULL},
  };
  return napi_define_properties(env, exports, sizeof functions / sizeof *functions, functions);
}
