/*
 * Names for files that were made without one (open with O_TMPFILE): Node's `link` takes two paths
 * and follows no symbolic link, so it cannot reach them. Linux alone, and where /proc is mounted.
 */
#include "native.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/*
 * name(fd, path): gives the open file a name, a Uint8Array without a zero byte. Throws EEXIST where
 * somebody has it: nothing is ever replaced.
 */
static napi_value js_name(napi_env env, napi_callback_info info) {
  size_t length = 0;
  napi_value args[2];
  uint8_t *bytes = NULL;
  char file[32], path[PATH_MAX];
  int fd = -1;
  if (!read_fd_call(env, info, 2, args, &fd)) return NULL;
  if (!read_bytes(env, args[1], &bytes, &length) || length == 0 || length >= sizeof path ||
      memchr(bytes, 0, length) != NULL) {
    return raise_argument(env, "path is not a Uint8Array that holds one");
  }
  memcpy(path, bytes, length);
  path[length] = '\0';
  snprintf(file, sizeof file, "/proc/self/fd/%d", fd);
  if (linkat(AT_FDCWD, file, AT_FDCWD, path, AT_SYMLINK_FOLLOW) != 0) return raise_errno(env, errno, "linkat");
  return NULL;
}

napi_status export_naming(napi_env env, napi_value exports) {
  const napi_property_descriptor functions[] = {
      {"name", NULL, js_name, NULL, NULL, NULL, napi_enumerable, NULL},
  };
  return napi_define_properties(env, exports, sizeof functions / sizeof *functions, functions);
}
