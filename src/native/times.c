/*
 * Times of files to the nanosecond: Node takes them as a double of seconds, loses what is finer,
 * and takes numbers before 1970 for now.
 */
#include "native.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#define MAX_NANOSECONDS 999999999
/* As far as a number of JavaScript is whole. */
#define MAX_SECONDS ((int64_t)1 << 53)

/* A time out of two arguments; undefined leaves the file's own. False: they are none. */
static bool read_time(napi_env env, napi_value seconds, napi_value nanoseconds, struct timespec *time) {
  napi_valuetype type;
  int64_t whole = 0, part = 0;
  if (napi_typeof(env, seconds, &type) != napi_ok) return false;
  if (type == napi_undefined) {
    *time = (struct timespec){.tv_nsec = UTIME_OMIT};
    return true;
  }
  if (!read_whole(env, seconds, -MAX_SECONDS, MAX_SECONDS, &whole)) return false;
  if (!read_whole(env, nanoseconds, 0, MAX_NANOSECONDS, &part)) return false;
  *time = (struct timespec){.tv_sec = (time_t)whole, .tv_nsec = (long)part};
  return true;
}

/*
 * setTimes(file, accessedSeconds, accessedNanoseconds, modifiedSeconds, modifiedNanoseconds): of an
 * open file, or of the one at a path (a Uint8Array without a zero byte, links are followed).
 */
static napi_value js_set_times(napi_env env, napi_callback_info info) {
  size_t count = 5, length = 0;
  napi_value args[5];
  uint8_t *bytes = NULL;
  char path[PATH_MAX];
  struct timespec times[2];
  int fd = -1;
  CHECK(env, napi_get_cb_info(env, info, &count, args, NULL, NULL));
  if (!read_time(env, args[1], args[2], &times[0]) || !read_time(env, args[3], args[4], &times[1])) {
    return raise_argument(env, "a time is whole seconds and 0 to 999999999 nanoseconds");
  }
  if (read_fd(env, args[0], &fd)) {
    if (futimens(fd, times) != 0) return raise_errno(env, errno, "futimens");
    return NULL;
  }
  if (!read_bytes(env, args[0], &bytes, &length) || length == 0 || length >= sizeof path ||
      memchr(bytes, 0, length) != NULL) {
    return raise_argument(env, "file is neither a descriptor nor a Uint8Array that holds a path");
  }
  memcpy(path, bytes, length);
  path[length] = '\0';
  if (utimensat(AT_FDCWD, path, times, 0) != 0) return raise_errno(env, errno, "utimensat");
  return NULL;
}

napi_status export_times(napi_env env, napi_value exports) {
  const napi_property_descriptor functions[] = {
      {"setTimes", NULL, js_set_times, NULL, NULL, NULL, napi_enumerable, NULL},
  };
  return napi_define_properties(env, exports, sizeof functions / sizeof *functions, functions);
}
