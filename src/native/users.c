/*
 * Users by their names, with all of their groups, which Node does not look up. On a worker: a
 * directory service may let one wait.
 */
#include "native.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

/* Longest name, with its NUL. */
#define NAME_BYTES 256
/* What the system says of a user has no bound that it would tell. */
#define FIRST_BYTES 4096
#define MAX_BYTES (1024 * 1024)
#define FIRST_GROUPS 64
#define MAX_GROUPS 65536

struct lookup {
  napi_async_work work;
  napi_deferred deferred;
  char name[NAME_BYTES];
  int error;
  bool is_found;
  struct passwd entry;
  char *text;
  gid_t *groups;
  int count;
};

static void free_lookup(struct lookup *lookup) {
  free(lookup->text);
  free(lookup->groups);
  free(lookup);
}

/* 0, or an errno. */
static int find_entry(struct lookup *lookup) {
  for (size_t room = FIRST_BYTES; room <= MAX_BYTES; room *= 4) {
    struct passwd *found = NULL;
    char *grown = realloc(lookup->text, room);
    if (grown == NULL) return ENOMEM;
    lookup->text = grown;
    int error = getpwnam_r(lookup->name, &lookup->entry, lookup->text, room, &found);
    if (error == ERANGE || error == EINTR) continue;
    lookup->is_found = found != NULL;
    /* what some systems say where there is nobody of that name */
    return error == ENOENT || error == ESRCH || error == EBADF || error == EPERM ? 0 : error;
  }
  return ERANGE;
}

static int find_groups(struct lookup *lookup) {
  for (int room = FIRST_GROUPS; room <= MAX_GROUPS; room *= 4) {
    gid_t *grown = realloc(lookup->groups, (size_t)room * sizeof *grown);
    if (grown == NULL) return ENOMEM;
    lookup->groups = grown;
    lookup->count = room;
    if (getgrouplist(lookup->name, lookup->entry.pw_gid, lookup->groups, &lookup->count) >= 0) return 0;
  }
  return ERANGE;
}

static void look_up(napi_env env, void *data) {
  struct lookup *lookup = data;
  (void)env;
  lookup->error = find_entry(lookup);
  if (lookup->error == 0 && lookup->is_found) lookup->error = find_groups(lookup);
}

static bool set_number(napi_env env, napi_value object, const char *name, uint32_t value) {
  napi_value number;
  return napi_create_uint32(env, value, &number) == napi_ok &&
         napi_set_named_property(env, object, name, number) == napi_ok;
}

static bool set_text(napi_env env, napi_value object, const char *name, const char *value) {
  napi_value text;
  return napi_create_string_utf8(env, value == NULL ? "" : value, NAPI_AUTO_LENGTH, &text) == napi_ok &&
         napi_set_named_property(env, object, name, text) == napi_ok;
}

static bool make_user(napi_env env, const struct lookup *lookup, napi_value *user) {
  const struct passwd *entry = &lookup->entry;
  napi_value groups, number;
  if (napi_create_object(env, user) != napi_ok ||
      napi_create_array_with_length(env, (size_t)lookup->count, &groups) != napi_ok)
    return false;
  for (int index = 0; index < lookup->count; index++)
    if (napi_create_uint32(env, lookup->groups[index], &number) != napi_ok ||
        napi_set_element(env, groups, (uint32_t)index, number) != napi_ok)
      return false;
  return napi_set_named_property(env, *user, "groups", groups) == napi_ok &&
         set_number(env, *user, "uid", entry->pw_uid) && set_number(env, *user, "gid", entry->pw_gid) &&
         set_text(env, *user, "home", entry->pw_dir) && set_text(env, *user, "shell", entry->pw_shell);
}

/* The promise is rejected with what `raise_errno` and `raise_api` throw. */
static void tell(napi_env env, napi_status status, void *data) {
  struct lookup *lookup = data;
  napi_value result = NULL;
  if (status == napi_ok && lookup->error == 0) {
    bool is_made = lookup->is_found ? make_user(env, lookup, &result) : napi_get_undefined(env, &result) == napi_ok;
    if (!is_made) raise_api(env);
  } else {
    raise_errno(env, status == napi_ok ? lookup->error : ECANCELED, "getpwnam");
  }
  bool has_failed = false;
  napi_is_exception_pending(env, &has_failed);
  if (!has_failed) napi_resolve_deferred(env, lookup->deferred, result);
  else if (napi_get_and_clear_last_exception(env, &result) == napi_ok)
    napi_reject_deferred(env, lookup->deferred, result);
  napi_delete_async_work(env, lookup->work);
  free_lookup(lookup);
}

/* findUser(name): a promise of { uid, gid, groups, home, shell }, or of undefined. */
static napi_value js_find_user(napi_env env, napi_callback_info info) {
  size_t count = 1, length = 0;
  napi_value args[1], promise, label;
  CHECK(env, napi_get_cb_info(env, info, &count, args, NULL, NULL));
  if (napi_get_value_string_utf8(env, args[0], NULL, 0, &length) != napi_ok || length == 0 || length >= NAME_BYTES)
    return raise_argument(env, "a name of a user has 1 to 255 bytes");
  struct lookup *lookup = calloc(1, sizeof *lookup);
  if (lookup == NULL) return raise_errno(env, ENOMEM, "getpwnam");
  if (napi_get_value_string_utf8(env, args[0], lookup->name, sizeof lookup->name, &length) != napi_ok ||
      strlen(lookup->name) != length) {
    free_lookup(lookup);
    return raise_argument(env, "a name of a user has no NUL");
  }
  if (napi_create_string_utf8(env, "trunkline:user", NAPI_AUTO_LENGTH, &label) != napi_ok ||
      napi_create_async_work(env, NULL, label, look_up, tell, lookup, &lookup->work) != napi_ok) {
    free_lookup(lookup);
    return raise_api(env);
  }
  if (napi_create_promise(env, &lookup->deferred, &promise) != napi_ok ||
      napi_queue_async_work(env, lookup->work) != napi_ok) {
    napi_delete_async_work(env, lookup->work);
    free_lookup(lookup);
    return raise_api(env);
  }
  return promise;
}

napi_status export_users(napi_env env, napi_value exports) {
  const napi_property_descriptor function = {"findUser", NULL, js_find_user, NULL, NULL, NULL, napi_enumerable, NULL};
  return napi_define_properties(env, exports, 1, &function);
}
