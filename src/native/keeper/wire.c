/* Records on the socket: see keeper.h. Nothing here waits. */
#include "keeper.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* Takes the header apart; false: nobody of ours says this, or there is no memory for it. */
static bool begin_body(struct wire *wire) {
  memcpy(&wire->length, wire->header, sizeof wire->length);
  memcpy(&wire->kind, wire->header + sizeof wire->length, sizeof wire->kind);
  if (wire->length > wire->most) return false;
  wire->body = ROOM(body, malloc(wire->length + 1));
  return wire->body != NULL;
}

int wire_receive(struct wire *wire) {
  for (;;) {
    bool in_header = wire->got < HEADER_BYTES;
    uint8_t *into = in_header ? wire->header + wire->got : wire->body + (wire->got - HEADER_BYTES);
    size_t want = (in_header ? HEADER_BYTES : HEADER_BYTES + wire->length) - wire->got;
    if (want == 0) return 1;
    ssize_t got = CALL(recv, recv(CONTROL_FD, into, want, MSG_DONTWAIT));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return 0;
    if (got <= 0) return -1;
    wire->got += (size_t)got;
    if (wire->got == HEADER_BYTES && !begin_body(wire)) return -1;
  }
}

void wire_next(struct wire *wire) {
  free(wire->body);
  wire->body = NULL;
  wire->got = 0;
  wire->length = 0;
}

/* 0 for one that is not there. */
uint64_t wire_number(const struct wire *wire, size_t index) {
  uint64_t number = 0;
  if ((index + 1) * sizeof number <= wire->length) memcpy(&number, wire->body + index * sizeof number, sizeof number);
  return number;
}

void wire_tell(struct wire *wire, enum answer kind, size_t count, const uint64_t *numbers) {
  uint32_t header[2] = {(uint32_t)(count * sizeof *numbers), kind};
  bool is_event = kind == TELL_STOPPED || kind == TELL_CONTINUED;
  if (wire->filled + sizeof header + header[0] > (is_event ? OUT_EVENT_BYTES : OUT_BYTES)) return;
  memcpy(wire->out + wire->filled, header, sizeof header);
  wire->filled += sizeof header;
  if (count > 0) memcpy(wire->out + wire->filled, numbers, header[0]);
  wire->filled += header[0];
}

int wire_flush(struct wire *wire) {
  while (wire->filled > 0) {
    ssize_t put = CALL(send, send(CONTROL_FD, wire->out, wire->filled, MSG_DONTWAIT | MSG_NOSIGNAL));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return 0;
    if (put < 0) {
      wire->filled = 0;
      return -1;
    }
    wire->filled -= (size_t)put;
    memmove(wire->out, wire->out + put, wire->filled);
  }
  return 0;
}
