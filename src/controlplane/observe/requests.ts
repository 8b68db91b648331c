/** What can be asked of queries as they come, and how it is told. */
import * as z from 'zod'
import { NAME_CHARS_MAX } from '../config/schema-values.ts'
import { reasonText } from '../overrule/entry.ts'

const word = z.string().max(NAME_CHARS_MAX).nullable().default(null)

/** The body of `POST /v1/observe/blocked` and `/v1/observe/slow`. */
export const ObserveWish = z.strictObject({
  /** Null: ten minutes, or less where less is allowed. */
  seconds: z.int().min(1).nullable().default(null),
  site: word,
  category: word,
  reason: reasonText,
})

/** One question that was observed. */
export const ObservedQuestion = z.object({
  event: z.literal('question'),
  /** ISO 8601 in UTC. */
  time: z.string(),
  site: z.string(),
  /** Null of a slow one. */
  category: z.string().nullable(),
  /** Of a slow one the registrable domain. */
  name: z.string(),
  /** Number of the question's type. */
  type: z.number(),
  outcome: z.string(),
  rcode: z.string(),
  transport: z.string(),
  /** The network of the client, /24 or /48; null of a slow one. */
  client: z.string().nullable(),
  tookMs: z.number(),
})

/** What comes while it lasts, an event each. */
export const ObserveEvent = z.discriminatedUnion('event', [
  z.object({
    event: z.literal('started'),
    until: z.string(),
    seconds: z.number(),
    /** How many look at the same, this one among them. */
    observers: z.number(),
  }),
  ObservedQuestion,
  /** So many were not told, because they came faster than they could be. */
  z.object({ event: z.literal('missed'), count: z.number() }),
])

/** What is said when the time is over. */
export const ObserveEnd = z.object({ shown: z.number(), missed: z.number() })

/** Who looks at this moment, for `status`. */
export const ObserverFacts = z.object({
  what: z.enum(['blocked', 'slow']),
  user: z.string(),
  until: z.string(),
  site: z.string().nullable(),
  category: z.string().nullable(),
})

export type ObserveWish = z.output<typeof ObserveWish>
export type ObservedQuestion = z.output<typeof ObservedQuestion>
export type ObserveEvent = z.output<typeof ObserveEvent>
export type ObserveEnd = z.output<typeof ObserveEnd>
export type ObserverFacts = z.output<typeof ObserverFacts>
