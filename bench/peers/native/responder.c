/*
 * Answers DNS questions with as little work as the kernel allows: recvmmsg, a few octets changed
 * where they stand, sendmmsg. One program with two uses:
 *
 *   responder echo PORT            the floor: sends every query back with QR set, no DNS work at all
 *   responder answer PORT COUNTER  the upstream of all servers: a fixed address record for every A
 *                                  question, NODATA with a SOA for every other type, EDNS echoed
 *
 * Both listen on 127.0.0.1, UDP in the main thread and TCP (pipelined, RFC 7766) in a second one.
 * COUNTER is a file whose first 8 octets count the questions, so that a benchmark can prove what
 * was forwarded and what was not. The program ends with its parent.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
  BURST = 64,            /* datagrams per system call */
  MESSAGE_OCTETS = 4096, /* largest message taken, with room for what an answer adds */
  ROOM_OCTETS = 128,     /* what an answer may add to its question */
  CONNECTIONS_MAX = 1024,
  STREAM_OCTETS = 256 * 1024,
  SOCKET_BUFFER_OCTETS = 4 * 1024 * 1024,
  RECORD_TTL_S = 3600,
};

/* Turns the query in `message` into its answer; returns the answer's octets, 0 for no answer. */
typedef size_t (*Respond)(uint8_t *message, size_t octets);

static Respond respond;
static uint16_t port;
static _Atomic uint64_t none_counted;
static _Atomic uint64_t *questions = &none_counted;

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static size_t echo(uint8_t *message, size_t octets) {
  if (octets < 12) return 0;
  message[2] |= 0x80;
  return octets;
}

static uint8_t *put(uint8_t *at, const void *octets, size_t count) {
  memcpy(at, octets, count);
  return at + count;
}

static size_t answer(uint8_t *message, size_t octets) {
  static const uint8_t address[] = {0xc0, 12, 0, 1, 0, 1, 0, 0, RECORD_TTL_S >> 8,
                                    RECORD_TTL_S & 0xff, 0, 4, 192, 0, 2, 1};
  static const uint8_t soa[] = {0, 0, 6, 0, 1, 0, 0, 14, 16, 0, 22, 0, 0, 0, 0, 0, 1, 0, 0,
                                14, 16, 0, 0, 14, 16, 0, 0, 14, 16, 0, 0, 14, 16};
  if (octets < 17 || (message[2] & 0xf8) != 0 || message[4] != 0 || message[5] != 1) return 0;
  size_t at = 12;
  while (at < octets && message[at] != 0) {
    if (message[at] > 63) return 0;
    at += 1 + message[at];
  }
  if (at + 5 > octets) return 0;
  const int is_address = message[at + 1] == 0 && message[at + 2] == 1;
  uint8_t *end = message + at + 5;
  /* The OPT record, when it follows the question directly (RFC 6891 6.1). */
  uint8_t opt[11] = {0};
  if (at + 16 <= octets && end[0] == 0 && end[1] == 0 && end[2] == 41) {
    memcpy(opt, end, 9);
    opt[3] = 1232 >> 8;
    opt[4] = 1232 & 0xff;
  }
  message[2] |= 0x80;
  message[3] = 0x80 | (message[3] & 0x10);
  memset(message + 6, 0, 6);
  message[is_address ? 7 : 9] = 1;
  end = is_address ? put(end, address, sizeof address) : put(end, soa, sizeof soa);
  if (opt[2] == 41) {
    message[11] = 1;
    end = put(end, opt, sizeof opt);
  }
  return (size_t)(end - message);
}

static int open_socket(int type) {
  const int on = 1, octets = SOCKET_BUFFER_OCTETS;
  struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons(port)};
  here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int fd = socket(AF_INET, type, 0);
  if (fd < 0) fail("socket");
  setsockopt(fd, SOL_SOCKET, type == SOCK_STREAM ? SO_REUSEADDR : SO_RCVBUF,
             type == SOCK_STREAM ? &on : &octets, sizeof on);
  if (bind(fd, (struct sockaddr *)&here, sizeof here) != 0) fail("bind");
  return fd;
}

static void serve_datagrams(int fd) {
  static uint8_t messages[BURST][MESSAGE_OCTETS + ROOM_OCTETS];
  static struct sockaddr_in clients[BURST];
  static struct iovec parts[BURST];
  static struct mmsghdr received[BURST], sent[BURST];
  for (int i = 0; i < BURST; i++) {
    parts[i].iov_base = messages[i];
    received[i].msg_hdr.msg_iov = &parts[i];
    received[i].msg_hdr.msg_iovlen = 1;
    received[i].msg_hdr.msg_name = &clients[i];
  }
  for (;;) {
    for (int i = 0; i < BURST; i++) {
      parts[i].iov_len = MESSAGE_OCTETS;
      received[i].msg_hdr.msg_namelen = sizeof clients[i];
    }
    const int count = recvmmsg(fd, received, BURST, MSG_WAITFORONE, NULL);
    if (count < 0 && errno != EINTR) fail("recvmmsg");
    int ready = 0;
    for (int i = 0; i < count; i++) {
      const size_t octets = respond(messages[i], received[i].msg_len);
      if (octets == 0) continue;
      parts[i].iov_len = octets;
      sent[ready++].msg_hdr = received[i].msg_hdr;
    }
    atomic_fetch_add_explicit(questions, (uint64_t)ready, memory_order_relaxed);
    for (int from = 0; from < ready;) {
      const int done = sendmmsg(fd, sent + from, (unsigned)(ready - from), 0);
      from += done > 0 ? done : 1;
    }
  }
}

/* What one TCP client sent and was not yet answered. */
typedef struct {
  size_t octets;
  uint8_t data[STREAM_OCTETS];
} Stream;

/* Answers all complete messages of the stream in one write; returns 0 when it has to be closed. */
static int serve_stream(int fd, Stream *stream) {
  static uint8_t out[STREAM_OCTETS * 4];
  const ssize_t got = read(fd, stream->data + stream->octets, STREAM_OCTETS - stream->octets);
  if (got <= 0) return got < 0 && (errno == EAGAIN || errno == EINTR);
  stream->octets += (size_t)got;
  size_t at = 0, filled = 0, count = 0;
  while (stream->octets - at >= 2) {
    const size_t octets = (size_t)stream->data[at] << 8 | stream->data[at + 1];
    if (octets > MESSAGE_OCTETS) return 0;
    if (stream->octets - at - 2 < octets) break;
    if (filled + 2 + octets + ROOM_OCTETS > sizeof out) return 0;
    memcpy(out + filled + 2, stream->data + at + 2, octets);
    const size_t made = respond(out + filled + 2, octets);
    at += 2 + octets;
    if (made == 0) continue;
    out[filled] = (uint8_t)(made >> 8);
    out[filled + 1] = (uint8_t)made;
    filled += 2 + made;
    count++;
  }
  memmove(stream->data, stream->data + at, stream->octets - at);
  stream->octets -= at;
  atomic_fetch_add_explicit(questions, count, memory_order_relaxed);
  for (size_t from = 0; from < filled;) {
    const ssize_t done = write(fd, out + from, filled - from);
    if (done <= 0) return 0;
    from += (size_t)done;
  }
  return 1;
}

_Noreturn static void *serve_streams(void *argument) {
  static Stream *streams[CONNECTIONS_MAX];
  const int listener = *(int *)argument, on = 1, poll = epoll_create1(0);
  struct epoll_event events[BURST], event = {.events = EPOLLIN, .data.fd = listener};
  if (poll < 0 || epoll_ctl(poll, EPOLL_CTL_ADD, listener, &event) != 0) fail("epoll");
  for (;;) {
    const int count = epoll_wait(poll, events, BURST, -1);
    for (int i = 0; i < count; i++) {
      int fd = events[i].data.fd;
      if (fd == listener) {
        fd = accept(listener, NULL, NULL);
        if (fd < 0) continue;
        Stream *stream = fd < CONNECTIONS_MAX ? calloc(1, sizeof(Stream)) : NULL;
        event.data.fd = fd;
        if (stream == NULL || epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event) != 0) {
          free(stream);
          close(fd);
          continue;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        streams[fd] = stream;
      } else if (!serve_stream(fd, streams[fd])) {
        free(streams[fd]);
        streams[fd] = NULL;
        close(fd);
      }
    }
  }
}

static void count_in(const char *path) {
  const int fd = open(path, O_RDWR | O_CREAT, 0600);
  if (fd < 0 || ftruncate(fd, sizeof *questions) != 0) fail(path);
  void *mapped = mmap(NULL, sizeof *questions, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (mapped == MAP_FAILED) fail("mmap");
  questions = mapped;
}

int main(int count, char **arguments) {
  if (count < 3 || count > 4) {
    fprintf(stderr, "usage: responder echo|answer PORT [COUNTER]\n");
    return 2;
  }
  respond = strcmp(arguments[1], "echo") == 0 ? echo : answer;
  port = (uint16_t)atoi(arguments[2]);
  if (count == 4) count_in(arguments[3]);
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  signal(SIGPIPE, SIG_IGN);
  const int datagrams = open_socket(SOCK_DGRAM);
  int streams = open_socket(SOCK_STREAM);
  if (listen(streams, 128) != 0) fail("listen");
  pthread_t thread;
  if (pthread_create(&thread, NULL, serve_streams, &streams) != 0) fail("pthread_create");
  serve_datagrams(datagrams);
  return 0;
}
