/* How a call of the addon fails, and how its arguments are read: see native.h. */
#include "native.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>

napi_value raise_api(napi_env env) {
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
napi_value raise_errno(napi_env env, int error, const char *syscall_name) {
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

napi_value raise_argument(napi_env env, const char *message) {
  napi_throw_type_error(env, "ERR_INVALID_ARG_VALUE", message);
  return NULL;
}

bool read_whole(napi_env env, napi_value value, int64_t least, int64_t most, int64_t *number) {
  double given = 0;
  if (napi_get_value_double(env, value, &given) != napi_ok) return false;
  /* NaN is in no range */
  if (!(given >= (double)least && given <= (double)most)) return false;
  *number = (int64_t)given;
  return (double)*number == given;
}

bool read_fd(napi_env env, napi_value value, int *fd) {
  int64_t number = -1;
  if (!read_whole(env, value, 0, INT_MAX, &number)) return false;
  *fd = (int)number;
  return true;
}

bool read_fd_call(napi_env env, napi_callback_info info, size_t count, napi_value *args, int *fd) {
  if (napi_get_cb_info(env, info, &count, args, NULL, NULL) != napi_ok) {
    raise_api(env);
    return false;
  }
  if (read_fd(env, args[0], fd)) return true;
  raise_argument(env, "not a descriptor");
  return false;
}

bool is_later(int error) { return error == EAGAIN || error == EWOULDBLOCK; }

bool read_bytes(napi_env env, napi_value value, uint8_t **bytes, size_t *length) {
  bool is_array = false;
  napi_typedarray_type type = napi_int8_array;
  void *data = NULL;
  if (napi_is_typedarray(env, value, &is_array) != napi_ok || !is_array) return false;
  if (napi_get_typedarray_info(env, value, &type, length, &data, NULL, NULL) != napi_ok) return false;
  *bytes = data;
  return type == napi_uint8_array;
}

bool read_wrapped(napi_env env, napi_value self, const napi_type_tag *tag, void **wrapped) {
  bool is_ours = false;
  *wrapped = NULL;
  if (napi_check_object_type_tag(env, self, tag, &is_ours) != napi_ok || !is_ours) return false;
  if (napi_unwrap(env, self, wrapped) != napi_ok) *wrapped = NULL;
  return true;
}

napi_status export_constant(napi_env env, napi_value constants, const char *name, int64_t value) {
  napi_value number;
  napi_status status = napi_create_int64(env, value, &number);
  return status == napi_ok ? napi_set_named_property(env, constants, name, number) : status;
}
