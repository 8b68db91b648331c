/**
 * niveau3.yaml: every key with its unit, limits, default and reason. The JSON Schema file, the
 * reference page, the environment variables and `config show` are all derived from this one place.
 *
 * A value stays what the operator wrote, but for amounts of octets, which become numbers;
 * `settings.ts` makes addresses of texts that are known to parse by then.
 */

import * as z from 'zod'
import { DAY_S, GiB, KiB, MINUTE_S, MiB, SECOND_MS } from '../../base/units.ts'
import { UPSTREAMS_MAX } from '../../dataplane/counters.ts'
import { PRIVATE_PREFIXES, parseClientSubnet, parseHostName, parseListen } from './addresses.ts'
import { parsePrefix, parseUpstream } from './addresses.ts'
import { AdminConfig } from './admin-schema.ts'
import { CacheConfig } from './cache-schema.ts'
import { FleetConfig } from './fleet-schema.ts'
import { MetricsConfig } from './metrics-schema.ts'
import { OverruleConfig } from './overrule-schema.ts'
import { ProbeConfig } from './probe-schema.ts'
import { RedisConfig } from './redis-schema.ts'
import { RateConfig, SitesConfig } from './schema-clients.ts'
import { ListConfig, SafetyConfig, UpdatesConfig } from './schema-lists.ts'
import {
  PREFIXES_MAX,
  categoryName,
  ipText,
  octets,
  parsedText,
  prefixes,
  whole,
} from './schema-values.ts'
import { TlsConfig } from './tls-schema.ts'

/** Categories are bits of one 32-bit number in the compiled image; one bit stays free. */
export const CATEGORIES_MAX = 31
/** The categories whose curated lists ship with the product, in the order of the image. */
export const SHIPPED_CATEGORIES = ['darkweb', 'adult', 'vpn'] as const
/** Worker threads: more than any machine this runs on has cores to give. */
export const WORKERS_MAX = 64
/** Listen addresses: each costs sockets in every worker. */
const LISTEN_MAX = 64
const LISTS_MAX = 1000
export const CategoryConfig = z.strictObject({
  blocked: z.boolean().default(true).meta({
    description: 'False: rules of the category are loaded and counted, but block nothing.',
  }),
  response: z
    .enum(['nxdomain', 'nodata', 'null', 'refused', 'address'])
    .default('nxdomain')
    .meta({
      description:
        'How a blocked name is answered: `nxdomain` (with a SOA record), `nodata`, `null` (0.0.0.0 ' +
        'and ::), `refused`, or `address` (a block page at `ipv4` and `ipv6`).',
    }),
  ipv4: ipText(4).optional().meta({
    description: 'For `response: address`: what A questions get; without it they get NODATA.',
  }),
  ipv6: ipText(6).optional().meta({
    description: 'For `response: address`: what AAAA questions get; without it they get NODATA.',
  }),
  addresses: prefixes()
    .default([])
    .meta({
      description:
        'Addresses and CIDR prefixes: an answer that holds one of them, in A, AAAA or the hints of ' +
        'HTTPS and SVCB, is blocked like a name of the category. Mind hosts of many sites.',
    }),
  addressFiles: z
    .array(z.string().min(1))
    .max(LISTS_MAX)
    .default([])
    .meta({
      description:
        'Files of such addresses, one a line, relative to this file; `#` starts a comment, gzip is ' +
        'read directly.',
    }),
})

const PrivateAnswersConfig = z.strictObject({
  blocked: z
    .boolean()
    .default(true)
    .meta({
      description:
        'True: an answer, or a hint in HTTPS and SVCB, with an address of a private network, of this ' +
        'host or of the link is withheld (NODATA, EDE 15): a web page could otherwise reach devices ' +
        'of the house by a name of its own. IPv6 addresses that carry an IPv4 address count by that ' +
        'one. As Unbound (`private-address`) and dnsmasq (`stop-dns-rebind`), which leave it off.',
    }),
  exceptZones: z
    .array(parsedText(parseHostName))
    .max(LISTS_MAX)
    .default(['dns.msftncsi.com', 'plex.direct'])
    .meta({
      description:
        'Names that may lead there, with all below them: zones of your own networks, block lists of ' +
        'mail servers. By default the network test of Windows and the home servers of Plex.',
    }),
})

const EssentialConfig = z.strictObject({
  files: z
    .array(z.string().min(1))
    .max(LISTS_MAX)
    .default([])
    .meta({
      description:
        'More files of names that no subscribed list may block, one a line, in addition to the ' +
        'essential names that ship and always hold.',
    }),
})

const BlockConfig = z.strictObject({
  ttlSeconds: whole(0, DAY_S, MINUTE_S).meta({
    description:
      'TTL of block answers and MINIMUM of their SOA: how long a client may keep a block after ' +
      'the name is opened.',
  }),
})

const EdnsConfig = z.strictObject({
  udpOctetsMax: whole(512, 4096, 1232).meta({
    description:
      'Largest answer sent over UDP, and the size advertised. 1232 crosses every common path in ' +
      'one piece (DNS Flag Day 2020).',
  }),
  clientSubnet: parsedText(parseClientSubnet)
    .default('off')
    .meta({
      description:
        'A prefix sent to upstreams as client subnet (RFC 7871), the same for every client, such as ' +
        'that of the line; at most 24 bits of IPv4 or 56 of IPv6. `0.0.0.0/0` asks upstreams to tell ' +
        'nobody about us. What clients send themselves is always dropped.',
    }),
  cookies: z
    .boolean()
    .default(false)
    .meta({
      description:
        'Answers the cookies of clients with server cookies (RFC 7873, RFC 9018). A client that ' +
        'sends one back has shown that it reads what is sent to its address.',
    }),
  cookieSecretFile: z
    .string()
    .min(1)
    .optional()
    .meta({
      description:
        'File of 1 to 4 lines of 32 hexadecimal digits: secrets that servers on one address share; ' +
        'the first makes cookies, all are believed. Without it secrets change every day by ' +
        'themselves, from a seed in `stateDirectory`.',
    }),
})

const ForwardConfig = z.strictObject({
  tryTimeoutMs: whole(50, 30 * SECOND_MS, 1500).meta({
    description: 'How long one try waits for one upstream before the next one is asked.',
  }),
  totalTimeoutMs: whole(100, 60 * SECOND_MS, 4500).meta({
    description:
      'The whole budget of a question over all tries; below the 5 s after which stub resolvers ' +
      'ask again.',
  }),
  triesMax: whole(1, 10, 3).meta({ description: 'Tries for one question, over all upstreams.' }),
  strategy: z
    .enum(['ordered', 'fastest', 'parallel'])
    .default('ordered')
    .meta({
      description:
        'Which upstream gets a question: `ordered`, the first that answers at all; `fastest`, the one ' +
        'that has been answering soonest, the others being asked a question now and then to measure ' +
        'them; `parallel`, several at once, which tells each of them what all of them are asked.',
    }),
  parallelMax: whole(2, 4, 2).meta({
    description: 'With `strategy: parallel`: how many upstreams are asked at once.',
  }),
  pendingPerUpstreamMax: whole(16, 65_536, 4096).meta({
    description:
      'Tries that one upstream may have under way, per worker; past it the next one is asked. Half of ' +
      '`limits.pendingMax`, so that a slow upstream leaves room for another.',
  }),
  caseRandomisation: z
    .array(parsedText(parseUpstream))
    .max(UPSTREAMS_MAX)
    .default([])
    .meta({
      description:
        'Upstreams, written as in `upstreams`, whose questions over UDP get random letter case (0x20), ' +
        'which forged replies have to guess. It is switched off for an hour where letters do not come ' +
        'back as they were sent.',
    }),
  trustAdFrom: z
    .array(parsedText(parseUpstream))
    .max(UPSTREAMS_MAX)
    .default([])
    .meta({
      description:
        'Upstreams, written as in `upstreams`, whose AD bit (validated by DNSSEC) is passed on, ' +
        'because the path to them is trusted. Loopback and encrypted ones always are.',
    }),
})

const LimitsConfig = z.strictObject({
  tcpConnectionsMax: whole(1, 65_536, 512).meta({
    description:
      'TCP connections open at once, per worker; past it the longest idle one is closed, and when ' +
      'none is idle, one of the client with the most. Three times that of BIND (`tcp-clients`: 150), ' +
      'because a house may keep one connection for each of its devices.',
  }),
  tcpConnectionsPerClientMax: whole(1, 65_536, 128).meta({
    description:
      'TCP connections of one client, per listen address and worker. A client is what ' +
      '`rate.ipv4ClientBits` and `rate.ipv6ClientBits` say: an IPv4 address, of IPv6 a /64. A whole ' +
      'centre behind NAT is one address, so this is a quarter of the table rather than the ten or so ' +
      'that suit one device (dnsdist `setMaxTCPConnectionsPerClient`: no limit by default).',
  }),
  tcpIdleMs: whole(100, 600 * SECOND_MS, 10 * SECOND_MS).meta({
    description:
      'A TCP connection with no query in flight is closed after this: seconds, as RFC 7766 6.2.3 asks. ' +
      'A third of Unbound (`tcp-idle-timeout`: 30 s) and BIND (`tcp-idle-timeout`: 30 s), which Unbound ' +
      'shortens when slots are few; here the idlest gives way then.',
  }),
  tcpMessageMs: whole(100, 60 * SECOND_MS, 5 * SECOND_MS).meta({
    description:
      'Time from the first octet of a TCP message to its last, and from connecting to the end of the ' +
      'first one. Between dnsdist (`setTCPRecvTimeout`: 2 s, too short for a lossy path) and BIND ' +
      '(`tcp-initial-timeout`: 30 s).',
  }),
  tcpInFlightMax: whole(1, 65_536, 128).meta({
    description:
      'Queries of one TCP connection that may wait for an upstream at once; past it nothing is read ' +
      'until one is answered, and over HTTPS more are refused (503). dnsdist (`maxInFlight`) takes one ' +
      'by default and advises some fifty for one device; here it may be a house.',
  }),
  tcpUnsentOctetsMax: octets(64 * KiB, 64 * MiB, '256KiB').meta({
    description:
      'Answers that a TCP client has not read yet; past it its queries are not read. Room for four of ' +
      'the largest messages.',
  }),
  tcpUnsentTotalOctetsMax: octets(256 * KiB, GiB, '16MiB').meta({
    description:
      'The same for all TCP clients of one listen address together, per worker; past it only clients ' +
      'that have read everything get their next answer. Four times what Unbound has for it ' +
      '(`stream-wait-size`: 4 MB), which every thread shares there.',
  }),
  pendingMax: whole(1, 65_536, 8192).meta({
    description:
      'Questions waiting for an upstream, per worker; past it the answer is SERVFAIL. Eight times what ' +
      'Unbound has for a thread (`num-queries-per-thread`: 1024) and BIND for a server ' +
      '(`recursive-clients`: 1000): a question takes little here, and a slow upstream makes many wait.',
  }),
  waitersPerQuestionMax: whole(1, 65_536, 1000).meta({
    description:
      'Clients that may wait for one and the same question in flight (BIND `clients-per-query`: 10, ' +
      'growing to 100, which a popular name passes in a large house).',
  }),
  pendingPerClientMax: whole(1, 65_536, 1000).meta({
    description:
      'Queries of one client that may wait for an upstream, per worker; past it the answer is ' +
      'SERVFAIL. It bounds what can be collected and set free at once against a forged address ' +
      '(DNSBomb); the default is the `wait-limit` of Unbound.',
  }),
  lateRepliesPerClientMax: whole(1, 65_535, 256).meta({
    description:
      'Answers over UDP that one client has waited for longer than 1.9 s and that may leave within ' +
      'a tenth of a second; the others are dropped and counted, for the client to ask again and find ' +
      'them in the cache. It keeps answers that were collected on purpose from leaving as one burst.',
  }),
})

const LogConfig = z.strictObject({
  level: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'silent']).default('info').meta({
    description: 'No client address and no queried name is logged at `info` or above it.',
  }),
})

/** The whole file. */
export const ConfigSchema = z.strictObject({
  listen: z
    .array(parsedText(parseListen))
    .min(1)
    .max(LISTEN_MAX)
    .default(['127.0.0.1:5300'])
    .meta({
      description:
        'Addresses to answer on: ADDR:PORT or [IPv6]:PORT (UDP and TCP), `tls://ADDR[:853]` (DNS ' +
        'over TLS) or `https://ADDR[:443]` (DNS over HTTPS, at /dns-query); the last two need ' +
        '`tls.certificateFile`. A wildcard or public address needs `allowFrom`. Port 0 takes a free ' +
        'one.',
    }),
  allowFrom: z
    .array(parsedText(parsePrefix))
    .min(1)
    .max(PREFIXES_MAX)
    .default([...PRIVATE_PREFIXES])
    .meta({
      description:
        'Networks whose clients are answered, as CIDR prefixes; all others get no answer. The ' +
        'default is this machine and private networks.',
    }),
  sites: SitesConfig,
  siteRefreshSeconds: whole(10, DAY_S, MINUTE_S).meta({
    description:
      'How often the names in `sites` are looked up again, through the upstreams. Dynamic DNS ' +
      'services use TTLs of about a minute.',
  }),
  upstreams: z
    .array(parsedText(parseUpstream))
    .min(1)
    .max(UPSTREAMS_MAX)
    .optional()
    .meta({
      description:
        'Resolvers that answer what is not blocked: `udp://ADDR[:53]` (a bare address means this; ' +
        'TCP is used on truncation), `tcp://ADDR[:53]`, `tls://NAME@ADDR[:853]` (DNS over TLS) or ' +
        '`https://NAME[:443]/dns-query#ADDR` (DNS over HTTPS). The certificate must be for NAME; ' +
        'ADDR is asked, no name is looked up, and nothing falls back to clear text. Default: the ' +
        'nameservers of /etc/resolv.conf, this server left out.',
    }),
  workers: z
    .int()
    .min(1)
    .max(WORKERS_MAX)
    .optional()
    .meta({
      description:
        'Worker threads that answer queries, each with its own sockets and cache. Left out: one per ' +
        'core.',
    }),
  lists: z
    .array(ListConfig)
    .min(1)
    .max(LISTS_MAX)
    .optional()
    .meta({
      description:
        'Blocklists to compile at the start. With `lists` or `image` the built-in lists are not ' +
        'loaded.',
    }),
  image: z.string().min(1).optional().meta({
    description: 'A compiled blocklist made by `niveau3 lists compile`, instead of `lists`.',
  }),
  updates: UpdatesConfig.prefault({}).meta({ description: 'Fetching the subscribed lists.' }),
  safety: SafetyConfig.prefault({}).meta({
    description:
      'What an update may change at most; past a limit the last good version of the list stays.',
  }),
  overrule: OverruleConfig.prefault({}).meta({
    description: 'What `niveau3 allow`, `deny` and `pause` may do.',
  }),
  essential: EssentialConfig.prefault({}).meta({ description: 'Names that are never blocked.' }),
  categories: z
    .record(categoryName, CategoryConfig)
    .prefault({})
    .meta({
      description:
        'How each category is treated. `darkweb`, `adult` and `vpn` always exist, and `denied` for ' +
        'what `niveau3 deny` blocks; others are those that a list or the image uses.',
    }),
  privateAnswers: PrivateAnswersConfig.prefault({}).meta({
    description: 'Public names that lead into private networks (DNS rebinding).',
  }),
  block: BlockConfig.prefault({}).meta({ description: 'Answers for blocked names.' }),
  edns: EdnsConfig.prefault({}).meta({ description: 'Message sizes over UDP (RFC 6891).' }),
  cache: CacheConfig.prefault({}).meta({ description: 'Answers kept in memory.' }),
  redis: RedisConfig,
  fleet: FleetConfig,
  forward: ForwardConfig.prefault({}).meta({ description: 'Asking the upstreams.' }),
  tls: TlsConfig.prefault({}).meta({ description: 'DNS over TLS and over HTTPS.' }),
  limits: LimitsConfig.prefault({}).meta({ description: 'What clients may take, per worker.' }),
  rate: RateConfig.prefault({}).meta({
    description: 'How fast clients may ask, per worker.',
  }),
  metrics: MetricsConfig.prefault({}).meta({ description: 'Measurements for Prometheus.' }),
  admin: AdminConfig.prefault({}).meta({ description: 'How commands reach the running server.' }),
  probe: ProbeConfig.prefault({}).meta({
    description: 'Whether the server filters, asked of itself.',
  }),
  log: LogConfig.prefault({}).meta({ description: 'Messages on standard error.' }),
  stateDirectory: z.string().min(1).optional().meta({
    description: 'Folder for what outlives a restart, and for the lock. Made when missing.',
  }),
  stopGraceSeconds: whole(0, 5, 5).meta({
    description: 'On SIGTERM: how long queries in flight may still be answered.',
  }),
})

/** What the operator wrote, checked, with every default filled in. */
export type ConfigValues = z.output<typeof ConfigSchema>
