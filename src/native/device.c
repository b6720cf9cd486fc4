/*
 * Bytes of character devices, which Node's sockets refuse to carry: virtio ports, and terminals
 * once somebody has set them up. Nothing here blocks: what is not there now, or does not fit now,
 * is said so, and the caller asks again when the descriptor is ready (watch.c).
 */
#include "native.h"

#include <errno.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

/*
 * The kernel takes at most so much of one write to a virtio port, and each write, each piece of a
 * writev too, is a buffer of its own that the hypervisor has to be woken for. So pieces are put
 * together up to this; a frame is three of them.
 */
#define GATHERED_BYTES (32 * 1024)

/*
 * read(fd, buffer): how many bytes were read, 0 where the device says that nobody is at its other
 * end, undefined where nothing has arrived. One read of a virtio port gives at most 4096 bytes, so
 * it is read again while there is more, up to the room of the buffer.
 */
static napi_value js_read(napi_env env, napi_callback_info info) {
  size_t length = 0, total = 0;
  napi_value args[2], result;
  uint8_t *bytes = NULL;
  int fd = -1;
  if (!read_fd_call(env, info, 2, args, &fd)) return NULL;
  if (!read_bytes(env, args[1], &bytes, &length) || length == 0) {
    return raise_argument(env, "buffer is not a Uint8Array with room");
  }
  while (total < length) {
    ssize_t got = read(fd, bytes + total, length - total);
    if (got > 0) {
      total += (size_t)got;
    } else if (got == 0) {
      break;
    } else if (errno != EINTR) {
      /* An error behind bytes is told by the next call. */
      if (total > 0) break;
      if (!is_later(errno)) return raise_errno(env, errno, "read");
      CHECK(env, napi_get_undefined(env, &result));
      return result;
    }
  }
  CHECK(env, napi_create_uint32(env, (uint32_t)total, &result));
  return result;
}

/*
 * Writes what the device takes now, at most `length`; false: it takes no more, or failed with errno
 * other than EAGAIN.
 */
static bool write_some(int fd, const uint8_t *bytes, size_t length, size_t *total) {
  size_t done = 0;
  while (done < length) {
    ssize_t put = write(fd, bytes + done, length - done);
    if (put < 0 && errno == EINTR) continue;
    if (put == 0) errno = EAGAIN;
    if (put <= 0) return false;
    done += (size_t)put;
    *total += (size_t)put;
  }
  return true;
}

/*
 * write(fd, chunks): how many bytes of the chunks, in their order, the device has taken; 0 where it
 * takes none now.
 */
static napi_value js_write(napi_env env, napi_callback_info info) {
  size_t length = 0, total = 0;
  napi_value args[2], chunk, result;
  uint8_t gathered[GATHERED_BYTES];
  size_t filled = 0;
  uint8_t *bytes = NULL;
  uint32_t chunks = 0;
  bool is_array = false;
  int fd = -1;
  if (!read_fd_call(env, info, 2, args, &fd)) return NULL;
  if (napi_is_array(env, args[1], &is_array) != napi_ok || !is_array) {
    return raise_argument(env, "chunks is not an array");
  }
  CHECK(env, napi_get_array_length(env, args[1], &chunks));
  bool open = true;
  for (uint32_t index = 0; open && index < chunks; index++) {
    CHECK(env, napi_get_element(env, args[1], index, &chunk));
    if (!read_bytes(env, chunk, &bytes, &length)) {
      /*
       * What was taken has left: a caller that makes this mistake is told when nothing depends on
       * it.
       */
      if (total == 0 && filled == 0) return raise_argument(env, "a chunk is not a Uint8Array");
      break;
    }
    while (open && length > 0) {
      size_t part = length < GATHERED_BYTES - filled ? length : GATHERED_BYTES - filled;
      memcpy(gathered + filled, bytes, part);
      filled += part;
      bytes += part;
      length -= part;
      if (filled == GATHERED_BYTES) {
        open = write_some(fd, gathered, filled, &total);
        filled = 0;
      }
    }
  }
  if (open && filled > 0) open = write_some(fd, gathered, filled, &total);
  if (!open && total == 0 && !is_later(errno)) return raise_errno(env, errno, "write");
  CHECK(env, napi_create_int64(env, (int64_t)total, &result));
  return result;
}

/* keepLines(fd): a terminal's last close no longer lowers its modem lines (HUPCL off). */
static napi_value js_keep_lines(napi_env env, napi_callback_info info) {
  napi_value args[1];
  struct termios settings;
  int fd = -1;
  if (!read_fd_call(env, info, 1, args, &fd)) return NULL;
  if (tcgetattr(fd, &settings) != 0) return raise_errno(env, errno, "tcgetattr");
  settings.c_cflag &= ~(tcflag_t)HUPCL;
  if (tcsetattr(fd, TCSANOW, &settings) != 0) return raise_errno(env, errno, "tcsetattr");
  return NULL;
}

napi_status export_device(napi_env env, napi_value exports) {
  const napi_property_descriptor functions[] = {
      {"read", NULL, js_read, NULL, NULL, NULL, napi_enumerable, NULL},
      {"write", NULL, js_write, NULL, NULL, NULL, napi_enumerable, NULL},
      {"keepLines", NULL, js_keep_lines, NULL, NULL, NULL, napi_enumerable, NULL},
  };
  return napi_define_properties(env, exports, sizeof functions / sizeof *functions, functions);
}
