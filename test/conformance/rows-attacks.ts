/** Attacks and bugs of the last years, and the defence against each. How to tag: `conforms.ts`. */
import type { Row } from './row.ts'

export const ATTACK_ROWS = {
  'blind-spoofing': {
    source: 'Kaminsky 2008',
    says: 'Wrong replies are dropped while the wait goes on; the right one still wins.',
  },
  'weak-random': {
    source: 'CVE-2025-40780',
    says: 'Ids and ports come from a cryptographic source.',
  },
  'port-leaks': {
    source: 'CVE-2020-25705, 2021-20322, 2026-50252',
    says: 'Ports change and look closed to strangers; what the asked upstream refuses ends that port alone.',
  },
  birthday: {
    source: 'CVE-2020-25684..6, 2025-5994',
    says: 'Equal questions are one query, compared whole; what is pending has a cap.',
  },
  'first-malformed': {
    source: 'TuDoor 2024',
    says: 'A malformed datagram is no result: the wait for the right one goes on and nothing is kept.',
  },
  bailiwick: {
    source: 'MaginotDNS, CVE-2025-40778, 2025-59023',
    says: 'Answers are kept whole under their question; no record answers another one.',
  },
  'ghost-domains': {
    source: 'CVE-2022-30698',
    says: 'No TTL is lengthened and no delegation is kept.',
  },
  'fragment-poisoning': {
    source: 'CVE-2025-59024',
    says: 'We ask for 1232 octets and go to TCP on TC.',
  },
  'expensive-answers': {
    source: 'NXNS, KeyTrap, CVE-2023-50387, 2023-50868',
    says: 'Nothing is iterated or validated; chains and records of a reply are bounded.',
  },
  'compression-cost': {
    source: 'CVE-2024-8508, 2026-44390, 2026-52682',
    says: 'Octets are relayed, pointer hops and kept names are bounded.',
  },
  'option-floods': {
    source: 'CVE-2026-41292, 2026-42944',
    says: 'Options are read once, in a line, and not without end.',
  },
  dnsbomb: {
    source: 'CVE-2024-33655',
    says: 'What one client may have pending is capped; answers never leave in one burst.',
  },
  'cache-thrash': {
    source: 'CacheFlush',
    says: 'The cache is bounded in octets, and a flood of names does not drive hot ones out.',
  },
  'random-subdomains': {
    source: 'water torture',
    says: 'Verdicts come first, queries in flight are bounded, honest clients stay served.',
  },
  amplification: {
    source: 'reflection',
    says: 'Private clients only by default, small ANY, 1232 octets, rate limits that slip.',
  },
  'loop-dos': {
    source: 'CVE-2024-2169',
    says: 'Responses, short messages, reflector ports and ourselves are never answered.',
  },
  'source-port-0': {
    source: 'node-wot #1182',
    says: 'A datagram from port 0 is a counted drop and hurts nobody.',
  },
  'dead-upstream': {
    source: 'ECONNREFUSED',
    says: 'A closed port of an upstream ends a try, not the process.',
  },
  'oversize-send': {
    source: 'EMSGSIZE',
    says: 'An answer too large for UDP becomes TC, and so does a full message with OPT over TCP.',
  },
  timers: {
    source: 'setTimeout past 2^31-1 ms',
    says: 'No TTL reaches a timer: extreme ones keep nothing busy.',
  },
  strings: {
    source: 'lossy labels',
    says: 'Names are compared as octets; nothing folds but ASCII.',
  },
  'uninitialised-memory': {
    source: 'CVE-2021-23386',
    says: 'A reply holds the octets of its records and nothing else.',
  },
  'prototype-keys': {
    source: '__proto__',
    says: 'Names of object properties are names like any other.',
  },
  'pointer-loops': {
    source: 'native-dns-packet #18',
    says: 'Pointer loops end at once.',
  },
  smuggling: {
    source: 'CVE-2026-42004',
    says: 'What goes upstream is built from the question that was judged, and nothing else.',
  },
  'filter-bypass': {
    source: 'aliases, types, flags, transports, caches',
    says: 'One verdict, whatever way a name comes or is reached.',
  },
  'over-blocking': {
    source: 'suffix without label boundary',
    says: 'A rule matches at label boundaries only.',
  },
  'tcp-exhaustion': {
    source: 'slowloris, CVE-2025-30193',
    says: 'Connections, times, queries and unread answers are bounded.',
  },
  backlog: {
    source: 'CVE-2026-33594',
    says: 'Behind a slow upstream the queue is bounded and ages.',
  },
  'upstream-lies': {
    source: 'hostile upstreams',
    says: 'Wrong TTLs, private addresses, oversize and truncated replies do no harm.',
  },
  'fallback-leaks': {
    source: 'fail-open designs',
    says: 'There is no way past the filter and no resolver of the system behind it.',
  },
  'redis-untrusted': {
    source: 'shared caches',
    says: 'What Redis says never opens a block.',
  },
  'redis-poison': {
    source: 'Unbound #1445',
    says: 'A broken entry of Redis is a miss.',
  },
  'list-compromise': {
    source: 'list servers',
    says: 'A list that shrinks, explodes or turns to HTML is refused; the last good one holds.',
  },
  ssrf: {
    source: 'list URLs',
    says: 'List URLs and redirects reach no private place.',
  },
  bombs: {
    source: 'archives',
    says: 'Compressed lists are read within caps, and no path of an archive is written.',
  },
  redos: {
    source: 'regular expressions',
    says: 'No pattern of a list is run as a regular expression.',
  },
  'event-loop': {
    source: 'large lists',
    says: 'Lists are compiled in a thread and swapped in between two queries.',
  },
  'admin-endpoint': {
    source: 'CVE-2026-33256..60, 42005',
    says: 'Metrics listen on loopback, answer GET, within bounds, to no other site.',
  },
  'metric-labels': {
    source: 'CVE-2026-40011',
    says: 'No name and no client stands in a label; the number of series is fixed.',
  },
  'log-injection': {
    source: 'CVE-2026-0396',
    says: 'A log line is one line, whatever a name holds.',
  },
  privacy: {
    source: 'query logs',
    says: 'No name and no client is logged at info or above.',
  },
  privilege: {
    source: 'least privilege',
    says: 'The server runs as an ordinary user and starts no program but itself.',
  },
  'supply-chain': {
    source: 'dependencies',
    says: 'Few packages, locked, none running code at its installation.',
  },
  'version-disclosure': {
    source: 'CH TXT',
    says: 'CHAOS questions are refused, and HTTP names no server.',
  },
} as const satisfies Readonly<Record<string, Row>>
