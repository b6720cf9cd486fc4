/* The addon: puts its parts together. */
#include "native.h"

NAPI_MODULE_INIT() {
  napi_value constants;
  CHECK(env, export_sockets(env, exports));
  CHECK(env, export_watch(env, exports));
  CHECK(env, export_swap(env, exports));
  CHECK(env, export_vsock(env, exports));
  CHECK(env, export_device(env, exports));
  CHECK(env, export_naming(env, exports));
  CHECK(env, export_times(env, exports));
  CHECK(env, export_poller(env, exports));
  CHECK(env, export_exit(env, exports));
  CHECK(env, export_terminal(env, exports));
  CHECK(env, export_pipes(env, exports));
  CHECK(env, export_users(env, exports));
  CHECK(env, napi_create_object(env, &constants));
  CHECK(env, export_watch_constants(env, constants));
  CHECK(env, export_poller_constants(env, constants));
  CHECK(env, napi_set_named_property(env, exports, "constants", constants));
  return exports;
}
