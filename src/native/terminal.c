/*
 * Pseudo-terminals, which Node does not make. Their bytes are read and written by device.c, to the
 * end, which is EIO.
 */
#include "native.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#ifndef TIOCGPTPEER
#define TIOCGPTPEER _IO('T', 0x41)
#endif

#define MAX_SIZE 65535

/* Four numbers of a size, out of the arguments from `args` on. */
static bool read_size(napi_env env, const napi_value *args, struct winsize *size) {
  int64_t numbers[4];
  for (int index = 0; index < 4; index++)
    if (!read_whole(env, args[index], 0, MAX_SIZE, &numbers[index])) return false;
  size->ws_col = (unsigned short)numbers[0];
  size->ws_row = (unsigned short)numbers[1];
  size->ws_xpixel = (unsigned short)numbers[2];
  size->ws_ypixel = (unsigned short)numbers[3];
  return true;
}

static napi_value pair_of(napi_env env, const char *first_name, int first, const char *second_name, int second) {
  napi_value result, number;
  CHECK(env, napi_create_object(env, &result));
  CHECK(env, napi_create_int32(env, first, &number));
  CHECK(env, napi_set_named_property(env, result, first_name, number));
  CHECK(env, napi_create_int32(env, second, &number));
  CHECK(env, napi_set_named_property(env, result, second_name, number));
  return result;
}

/*
 * The other side, by the descriptor where the kernel has that (4.13): no name is looked up, so it
 * is right in any mount namespace. It blocks, as programs expect of their terminal.
 */
static int open_slave(int master) {
  char path[64];
  int slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (slave >= 0 || (errno != EINVAL && errno != ENOTTY)) return slave;
  if (ptsname_r(master, path, sizeof path) != 0) return -1;
  return open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
}

/*
 * Sets it up: unlocked, of this size, with UTF-8 characters erased as a whole. The slave, or -1
 * with errno.
 */
static int prepare(int master, const struct winsize *size) {
  struct termios settings;
  if (grantpt(master) != 0 || unlockpt(master) != 0 || ioctl(master, TIOCSWINSZ, size) != 0) return -1;
  if (tcgetattr(master, &settings) != 0) return -1;
  settings.c_iflag |= IUTF8;
  return tcsetattr(master, TCSANOW, &settings) == 0 ? open_slave(master) : -1;
}

/* openTerminal(columns, rows, x, y): { master, slave }, of which the master does not block. */
static napi_value js_open_terminal(napi_env env, napi_callback_info info) {
  size_t count = 4;
  napi_value args[4];
  struct winsize size;
  CHECK(env, napi_get_cb_info(env, info, &count, args, NULL, NULL));
  if (!read_size(env, args, &size)) return raise_argument(env, "a size is four numbers from 0 to 65535");
  int master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
  if (master < 0) return raise_errno(env, errno, "open");
  int slave = prepare(master, &size);
  if (slave < 0) {
    int error = errno;
    close(master);
    return raise_errno(env, error, "openTerminal");
  }
  napi_value pair = pair_of(env, "master", master, "slave", slave);
  if (pair == NULL) {
    close(master);
    close(slave);
  }
  return pair;
}

/*
 * resize(master, columns, rows, x, y): the terminal's foreground process group is told by WINCH
 * where it changes.
 */
static napi_value js_resize(napi_env env, napi_callback_info info) {
  napi_value args[5];
  struct winsize size;
  int fd = -1;
  if (!read_fd_call(env, info, 5, args, &fd)) return NULL;
  if (!read_size(env, args + 1, &size)) return raise_argument(env, "a size is four numbers from 0 to 65535");
  if (ioctl(fd, TIOCSWINSZ, &size) != 0) return raise_errno(env, errno, "ioctl");
  return NULL;
}

/* foreground(master): the process group that the terminal's keys signal; 0 where there is none. */
static napi_value js_foreground(napi_env env, napi_callback_info info) {
  napi_value args[1], result;
  pid_t group = 0;
  int fd = -1;
  if (!read_fd_call(env, info, 1, args, &fd)) return NULL;
  if (ioctl(fd, TIOCGPGRP, &group) != 0) return raise_errno(env, errno, "tcgetpgrp");
  CHECK(env, napi_create_int32(env, group, &result));
  return result;
}

/* What setMode knows, by stty's names; exactly one of flag and character counts. */
static const struct mode {
  const char *name;
  enum { INPUT, OUTPUT, LOCAL, CHARACTER } kind;
  tcflag_t flag;
  int character;
} MODES[] = {
    {"iutf8", INPUT, IUTF8, 0},      {"ixon", INPUT, IXON, 0},         {"icrnl", INPUT, ICRNL, 0},
    {"opost", OUTPUT, OPOST, 0},     {"onlcr", OUTPUT, ONLCR, 0},      {"echo", LOCAL, ECHO, 0},
    {"icanon", LOCAL, ICANON, 0},    {"isig", LOCAL, ISIG, 0},         {"intr", CHARACTER, 0, VINTR},
    {"quit", CHARACTER, 0, VQUIT},   {"erase", CHARACTER, 0, VERASE},  {"kill", CHARACTER, 0, VKILL},
    {"eof", CHARACTER, 0, VEOF},     {"susp", CHARACTER, 0, VSUSP},
};

static const struct mode *find_mode(napi_env env, napi_value name) {
  char text[16];
  size_t length = 0;
  if (napi_get_value_string_utf8(env, name, text, sizeof text, &length) != napi_ok) return NULL;
  for (size_t index = 0; index < sizeof MODES / sizeof *MODES; index++)
    if (strcmp(MODES[index].name, text) == 0) return &MODES[index];
  return NULL;
}

/* setMode(fd, name, value): 0 or 1 of a flag, 0 to 255 of a character. */
static napi_value js_set_mode(napi_env env, napi_callback_info info) {
  napi_value args[3];
  struct termios settings;
  int64_t value = 0;
  int fd = -1;
  if (!read_fd_call(env, info, 3, args, &fd)) return NULL;
  const struct mode *mode = find_mode(env, args[1]);
  if (mode == NULL) return raise_argument(env, "there is no such mode of a terminal");
  if (!read_whole(env, args[2], 0, mode->kind == CHARACTER ? 255 : 1, &value)) {
    return raise_argument(env, "not a value of this mode");
  }
  if (tcgetattr(fd, &settings) != 0) return raise_errno(env, errno, "tcgetattr");
  tcflag_t *flags[] = {&settings.c_iflag, &settings.c_oflag, &settings.c_lflag};
  if (mode->kind == CHARACTER) settings.c_cc[mode->character] = (cc_t)value;
  else if (value == 1) *flags[mode->kind] |= mode->flag;
  else *flags[mode->kind] &= ~mode->flag;
  if (tcsetattr(fd, TCSANOW, &settings) != 0) return raise_errno(env, errno, "tcsetattr");
  return NULL;
}

/*
 * endOfFile(fd): the character that ends a program's input where the terminal is read by lines;
 * undefined where it is not, or there is none.
 */
static napi_value js_end_of_file(napi_env env, napi_callback_info info) {
  napi_value args[1], result;
  struct termios settings;
  int fd = -1;
  if (!read_fd_call(env, info, 1, args, &fd)) return NULL;
  if (tcgetattr(fd, &settings) != 0) return raise_errno(env, errno, "tcgetattr");
  if ((settings.c_lflag & ICANON) == 0 || settings.c_cc[VEOF] == _POSIX_VDISABLE) return NULL;
  CHECK(env, napi_create_uint32(env, settings.c_cc[VEOF], &result));
  return result;
}

napi_status export_terminal(napi_env env, napi_value exports) {
  const napi_property_descriptor functions[] = {
      {"openTerminal", NULL, js_open_terminal, NULL, NULL, NULL, napi_enumerable, NULL},
      {"resize", NULL, js_resize, NULL, NULL, NULL, napi_enumerable, NULL},
      {"foreground", NULL, js_foreground, NULL, NULL, NULL, napi_enumerable, NULL},
      {"setMode", NULL, js_set_mode, NULL, NULL, NULL, napi_enumerable, NULL},
      {"endOfFile", NULL, js_end_of_file, NULL, NULL, NULL, napi_enumerable, NULL},
  };
  return napi_define_properties(env, exports, sizeof functions / sizeof *functions, functions);
}
