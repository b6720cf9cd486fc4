/* Tells when a descriptor is ready, by libuv's poller: no thread is held. */
#include "native.h"

#include <errno.h>
#include <stdlib.h>

/* --- readiness -------------------------------------------------------------------------------- */

/*
 * One watched descriptor. Its JavaScript object is held strongly until close(), so the collector
 * never decides when the poll handle ends; the memory is freed by libuv's close callback. A worker
 * that ends runs `on_env_end` instead.
 */
struct watch {
  uv_poll_t poll;
  napi_env env;
  napi_ref object;
  napi_ref callback;
  napi_async_context context;
  napi_async_cleanup_hook_handle hook;
};

static const napi_type_tag WATCH_TAG = {0x8f1c4be2a6d94037, 0x9d25e07b3c61f8aa};

/*
 * Gives back what Node-API keeps for it: it does not do so by itself, not even when the worker
 * ends. In a turn of its own: close() is called from within the watch's callback as well, whose
 * async context is in use until it has returned. The hook goes last, since the environment waits
 * for it.
 */
static void on_closed(uv_handle_t *handle) {
  struct watch *watch = handle->data;
  if (watch->context != NULL) napi_async_destroy(watch->env, watch->context);
  if (watch->callback != NULL) napi_delete_reference(watch->env, watch->callback);
  if (watch->object != NULL) napi_delete_reference(watch->env, watch->object);
  if (watch->hook != NULL) napi_remove_async_cleanup_hook(watch->hook);
  free(watch);
}

/* From here on epoll does not know the descriptor: it may be closed at once. */
static void end_watch(struct watch *watch) {
  if (!uv_is_closing((uv_handle_t *)&watch->poll)) uv_close((uv_handle_t *)&watch->poll, on_closed);
}

static void on_env_end(napi_async_cleanup_hook_handle hook, void *data) {
  (void)hook;
  end_watch(data);
}

/*
 * Calls the watch's function with undefined and the events (1 readable, 2 writable; a hang-up is
 * both), or with the name of the error that ended the watching.
 */
static void on_ready(uv_poll_t *poll, int status, int events) {
  struct watch *watch = poll->data;
  napi_env env = watch->env;
  napi_handle_scope scope;
  napi_value callback, object, arguments[2], failure;
  bool pending = false;
  if (napi_open_handle_scope(env, &scope) != napi_ok) return;
  if (napi_get_reference_value(env, watch->callback, &callback) == napi_ok &&
      napi_get_reference_value(env, watch->object, &object) == napi_ok &&
      (status < 0 ? napi_create_string_utf8(env, uv_err_name(status), NAPI_AUTO_LENGTH, &arguments[0])
                  : napi_get_undefined(env, &arguments[0])) == napi_ok &&
      napi_create_int32(env, events & (UV_READABLE | UV_WRITABLE), &arguments[1]) == napi_ok) {
    napi_make_callback(env, watch->context, object, callback, 2, arguments, NULL);
  }
  napi_is_exception_pending(env, &pending);
  if (pending && napi_get_and_clear_last_exception(env, &failure) == napi_ok) napi_fatal_exception(env, failure);
  napi_close_handle_scope(env, scope);
}

/*
 * The watch that a method was called on and the call's arguments: false with an exception pending
 * where it is called on something else; NULL: it is closed.
 */
static bool this_watch(napi_env env, napi_callback_info info, size_t count, napi_value *args, struct watch **watch) {
  napi_value self;
  void *data = NULL;
  if (napi_get_cb_info(env, info, &count, args, &self, NULL) != napi_ok) {
    raise_api(env);
    return false;
  }
  if (!read_wrapped(env, self, &WATCH_TAG, &data)) {
    raise_argument(env, "this is not a watch");
    return false;
  }
  *watch = data;
  return true;
}

/*
 * start(events): watches for 1 readable, 2 writable, 3 either; readable where nothing is given.
 * Replaces what was watched for.
 */
static napi_value js_watch_start(napi_env env, napi_callback_info info) {
  struct watch *watch;
  napi_value args[1];
  napi_valuetype type = napi_undefined;
  int64_t events = UV_READABLE;
  if (!this_watch(env, info, 1, args, &watch)) return NULL;
  if (watch == NULL) return raise_argument(env, "the watch is closed");
  CHECK(env, napi_typeof(env, args[0], &type));
  if (type != napi_undefined && !read_whole(env, args[0], 1, UV_READABLE | UV_WRITABLE, &events)) {
    return raise_argument(env, "events is not 1, 2 or 3");
  }
  int status = uv_poll_start(&watch->poll, (int)events, on_ready);
  return status == 0 ? NULL : raise_errno(env, -status, "epoll");
}

/* stop(): harmless for one that is stopped or closed. */
static napi_value js_watch_stop(napi_env env, napi_callback_info info) {
  struct watch *watch;
  if (this_watch(env, info, 0, NULL, &watch) && watch != NULL) uv_poll_stop(&watch->poll);
  return NULL;
}

/* unref(): harmless for one that is closed. */
static napi_value js_watch_unref(napi_env env, napi_callback_info info) {
  struct watch *watch;
  if (this_watch(env, info, 0, NULL, &watch) && watch != NULL) uv_unref((uv_handle_t *)&watch->poll);
  return NULL;
}

/* close(): harmless for one that is closed. */
static napi_value js_watch_close(napi_env env, napi_callback_info info) {
  struct watch *watch;
  napi_value self;
  if (!this_watch(env, info, 0, NULL, &watch) || watch == NULL) return NULL;
  CHECK(env, napi_get_cb_info(env, info, NULL, NULL, &self, NULL));
  CHECK(env, napi_remove_wrap(env, self, NULL));
  end_watch(watch);
  return NULL;
}

static napi_status wrap_watch(napi_env env, struct watch *watch, napi_value callback, napi_value *object) {
  static const napi_property_descriptor methods[] = {
      {"start", NULL, js_watch_start, NULL, NULL, NULL, napi_default_method, NULL},
      {"stop", NULL, js_watch_stop, NULL, NULL, NULL, napi_default_method, NULL},
      {"unref", NULL, js_watch_unref, NULL, NULL, NULL, napi_default_method, NULL},
      {"close", NULL, js_watch_close, NULL, NULL, NULL, napi_default_method, NULL},
  };
  napi_value name;
  napi_status status = napi_create_object(env, object);
  if (status == napi_ok) status = napi_type_tag_object(env, *object, &WATCH_TAG);
  if (status == napi_ok) status = napi_define_properties(env, *object, sizeof methods / sizeof *methods, methods);
  if (status == napi_ok) status = napi_create_string_utf8(env, "trunkline:watch", NAPI_AUTO_LENGTH, &name);
  if (status == napi_ok) status = napi_async_init(env, NULL, name, &watch->context);
  if (status == napi_ok) status = napi_create_reference(env, callback, 1, &watch->callback);
  if (status == napi_ok) status = napi_create_reference(env, *object, 1, &watch->object);
  if (status == napi_ok) status = napi_add_async_cleanup_hook(env, on_env_end, watch, &watch->hook);
  if (status == napi_ok) status = napi_wrap(env, *object, watch, NULL, NULL, NULL);
  return status;
}

/*
 * watch(fd, callback): { start, stop, unref, close }, stopped at first. Readiness is repeated until
 * it was dealt with.
 */
static napi_value js_watch(napi_env env, napi_callback_info info) {
  napi_value args[2], object = NULL;
  napi_valuetype type = napi_undefined;
  uv_loop_t *loop = NULL;
  int fd = -1;
  if (!read_fd_call(env, info, 2, args, &fd)) return NULL;
  if (napi_typeof(env, args[1], &type) != napi_ok || type != napi_function) {
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
    end_watch(watch);
    return raise_api(env);
  }
  return object;
}

napi_status export_watch(napi_env env, napi_value exports) {
  const napi_property_descriptor function = {"watch", NULL, js_watch, NULL, NULL, NULL, napi_enumerable, NULL};
  return napi_define_properties(env, exports, 1, &function);
}

napi_status export_watch_constants(napi_env env, napi_value constants) {
  napi_status status = export_constant(env, constants, "READABLE", UV_READABLE);
  return status == napi_ok ? export_constant(env, constants, "WRITABLE", UV_WRITABLE) : status;
}
