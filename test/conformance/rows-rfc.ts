/** What the RFCs ask of a filtering forwarder, one behaviour a row. How to tag: `conforms.ts`. */
import type { Row } from './row.ts'

export const RFC_ROWS = {
  'label-limits': {
    source: 'RFC 1035 2.3.4, 3.1',
    says: 'A label has at most 63 octets and a name 255; label types 01 and 10 are malformed.',
  },
  compression: {
    source: 'RFC 1035 4.1.4, RFC 9267 2-6',
    says: 'Pointers lead backward only, hops are bounded, lengths and counts are checked first.',
  },
  'udp-truncation': {
    source: 'RFC 1035 4.2.1, RFC 6891 6.2.5',
    says: 'A reply over UDP keeps to 512 octets, or what EDNS allows; TC cuts between records.',
  },
  'reply-match': {
    source: 'RFC 1035 7.3, RFC 5452 9.1',
    says: 'An upstream reply counts only from the asked address and port, with id, QR, question.',
  },
  'record-order': {
    source: 'RFC 1034 3.6.2, 4.3',
    says: 'Records are given in the order of the upstream, from the cache too.',
  },
  'tcp-pipelining': {
    source: 'RFC 1123 6.1.3.2, RFC 7766 5, 6.2',
    says: 'UDP and TCP both serve; pipelined queries are answered as they are ready.',
  },
  'tcp-idle': {
    source: 'RFC 7766 6.2.3, RFC 9210 3-4',
    says: 'An idle connection is closed after seconds, by FIN, never with answers unsent.',
  },
  keepalive: {
    source: 'RFC 7828 3.2',
    says: 'The keepalive option is never sent over UDP, and over TCP only to who asked.',
  },
  opcodes: {
    source: 'RFC 1996, 2136, 3425, 8906 3.1.4, 6895 2.2',
    says: 'Opcodes other than QUERY get NOTIMP with id and opcode, and nothing goes upstream.',
  },
  qdcount: {
    source: 'RFC 9619',
    says: 'A query with no question or with several is FORMERR.',
  },
  'header-flags': {
    source: 'RFC 8906 3.1.3, RFC 6895 2.1',
    says: 'AA, TC, RA, AD, CD and Z of a query do no harm; RD and CD are copied, Z is clear.',
  },
  'unknown-types': {
    source: 'RFC 8906 3.1.2, RFC 3597 3-4',
    says: 'Unknown types are forwarded, their RDATA relayed octet for octet.',
  },
  'edns-opt': {
    source: 'RFC 6891 6.1.1',
    says: 'OPT is answered by OPT and never sent unasked; two, misplaced or broken ones: FORMERR.',
  },
  'edns-version': {
    source: 'RFC 6891 6.1.3, RFC 8906 3.2.2',
    says: 'An EDNS version above 0 gets BADVERS, version 0 and no answer, blocked or not.',
  },
  'edns-hop': {
    source: 'RFC 6891 6.1.2, 6.1.4',
    says: 'Unknown options and flags are ignored; each hop has an OPT of its own.',
  },
  fragments: {
    source: 'RFC 9715, DNS Flag Day 2020',
    says: '1232 octets over UDP to clients and upstreams; more is TC, not fragments.',
  },
  proxy: {
    source: 'RFC 5625 3-4, 6',
    says: 'Unknown flags and types pass, TCP works, large answers pass over TCP, nothing more listens.',
  },
  unpredictable: {
    source: 'RFC 5452 9.2, 10',
    says: 'Id and source port are drawn for each query; one question has one query in flight.',
  },
  'letter-case': {
    source: 'RFC 4343 3',
    says: 'Only ASCII letters fold; each client gets its own letters back, from the cache too.',
  },
  'any-octet': {
    source: 'RFC 2181 11, RFC 4343',
    says: 'Any octet may stand in a label; a label that holds a dot is one label.',
  },
  'same-address': {
    source: 'RFC 2181 4',
    says: 'A reply leaves from the address and port that was asked.',
  },
  ttl: {
    source: 'RFC 2181 5.2, 8',
    says: 'The top bit means TTL 0, a ceiling holds, a kept TTL counts down and never up.',
  },
  negative: {
    source: 'RFC 2308 2, 5, 7',
    says: 'NXDOMAIN and NODATA are kept apart, as long as their SOA says, at most three hours.',
  },
  'failure-cache': {
    source: 'RFC 9520 3',
    says: 'Failures are kept between 1 s and 5 min; a dead upstream sees no storm of retries.',
  },
  stale: {
    source: 'RFC 8767 4-5',
    says: 'Stale answers only where enabled, marked, short, and judged by the lists of today.',
  },
  wildcards: {
    source: 'RFC 4592',
    says: 'An asterisk in a question is a label like any other.',
  },
  'nxdomain-subtree': {
    source: 'RFC 8020',
    says: 'A block says NXDOMAIN only where all below the name is blocked as well.',
  },
  'no-synthesis': {
    source: 'RFC 8198',
    says: 'No answer is made up from the NSEC records of another.',
  },
  'dnssec-bits': {
    source: 'RFC 4035 3.2, RFC 6840 5.7-5.9',
    says: 'DO and CD pass; AD only from a trusted path to who asked; none of them passes a block.',
  },
  any: {
    source: 'RFC 8482 4',
    says: 'ANY gets one small record, at most ten times the size of the query.',
  },
  transfers: {
    source: 'RFC 5936, RFC 1995',
    says: 'AXFR and IXFR are REFUSED, and no connection upstream waits for one.',
  },
  onion: {
    source: 'RFC 7686 2',
    says: 'Names below onion are NXDOMAIN here and never go upstream, aliases included.',
  },
  'special-names': {
    source: 'RFC 6761 6, 6303, 8375, 9476',
    says: 'localhost, invalid, home.arpa, alt and private reverse zones are answered here.',
  },
  ddr: {
    source: 'RFC 9462 6, RFC 9461',
    says: 'resolver.arpa and the canaries of browsers are answered here, never relayed.',
  },
  svcb: {
    source: 'RFC 9460',
    says: 'HTTPS and SVCB pass no block: owner, target and address hints are judged.',
  },
  ede: {
    source: 'RFC 8914',
    says: 'Replies say why: 15 for a block, 22 and 23 for upstreams, 3 and 13 where true; to EDNS only.',
  },
  ecs: {
    source: 'RFC 7871 7, 11',
    says: "A client's subnet goes nowhere and divides no cache.",
  },
  cookies: {
    source: 'RFC 7873, RFC 9018',
    says: 'Cookies are optional, bad lengths FORMERR; a valid server cookie has the rate of a proven address.',
  },
  padding: {
    source: 'RFC 7830, RFC 8467',
    says: 'Replies are padded on encrypted transports and nowhere else.',
  },
  encryption: {
    source: 'RFC 7858, 8310, 8484',
    says: 'Encrypted upstreams never fall back to clear text; DoH answers as HTTP caches need it.',
  },
  priming: {
    source: 'RFC 9609, RFC 8806',
    says: 'A question for the root is forwarded like any other; nothing is primed.',
  },
  words: {
    source: 'RFC 9499',
    says: 'Documents and metrics use the words of the DNS terminology.',
    doesNotApply: 'a matter of wording, which readers judge and no test can show',
  },
} as const satisfies Readonly<Record<string, Row>>
