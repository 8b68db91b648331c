/** The keys that speak of clients: sites with a policy of their own, and how fast one may ask. */

import * as z from 'zod'
import { SITES_MAX } from '../../dataplane/counters.ts'
import { LOOPBACK_PREFIXES, parseSiteSource } from './addresses.ts'
import {
  NAME_CHARS_MAX,
  PREFIXES_MAX,
  categoryName,
  ipText,
  parsedText,
  prefixes,
  report,
  whole,
} from './schema-values.ts'

const SITE_NAME = /^[a-z0-9][a-z0-9-]*$/
/** The label of clients in no site. */
const RESERVED_SITE = 'default'
const RATE_MAX = 1_000_000
const BURST_MAX = 10_000_000

const siteName = z
  .string()
  .max(NAME_CHARS_MAX)
  .superRefine((name, context) => {
    if (!SITE_NAME.test(name)) {
      report(context, { fault: `site "${name}" is not lower-case letters, digits and hyphens` })
    } else if (name === RESERVED_SITE) {
      report(context, { fault: `site "${name}" is a reserved word: all who are in no site` })
    }
  })
  .meta({ pattern: SITE_NAME.source })

function rate() {
  return z.int().min(0).max(RATE_MAX)
}

function burst() {
  return z.int().min(1).max(BURST_MAX)
}

export const RateConfig = z.strictObject({
  clientQueriesPerSecond: rate()
    .default(1000)
    .meta({
      description:
        'Queries that one client may ask in the long run; 0: any number. A client is an address, ' +
        'and a house of some hundred people behind NAT is one address: 300 people with a page every ' +
        'few seconds ask 100 to 300 questions a second. Unbound (`ip-ratelimit`), BIND ' +
        '(`responses-per-second`) and dnsdist (`MaxQPSIPRule`) have no limit by default and advise ' +
        'rates for single devices.',
    }),
  clientBurst: burst()
    .default(10_000)
    .meta({
      description:
        'Queries that a client may ask at once after a pause: a house whose power comes back asks ' +
        'for everything within seconds. dnsdist allows as many as its rate.',
    }),
  prefixQueriesPerSecond: rate().default(4000).meta({
    description: 'The same for all clients of one prefix together; 0: any number.',
  }),
  prefixBurst: burst().default(40_000).meta({ description: 'The same burst for one prefix.' }),
  ipv4ClientBits: whole(8, 32, 32).meta({
    description: 'Leading bits that make one IPv4 client (dnsdist: 32).',
  }),
  ipv6ClientBits: whole(16, 64, 64).meta({
    description:
      'Leading bits that make one IPv6 client: a subscriber has a /64 at least (dnsdist: 64).',
  }),
  ipv4PrefixBits: whole(8, 32, 24).meta({
    description: 'Leading bits that make one IPv4 prefix (BIND `ipv4-prefix-length`: 24).',
  }),
  ipv6PrefixBits: whole(16, 64, 56).meta({
    description: 'Leading bits that make one IPv6 prefix (BIND `ipv6-prefix-length`: 56).',
  }),
  slip: whole(0, 100, 1).meta({
    description:
      'Over the rate, every so many UDP queries get an empty answer with TC, which sends an honest ' +
      'client to TCP and is no larger than the question; the others get silence, with 0 all. BIND ' +
      '(`slip`) answers every second, Unbound (`ip-ratelimit-factor`) every tenth; 1 leaves no client ' +
      'without an answer, and spoofed addresses can only be those of `allowFrom` and `sites`. Over ' +
      'TCP, which has a rate of its own of the same size, the answer is REFUSED.',
  }),
  clientsMax: whole(256, 1_048_576, 16_384).meta({
    description:
      'Clients, and prefixes, whose rate is known at once: 24 octets each in fixed memory. When it is ' +
      'full, whoever asks least is forgotten (BIND `max-table-size`: 20,000). A change takes effect at ' +
      'the next start.',
  }),
  exemptFrom: prefixes()
    .default([...LOOPBACK_PREFIXES])
    .meta({
      description:
        'Clients without a rate (BIND `exempt-clients`). Programs of this machine may speak for many.',
    }),
})

/** What a site may say of a category: each key that is left out is that of `categories`. */
const SiteCategoryConfig = z.strictObject({
  blocked: z.boolean().optional(),
  response: z.enum(['nxdomain', 'nodata', 'null', 'refused', 'address']).optional(),
  ipv4: ipText(4).optional(),
  ipv6: ipText(6).optional(),
})

const SiteRateConfig = z.strictObject({
  clientQueriesPerSecond: rate().optional(),
  clientBurst: burst().optional(),
  prefixQueriesPerSecond: rate().optional(),
  prefixBurst: burst().optional(),
})

const SiteConfig = z.strictObject({
  name: siteName.meta({ description: 'Name in metrics and in `check`.' }),
  from: z
    .array(parsedText(parseSiteSource))
    .min(1)
    .max(PREFIXES_MAX)
    .meta({
      description:
        'Where its clients come from: CIDR prefixes, of which the longest decides, or DNS names ' +
        '(dynamic DNS), whose addresses are looked up through the upstreams and kept when a look-up ' +
        'fails. Of an IPv6 address its /64 counts. All of them may ask, whatever `allowFrom` says.',
    }),
  categories: z.record(categoryName, SiteCategoryConfig).prefault({}).meta({
    description:
      'What differs from the `categories` above, by category: `blocked`, `response`, `ipv4`, `ipv6`.',
  }),
  rate: SiteRateConfig.prefault({}).meta({
    description:
      'What differs from `rate` above: `clientQueriesPerSecond`, `clientBurst`, ' +
      '`prefixQueriesPerSecond`, `prefixBurst`.',
  }),
})

export const SitesConfig = z
  .array(SiteConfig)
  .max(SITES_MAX)
  .default([])
  .meta({
    description:
      'Clients who have a policy of their own. Whoever is in no site gets the policy above, under ' +
      'the name `default` in metrics.',
  })
