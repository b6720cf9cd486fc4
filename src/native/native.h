/*
 * What the parts of the addon share: how a call fails, and what each part gives to JavaScript.
 *
 * The addon makes, names and watches descriptors that Node's public API can't, and carries the
 * bytes of character devices and of forwards. Every descriptor is close-on-exec and non-blocking; a
 * failing call throws an Error with the `code`, `errno` and `syscall` that Node's own errors have,
 * and leaves no descriptor behind. No global state, so it may be loaded by several worker threads.
 * Its caller owns each descriptor and closes it once, but for those in a poller, which closes them.
 *
 * Node-API (8) is stable over Node's releases. libuv, of which uv_poll_t and the names of errors
 * are used, is stable within its major version, which Node has kept since 0.12; runtimes that have
 * Node-API and another event loop (Bun, Deno) cannot load the addon, and do without it.
 */
#ifndef TRUNKLINE_NATIVE_H
#define TRUNKLINE_NATIVE_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#ifndef NAPI_VERSION
#define NAPI_VERSION 8
#endif

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <node_api.h>
#include <uv.h>

/*
 * Returns NULL to JavaScript with an exception pending when a Node-API call fails; that is a bug or
 * an out-of-memory.
 */
#define CHECK(env, call)                                                                                                 \
  do {                                                                                                                   \
    if ((call) != napi_ok) return raise_api(env);                                                                        \
  } while (0)

/* Each throws and returns NULL. */
napi_value raise_api(napi_env env);
napi_value raise_errno(napi_env env, int error, const char *syscall_name);
napi_value raise_argument(napi_env env, const char *message);

/*
 * A whole number from `least` to `most` out of an argument; false: it is none. Read as a double:
 * Node-API's own integers are any number modulo 2^32, and 0 for one that is none (NaN), which as a
 * descriptor is stdin.
 */
bool read_whole(napi_env env, napi_value value, int64_t least, int64_t most, int64_t *number);
/* A descriptor out of an argument; false: it is none. */
bool read_fd(napi_env env, napi_value value, int *fd);
/*
 * The arguments of a call, `count` of them, undefined where they are missing, of which the first is
 * a descriptor. False, with an exception pending: it is none.
 */
bool read_fd_call(napi_env env, napi_callback_info info, size_t count, napi_value *args, int *fd);
/*
 * A Uint8Array out of an argument, a Buffer being one; false: it is none. Its bytes are
 * JavaScript's.
 */
bool read_bytes(napi_env env, napi_value value, uint8_t **bytes, size_t *length);

/* Whether errno says that a call would have had to wait. */
bool is_later(int error);

/*
 * What the object of a call wraps, which was tagged with `tag` when it was made: a method may be
 * called on anything, and what another kind of object wraps is another structure. `*wrapped` is
 * NULL where the object is of this kind and no longer wraps anything, being closed. False: it is of
 * no such kind, or not an object at all.
 */
bool read_wrapped(napi_env env, napi_value self, const napi_type_tag *tag, void **wrapped);

/* A name of the object `constants` in the exports. */
napi_status export_constant(napi_env env, napi_value constants, const char *name, int64_t value);

/* Each part's functions, put into the addon's exports. */
napi_status export_sockets(napi_env env, napi_value exports);
napi_status export_watch(napi_env env, napi_value exports);
napi_status export_swap(napi_env env, napi_value exports);
napi_status export_vsock(napi_env env, napi_value exports);
napi_status export_device(napi_env env, napi_value exports);
napi_status export_naming(napi_env env, napi_value exports);
napi_status export_times(napi_env env, napi_value exports);
napi_status export_poller(napi_env env, napi_value exports);
napi_status export_exit(napi_env env, napi_value exports);
napi_status export_terminal(napi_env env, napi_value exports);
napi_status export_pipes(napi_env env, napi_value exports);
napi_status export_users(napi_env env, napi_value exports);

/*
 * The numbers that JavaScript needs to call it and to read what it gives: they are said here once.
 */
napi_status export_watch_constants(napi_env env, napi_value constants);
napi_status export_poller_constants(napi_env env, napi_value constants);

#endif
