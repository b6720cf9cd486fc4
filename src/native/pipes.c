/*
 * Pipes of the kernel's, for the standard streams of a program. What Node's spawn makes are socket
 * pairs: a program can't open /dev/stdin then (ENXIO), and one that writes after its reader has
 * gone is told of a reset in place of SIGPIPE.
 */
#include "native.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/*
 * pipe(): the end to read and the end to write, close-on-exec; both block, since one is to be a
 * program's and Node changes the other.
 */
static napi_value js_pipe(napi_env env, napi_callback_info info) {
  int ends[2];
  napi_value result, number;
  (void)info;
  if (pipe2(ends, O_CLOEXEC) != 0) return raise_errno(env, errno, "pipe2");
  if (napi_create_array_with_length(env, 2, &result) != napi_ok) goto failed;
  for (uint32_t i = 0; i < 2; i++) {
    if (napi_create_int32(env, ends[i], &number) != napi_ok) goto failed;
    if (napi_set_element(env, result, i, number) != napi_ok) goto failed;
  }
  return result;
failed:
  close(ends[0]);
  close(ends[1]);
  return raise_api(env);
}

napi_status export_pipes(napi_env env, napi_value exports) {
  const napi_property_descriptor functions[] = {
      {"pipe", NULL, js_pipe, NULL, NULL, NULL, napi_enumerable, NULL},
  };
  return napi_define_properties(env, exports, sizeof functions / sizeof *functions, functions);
}
