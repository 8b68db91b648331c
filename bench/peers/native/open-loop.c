/*
 * Asks a DNS server at a fixed rate, whatever comes back, and prints latency percentiles as JSON.
 *
 *   open-loop PORT RATE SECONDS SEED FILE
 *
 * Open loop: each query has a due time, drawn beforehand from a Poisson process of RATE queries/s,
 * and its latency counts from that due time, so that a server (or client) that stalls pays for every
 * query that became due meanwhile. The client spins on its own core and never sleeps: waking
 * up is not part of what it measures. `lateUs` says how far behind its own schedule it was.
 *
 * FILE holds one query a line, `name blocked` or `name allowed`, asked in turn for type A. Every
 * answer is checked: NXDOMAIN, NODATA and 0.0.0.0 are blocks, an address is none, all else is wrong.
 * A query without an answer until a second after the last one was due counts as one of a second.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
  IDS = 65536,
  QUERY_OCTETS_MAX = 512,
  ANSWER_OCTETS_MAX = 4096,
  SOCKET_BUFFER_OCTETS = 4 * 1024 * 1024,
  BURST_MAX = 64, /* queries sent before answers are read again */
};
static const int64_t SECOND_NS = 1000000000;

typedef struct {
  uint16_t octets;
  uint8_t is_blocked;
  uint8_t message[QUERY_OCTETS_MAX];
} Query;

typedef struct {
  int64_t due_ns;
  uint32_t query;
  uint8_t is_open;
} Pending;

typedef struct {
  uint32_t *values;
  size_t count, room;
} Samples;

static Query *queries;
static size_t query_count;
static Pending pending[IDS];
static Samples latencies, delays;
static uint64_t sent, answered, wrong, strays, overruns;
static uint64_t random_state;

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static int64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * SECOND_NS + now.tv_nsec;
}

/* splitmix64, as a number in (0, 1]. */
static double random_unit(void) {
  uint64_t z = random_state += 0x9e3779b97f4a7c15ull;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ z >> 27) * 0x94d049bb133111ebull;
  return ((double)((z ^ z >> 31) >> 11) + 1) / 9007199254740992.0;
}

static void keep(Samples *samples, int64_t ns) {
  if (samples->count == samples->room) return;
  samples->values[samples->count++] = ns < 0 ? 0 : ns > UINT32_MAX ? UINT32_MAX : (uint32_t)ns;
}

static int ascending(const void *a, const void *b) {
  const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return (x > y) - (x < y);
}

static double percentile_us(const Samples *samples, double share) {
  if (samples->count == 0) return -1;
  const size_t at = (size_t)((double)(samples->count - 1) * share);
  return samples->values[at] / 1000.0;
}

static void add_query(char *line) {
  char *space = strchr(line, ' ');
  Query query = {0};
  if (space == NULL) return;
  *space = 0;
  query.is_blocked = strncmp(space + 1, "blocked", 7) == 0;
  uint8_t *at = query.message + 12;
  query.message[2] = 1; /* RD */
  query.message[5] = 1; /* QDCOUNT */
  char *rest = NULL;
  for (char *label = strtok_r(line, ".", &rest); label; label = strtok_r(NULL, ".", &rest)) {
    const size_t octets = strlen(label);
    if (octets > 63 || at + octets - query.message > 260) return;
    *at++ = (uint8_t)octets;
    memcpy(at, label, octets);
    at += octets;
  }
  memcpy(at, "\0\0\1\0\1", 5);
  query.octets = (uint16_t)(at + 5 - query.message);
  if ((query_count & (query_count - 1)) == 0) {
    queries = realloc(queries, sizeof(Query) * (query_count == 0 ? 1 : query_count * 2));
    if (queries == NULL) fail("realloc");
  }
  queries[query_count++] = query;
}

static void read_queries(const char *path) {
  char line[1024];
  FILE *file = fopen(path, "r");
  if (file == NULL) fail(path);
  while (fgets(line, sizeof line, file) != NULL) add_query(line);
  fclose(file);
  if (query_count == 0) {
    fprintf(stderr, "%s: no queries\n", path);
    exit(1);
  }
}

/* True when the answer is what its question deserves: a block, or an address. */
static int is_right(const uint8_t *answer, size_t octets, const Query *query) {
  const int rcode = answer[3] & 15, records = answer[6] << 8 | answer[7];
  if ((answer[2] & 0x80) == 0 || octets < query->octets) return 0;
  if (memcmp(answer + 12, query->message + 12, query->octets - 12u) != 0) return 0;
  if (!query->is_blocked) return rcode == 0 && records > 0;
  if (rcode == 3) return 1;
  if (rcode != 0) return 0;
  if (records == 0) return 1;
  return octets >= query->octets + 16u && memcmp(answer + query->octets + 12, "\0\0\0\0", 4) == 0;
}

static void take_answers(int fd) {
  static uint8_t answer[ANSWER_OCTETS_MAX];
  ssize_t octets;
  while ((octets = recv(fd, answer, sizeof answer, MSG_DONTWAIT)) >= 0) {
    const int64_t now = now_ns();
    const uint32_t id = octets < 12 ? 0 : (uint32_t)(answer[0] << 8 | answer[1]);
    if (octets < 12 || !pending[id].is_open) {
      strays++;
      continue;
    }
    pending[id].is_open = 0;
    answered++;
    if (!is_right(answer, (size_t)octets, &queries[pending[id].query])) wrong++;
    keep(&latencies, now - pending[id].due_ns);
  }
}

static void ask(int fd, int64_t due_ns) {
  const uint32_t id = (uint32_t)(sent % IDS), at = (uint32_t)(sent % query_count);
  Query *query = &queries[at];
  if (pending[id].is_open) {
    overruns++;
    keep(&latencies, SECOND_NS);
  }
  pending[id] = (Pending){.due_ns = due_ns, .query = at, .is_open = 1};
  query->message[0] = (uint8_t)(id >> 8);
  query->message[1] = (uint8_t)id;
  keep(&delays, now_ns() - due_ns);
  if (send(fd, query->message, query->octets, 0) < 0 && errno != ECONNREFUSED) fail("send");
  sent++;
}

static void run(int fd, double rate, double seconds) {
  const int64_t start = now_ns(), end = start + (int64_t)(seconds * (double)SECOND_NS);
  double due = (double)start;
  for (;;) {
    const int64_t now = now_ns();
    for (int i = 0; i < BURST_MAX && due <= (double)now && due < (double)end; i++) {
      ask(fd, (int64_t)due);
      due -= log(random_unit()) / rate * (double)SECOND_NS;
    }
    take_answers(fd);
    if (now > end + SECOND_NS || (due >= (double)end && answered == sent)) return;
  }
}

int main(int count, char **arguments) {
  if (count != 6) {
    fprintf(stderr, "usage: open-loop PORT RATE SECONDS SEED FILE\n");
    return 2;
  }
  const double rate = atof(arguments[2]), seconds = atof(arguments[3]);
  if (!(rate > 0 && rate <= 1e6 && seconds > 0 && seconds <= 3600)) {
    fprintf(stderr, "rate or seconds out of range\n");
    return 2;
  }
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  random_state = strtoull(arguments[4], NULL, 10);
  read_queries(arguments[5]);
  latencies.room = delays.room = (size_t)(rate * seconds * 1.5) + 1000;
  latencies.values = malloc(latencies.room * sizeof(uint32_t));
  delays.values = malloc(delays.room * sizeof(uint32_t));
  struct sockaddr_in there = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(arguments[1]))};
  there.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int fd = socket(AF_INET, SOCK_DGRAM, 0), octets = SOCKET_BUFFER_OCTETS;
  if (fd < 0 || latencies.values == NULL || delays.values == NULL) fail("socket");
  setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &octets, sizeof octets);
  if (connect(fd, (struct sockaddr *)&there, sizeof there) != 0) fail("connect");
  run(fd, rate, seconds);
  for (uint32_t id = 0; id < IDS; id++) {
    if (pending[id].is_open) keep(&latencies, SECOND_NS);
  }
  qsort(latencies.values, latencies.count, sizeof(uint32_t), ascending);
  qsort(delays.values, delays.count, sizeof(uint32_t), ascending);
  printf("{\"sent\":%llu,\"answered\":%llu,\"wrong\":%llu,\"strays\":%llu,\"overruns\":%llu,"
         "\"p50Us\":%.1f,\"p90Us\":%.1f,\"p99Us\":%.1f,\"p999Us\":%.1f,\"maxUs\":%.1f,"
         "\"lateP50Us\":%.1f,\"lateP99Us\":%.1f,\"lateMaxUs\":%.1f}\n",
         (unsigned long long)sent, (unsigned long long)answered,
         (unsigned long long)wrong,
         (unsigned long long)strays, (unsigned long long)overruns, percentile_us(&latencies, 0.5),
         percentile_us(&latencies, 0.9), percentile_us(&latencies, 0.99),
         percentile_us(&latencies, 0.999), percentile_us(&latencies, 1), percentile_us(&delays, 0.5),
         percentile_us(&delays, 0.99), percentile_us(&delays, 1));
  return 0;
}
