/** The group `redis` of niveau3.yaml: the shared cache. */
import * as z from 'zod'
import { SECOND_MS } from '../../base/units.ts'
import { isFault } from './addresses.ts'
import { parseRedisUrl } from './redis-url.ts'

const PREFIX_CHARS_MAX = 64
const HOT_NAMES_MAX = 10_000

export const RedisConfig = z
  .strictObject({
    url: z
      .string()
      .superRefine((text, context) => {
        const parsed = parseRedisUrl(text)
        if (!isFault(parsed)) return
        const { fault, suggestion } = parsed
        context.addIssue({ code: 'custom', message: fault, params: { suggestion } })
      })
      .optional()
      .meta({
        description:
          'Where the shared cache is: `redis://[USER:PASSWORD@]HOST[:6379][/DATABASE]`, ' +
          '`redis+sentinel://HOST[:26379],…/NAME` or `redis+cluster://HOST[:6379],…`; `rediss` ' +
          'instead of `redis` for TLS. Valkey speaks the same. Left out: no shared cache.',
      }),
    passwordFile: z.string().min(1).optional().meta({
      description: 'File with the password, instead of one in `url`.',
    }),
    sentinelPasswordFile: z.string().min(1).optional().meta({
      description: 'File with the password of the Sentinels themselves.',
    }),
    caFile: z
      .string()
      .min(1)
      .optional()
      .meta({
        description:
          'With `rediss`: PEM file of the authority that signed the servers’ certificates. Default: the ' +
          'authorities that Node.js knows.',
      }),
    secretFile: z
      .string()
      .min(1)
      .optional()
      .meta({
        description:
          'File with at least 32 octets, the same on all boxes that share a Redis and secret to all ' +
          'others: names of values are made with it, and values are sealed under it. Default: ' +
          '`redis-secret` in `stateDirectory`, made at the first start.',
      }),
    prefix: z
      .string()
      .min(1)
      .max(PREFIX_CHARS_MAX)
      .regex(/^[\w.:-]+$/)
      .default('niveau3:')
      .meta({
        description:
          'Every key and channel begins with it. Letters, digits, `.`, `_`, `:`, `-`; the ACL rule ' +
          'of the user names the same.',
      }),
    hedgeMs: z
      .int()
      .min(0)
      .max(10 * SECOND_MS)
      .default(2)
      .meta({
        description:
          'Redis is read first; after this long the upstream is asked too, and the first answer ' +
          'wins. From `timeoutMs` on: only after Redis had none.',
      }),
    timeoutMs: z
      .int()
      .min(1)
      .max(10 * SECOND_MS)
      .default(20)
      .meta({
        description:
          'A read without a reply by then is a miss, and Redis is left alone until it is heard again.',
      }),
    hotNames: z.int().min(0).max(HOT_NAMES_MAX).default(1000).meta({
      description: 'Answers brought back into memory at the start, the most used first. 0: none.',
    }),
  })
  .prefault({})
  .meta({ description: 'The cache that workers, restarts and boxes share through Redis.' })
