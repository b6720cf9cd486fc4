/* Calls that fail because a test says so: see CALL in keeper.h. Not in what is shipped. */
#include "keeper.h"

#ifdef KEEPER_FAULTS
#include <errno.h>
#include <stdlib.h>
#include <string.h>

bool keeper_fault(const char *name) {
  static long calls;
  const char *wanted = getenv("KEEPER_FAIL");
  size_t length = strlen(name);
  if (wanted == NULL || strncmp(wanted, name, length) != 0 || wanted[length] != ':') return false;
  char *rest;
  int error = (int)strtol(wanted + length + 1, &rest, 10);
  long nth = *rest == ':' ? strtol(rest + 1, NULL, 10) : 0;
  if (++calls != nth && nth != 0) return false;
  errno = error;
  return true;
}
#else
/* a file of C has something in it */
typedef int keeper_without_faults;
#endif
