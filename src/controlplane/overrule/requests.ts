/** What can be asked of rules and pauses, by commands and through the admin socket. */

import * as z from 'zod'

import { reasonText } from './entry.ts'

/** Names in one request: a file of rules is imported, not typed. */
export const NAMES_MAX = 1000

const site = z.string().nullable().default(null)
const category = z.string().nullable().default(null)

export const AddRules = z.strictObject({
  action: z.enum(['allow', 'deny']),
  names: z.array(z.string()).min(1).max(NAMES_MAX),
  exact: z.boolean().default(false),
  site,
  /** Of denials. */
  category,
  /** Milliseconds of wall clock; null: for good. */
  untilMs: z.int().nullable().default(null),
  reason: reasonText,
  /** Registries and essential names too. */
  force: z.boolean().default(false),
})

export const RemoveRules = z.strictObject({
  /** Ids, or names: all rules for that very name. */
  targets: z.array(z.string()).min(1).max(NAMES_MAX),
  reason: reasonText.optional(),
})

export const PauseBlocking = z.strictObject({
  seconds: z.int().min(1),
  category,
  site,
  reason: reasonText,
})

export const ResumeBlocking = z.strictObject({
  /** Undefined: whatever they are for. */
  category: z.string().optional(),
  site: z.string().optional(),
  reason: reasonText.optional(),
})

/** Rules as `rules export` prints them. */
export const PortableRule = z.strictObject({
  action: z.enum(['allow', 'deny']),
  name: z.string(),
  exact: z.boolean().default(false),
  site,
  category,
  /** ISO 8601; null: for good. */
  until: z.iso.datetime({ offset: true }).nullable().default(null),
  reason: reasonText,
})

export const ImportRules = z.strictObject({
  rules: z.array(PortableRule).min(1).max(10_000),
  force: z.boolean().default(false),
})

export type AddRules = z.output<typeof AddRules>
export type RemoveRules = z.output<typeof RemoveRules>
export type PauseBlocking = z.output<typeof PauseBlocking>
export type ResumeBlocking = z.output<typeof ResumeBlocking>
export type PortableRule = z.output<typeof PortableRule>
export type ImportRules = z.output<typeof ImportRules>

/** A rule or a pause as people and other programs are shown it. */
export const ShownEntry = z.object({
  id: z.string(),
  /** `allow`, `deny` or `pause`. */
  what: z.enum(['allow', 'deny', 'pause']),
  /** Null of a pause. */
  name: z.string().nullable(),
  exact: z.boolean(),
  site: z.string().nullable(),
  category: z.string().nullable(),
  /** ISO 8601. */
  since: z.string(),
  until: z.string().nullable(),
  user: z.string(),
  reason: z.string(),
})

export const OverruleChange = z.object({
  revision: z.number(),
  /** In force from now on. */
  added: z.array(ShownEntry),
  /** No longer in force, those that `added` replaces too. */
  removed: z.array(ShownEntry),
  notes: z.array(z.string()),
})

export const OverruleList = z.object({
  revision: z.number(),
  rules: z.array(ShownEntry),
  pauses: z.array(ShownEntry),
})

export type ShownEntry = z.output<typeof ShownEntry>
export type OverruleChange = z.output<typeof OverruleChange>
export type OverruleList = z.output<typeof OverruleList>
