/* What AF_VSOCK needs besides what every socket has; sockets.c has its addresses. */
#include "native.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
/* after sys/socket.h, which it builds on */
#include <linux/vm_sockets.h>

/*
 * localCid(): this machine's context id, 2 on a host. Throws ENOENT where the kernel has no vsock.
 */
static napi_value js_local_cid(napi_env env, napi_callback_info info) {
  unsigned int cid = 0;
  napi_value result;
  (void)info;
  int fd = open("/dev/vsock", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return raise_errno(env, errno, "open");
  int status = ioctl(fd, IOCTL_VM_SOCKETS_GET_LOCAL_CID, &cid), error = errno;
  close(fd);
  if (status != 0) return raise_errno(env, error, "ioctl");
  CHECK(env, napi_create_uint32(env, cid, &result));
  return result;
}

/*
 * writeError(fd): the name of the error that writing would meet, found by writing nothing;
 * undefined where there is none. On AF_VSOCK it is the only way to tell a peer that has ended its
 * side (it still reads) from one that is gone: the kernel reports an end of reading in both cases,
 * keeps no error for either, and no SO_LINGER makes a difference.
 */
static napi_value js_write_error(napi_env env, napi_callback_info info) {
  napi_value args[1], result;
  int fd = -1;
  if (!read_fd_call(env, info, 1, args, &fd)) return NULL;
  if (send(fd, "", 0, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0 || errno == EAGAIN || errno == EINTR) {
    CHECK(env, napi_get_undefined(env, &result));
  } else {
    const char *name = uv_err_name(uv_translate_sys_error(errno));
    CHECK(env, napi_create_string_utf8(env, name, NAPI_AUTO_LENGTH, &result));
  }
  return result;
}

napi_status export_vsock(napi_env env, napi_value exports) {
  const napi_property_descriptor functions[] = {
      {"localCid", NULL, js_local_cid, NULL, NULL, NULL, napi_enumerable, NULL},
      {"writeError", NULL, js_write_error, NULL, NULL, NULL, napi_enumerable, NULL},
  };
  return napi_define_properties(env, exports, sizeof functions / sizeof *functions, functions);
}
