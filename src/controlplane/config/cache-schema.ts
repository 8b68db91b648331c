/** The keys of `cache`: how long answers are kept, and what happens near and past their end. */

import * as z from 'zod'
import { DAY_S, HOUR_S, KiB, MINUTE_S, MiB, SECOND_MS } from '../../base/units.ts'
import { octets, whole } from './schema-values.ts'

export const CacheConfig = z.strictObject({
  octetsMax: octets(MiB, 16 * KiB * MiB, '64MiB').meta({
    description: 'Octets of answers and keys kept by each worker.',
  }),
  ttlSecondsMin: whole(0, HOUR_S, 0).meta({
    description: 'Answers are kept at least this long. 0 obeys the zone (RFC 2181 8).',
  }),
  ttlSecondsMax: whole(1, 7 * DAY_S, DAY_S).meta({
    description: 'Answers are kept at most this long, whatever their TTL says.',
  }),
  negativeTtlSecondsMax: whole(1, DAY_S, 3 * HOUR_S).meta({
    description: 'NXDOMAIN and NODATA are kept at most this long (RFC 2308 5 advises 3 hours).',
  }),
  staleSecondsMax: whole(0, 7 * DAY_S, DAY_S).meta({
    description:
      'How long an answer is kept past its TTL, to be given when no upstream answers (RFC 8767). It is ' +
      'judged by the lists of that moment. 0 gives no stale answers.',
  }),
  staleTtlSeconds: whole(1, HOUR_S, 30).meta({
    description: 'TTL of a stale answer (RFC 8767 4 recommends 30 s).',
  }),
  staleWaitMs: whole(0, 10 * SECOND_MS, 1800).meta({
    description:
      'How long a client waits for a fresh answer before it gets the stale one; just under the 2 s ' +
      'after which many stub resolvers ask again. 0 gives it at once and refreshes behind it.',
  }),
  staleRefreshSeconds: whole(1, HOUR_S, 30).meta({
    description:
      'After a question failed whose answer is stale, that answer is given at once for this long ' +
      'before the upstreams are asked again.',
  }),
  prefetch: z
    .boolean()
    .default(true)
    .meta({
      description:
        'Whether an answer that is asked for in the last tenth of its life is fetched anew meanwhile, ' +
        'so that popular names never make a client wait.',
    }),
  failureSecondsMax: whole(1, 5 * MINUTE_S, 30).meta({
    description:
      'A question that failed is answered SERVFAIL from memory for 1 s, doubling with each failure ' +
      'to this (RFC 9520 3.2 allows 5 minutes).',
  }),
})
