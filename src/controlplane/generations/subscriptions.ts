/**
 * What an installation subscribes to: a file of the state directory that commands change. The
 * configuration file stays the operator's own.
 */

import { join } from 'node:path'
import * as z from 'zod'

import { OperationalError } from '../../base/errors.ts'
import type { Catalogue, CatalogueSource } from '../blocklist/catalogue.ts'
import { parseSigningKey } from '../blocklist/download/verify-signature.ts'
import { LIST_NAME } from '../config/schema-lists.ts'
import { SHIPPED_CATEGORIES } from '../config/schema.ts'
import { categoryName } from '../config/schema-values.ts'
import { WHOLE } from './overruled-gates.ts'
import { readStateFile, writeStateFile } from './state-file.ts'

/** Names that the curated lists of the product have, and the word for all lists together. */
const TAKEN: ReadonlySet<string> = new Set([...SHIPPED_CATEGORIES, 'essential', 'popular', WHOLE])
const suffixes = z.enum(['refuse', 'keep']).optional()

/** One list that is kept fresh. */
const Subscription = z.strictObject({
  name: z
    .string()
    .max(63)
    .regex(LIST_NAME)
    .refine((name) => !TAKEN.has(name), 'is the name of a list that ships with niveau3'),
  category: categoryName,
  url: z.string().refine(isListUrl, 'is no https, http or file URL'),
  format: z.enum(['auto', 'ut1']).default('auto'),
  sections: z
    .array(z.string().regex(/^[\w-]+$/))
    .min(1)
    .optional(),
  licence: z.string().default(''),
  attribution: z.string().default(''),
  intervalHours: z
    .int()
    .min(1)
    .max(24 * 30)
    .default(24),
  namesMin: z.int().min(1).default(1),
  /** Of a first version; later ones are held to their growth. */
  namesMax: z.int().min(1).optional(),
  mustBlock: z.array(z.string()).default([]),
  enabled: z.boolean().default(true),
  /** The version that is there stays: updates pass the list over. */
  pinned: z.boolean().default(false),
  /** Whether its server may have a private address. */
  allowPrivate: z.boolean().default(false),
  /** What the file must be, lower-case hexadecimal. */
  sha256: z
    .string()
    .regex(/^[0-9a-f]{64}$/)
    .optional(),
  /** Public key that the file is signed with; the signature is at `signatureUrl`. */
  signingKey: z
    .string()
    .refine((text) => parseSigningKey(text) !== undefined, 'is no minisign or Ed25519 key')
    .optional(),
  signatureUrl: z.string().refine(isListUrl, 'is no https, http or file URL').optional(),
  publicSuffixes: z.strictObject({ icann: suffixes, private: suffixes }).optional(),
})

export type Subscription = z.output<typeof Subscription>

const SubscriptionsFile = z.strictObject({
  schema: z.literal('niveau3.subscriptions/1'),
  subscriptions: z.array(Subscription).max(1000),
})

function isListUrl(text: string): boolean {
  if (!URL.canParse(text)) return false
  const { protocol } = new URL(text)
  return protocol === 'https:' || protocol === 'http:' || protocol === 'file:'
}

function fileOf(stateDirectory: string): string {
  return join(stateDirectory, 'subscriptions.json')
}

/** Reads the subscriptions; undefined before the first command has made some. */
export async function loadSubscriptions(
  stateDirectory: string,
): Promise<readonly Subscription[] | undefined> {
  const file = await readStateFile(fileOf(stateDirectory), SubscriptionsFile)
  return file?.subscriptions
}

/** Replaces the subscriptions. */
export async function saveSubscriptions(
  stateDirectory: string,
  subscriptions: readonly Subscription[],
): Promise<void> {
  const file = { schema: 'niveau3.subscriptions/1', subscriptions }
  await writeStateFile(fileOf(stateDirectory), file)
}

/** What a new installation subscribes to. */
export function defaultSubscriptions({ sources }: Catalogue): readonly Subscription[] {
  return sources.filter((source) => source.default).map(subscriptionOf)
}

/** The subscription to a source of the catalogue. */
export function subscriptionOf(source: CatalogueSource): Subscription {
  const { id, names, intervalHours, category, url, format, licence, attribution } = source
  const { mustBlock, sections } = source
  return {
    ...newSubscription({ name: id, category, url, format, licence, attribution }),
    intervalHours,
    namesMin: names.min,
    namesMax: names.max,
    mustBlock,
    ...(sections && { sections }),
  }
}

/**
 * Makes a subscription of what an operator has given.
 *
 * @throws OperationalError ERR_USAGE naming every fault.
 */
export function newSubscription(given: z.input<typeof Subscription>): Subscription {
  const parsed = Subscription.safeParse(given)
  if (parsed.success) return parsed.data
  const faults = parsed.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`)
  throw new OperationalError('ERR_USAGE', `not a list to subscribe to: ${faults.join('; ')}`)
}

/**
 * Changes one subscription.
 *
 * @throws OperationalError ERR_NO_STATE when there is none of that name.
 */
export function withSubscription(
  subscriptions: readonly Subscription[],
  name: string,
  change: Partial<Subscription>,
): readonly Subscription[] {
  requireSubscription(subscriptions, name)
  return subscriptions.map((known) => (known.name === name ? { ...known, ...change } : known))
}

/** Finds a subscription by its name, or throws ERR_NO_STATE with those that there are. */
export function requireSubscription(
  subscriptions: readonly Subscription[],
  name: string,
): Subscription {
  const found = subscriptions.find((known) => known.name === name)
  if (found !== undefined) return found
  const names = subscriptions.map((known) => known.name).join(', ')
  const message = `no list "${name}" is subscribed to; there are: ${names || 'none'}`
  throw new OperationalError('ERR_NO_STATE', message)
}
