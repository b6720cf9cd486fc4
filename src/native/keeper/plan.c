/*
 * Reads the plan. The server is ours, but a keeper may be of another release: nothing in it is
 * believed.
 */
#include "keeper.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct cursor {
  const uint8_t *at, *end;
  bool failed;
};

static void take(struct cursor *cursor, void *into, size_t length) {
  if (cursor->failed || (size_t)(cursor->end - cursor->at) < length) {
    cursor->failed = true;
    memset(into, 0, length);
    return;
  }
  memcpy(into, cursor->at, length);
  cursor->at += length;
}

static uint32_t take_u32(struct cursor *cursor) {
  uint32_t number;
  take(cursor, &number, sizeof number);
  return number;
}

static uint64_t take_u64(struct cursor *cursor) {
  uint64_t number;
  take(cursor, &number, sizeof number);
  return number;
}

static char *take_string(struct cursor *cursor) {
  const uint8_t *start = cursor->at;
  const uint8_t *end = cursor->failed ? NULL : memchr(start, 0, (size_t)(cursor->end - start));
  if (end == NULL) {
    cursor->failed = true;
    return NULL;
  }
  cursor->at = end + 1;
  return (char *)start;
}

/*
 * A list that ends with NULL; each string takes a byte at least, so a count that lies asks for no
 * more memory than the plan has bytes.
 */
static char **take_strings(struct cursor *cursor, size_t count) {
  if (cursor->failed || count > (size_t)(cursor->end - cursor->at)) {
    cursor->failed = true;
    return NULL;
  }
  char **strings = ROOM(strings, calloc(count + 1, sizeof *strings));
  for (size_t index = 0; strings != NULL && index < count; index++) strings[index] = take_string(cursor);
  return strings;
}

static int fill_plan(struct cursor *cursor, struct plan *plan) {
  if (take_u32(cursor) != KEEPER_VERSION) return EPROTO;
  plan->flags = take_u32(cursor);
  plan->grace_ms = take_u32(cursor);
  plan->uid = take_u32(cursor);
  plan->gid = take_u32(cursor);
  plan->umask = take_u32(cursor);
  plan->niceness = (int32_t)take_u32(cursor);
  plan->group_count = take_u32(cursor);
  plan->limit_count = take_u32(cursor);
  size_t arguments = take_u32(cursor), variables = take_u32(cursor);
  if (plan->group_count > MAX_GROUPS || plan->limit_count > MAX_LIMITS || arguments == 0) return EINVAL;
  plan->groups = ROOM(groups, calloc(plan->group_count + 1, sizeof *plan->groups));
  if (plan->groups == NULL) return ENOMEM;
  for (size_t index = 0; index < plan->group_count; index++) plan->groups[index] = take_u32(cursor);
  for (size_t index = 0; index < plan->limit_count; index++) {
    struct limit *limit = &plan->limits[index];
    limit->resource = take_u32(cursor);
    limit->values.rlim_cur = (rlim_t)take_u64(cursor);
    limit->values.rlim_max = (rlim_t)take_u64(cursor);
  }
  plan->directory = take_string(cursor);
  plan->control_group = take_string(cursor);
  plan->file = take_string(cursor);
  plan->argv = take_strings(cursor, arguments);
  if (plan->argv == NULL) return cursor->failed ? EINVAL : ENOMEM;
  plan->env = take_strings(cursor, variables);
  if (plan->env == NULL) return cursor->failed ? EINVAL : ENOMEM;
  return cursor->failed || cursor->at != cursor->end || plan->file[0] == '\0' ? EINVAL : 0;
}

int read_plan(const uint8_t *bytes, size_t length, struct plan *plan) {
  struct cursor cursor = {.at = bytes, .end = bytes + length};
  memset(plan, 0, sizeof *plan);
  return fill_plan(&cursor, plan);
}

void free_plan(struct plan *plan) {
  free(plan->groups);
  free(plan->argv);
  free(plan->env);
  plan->groups = NULL;
  plan->argv = plan->env = NULL;
}
