/**
 * The filter that a server starts with or reloads to: a compiled image (read from disk, or made
 * from the configured lists off the main thread) and the essential names, under one stamp.
 */
import { createHash } from 'node:crypto'
import { OperationalError } from '../base/errors.ts'
import type { AddressRanges } from '../dataplane/address-table.ts'
import { buildAddressTable } from '../dataplane/build-address-table.ts'
import type { PolicyMessage } from '../dataplane/messages.ts'
import { PRIVATE_ADDRESS } from '../dataplane/policy/answer-addresses.ts'
import type { PolicySettings } from '../dataplane/settings.ts'
import { openTrie, type Trie } from '../trie/open.ts'
import { readAddressRules, type AddressRules } from './blocklist/address-rules.ts'
import { NEVER_PUBLIC_PREFIXES } from './config/addresses.ts'
import { EssentialNames } from './blocklist/essential.ts'
import type { ListReport } from './blocklist/list-source.ts'
import { compileInThread } from './compiler/compile-thread.ts'
import { readImage } from './compiler/image-file.ts'
import type { ControlSettings } from './config/settings.ts'

/** A filter in force. */
export interface LoadedFilter {
  readonly trie: Trie
  readonly image: SharedArrayBuffer
  readonly essential: EssentialNames
  /** What reading the lists has shown; empty when an image was given. */
  readonly reports: readonly ListReport[]
  /** What the addresses of answers are looked up in; null without rules. */
  readonly addresses: AddressRanges | null
  /** Names whose answers may lead into private networks. */
  readonly privateZones: Uint8Array
  readonly loadedAtSeconds: number
}

/**
 * Loads what the configuration names.
 *
 * @throws OperationalError ERR_LIST…, ERR_IMAGE…; ERR_NO_LIST when no name would be blocked:
 *   without a list there is no service.
 */
export async function loadFilter(control: ControlSettings): Promise<LoadedFilter> {
  const essential = await EssentialNames.load(control.essentialFiles)
  const loaded =
    control.image === undefined
      ? await compileInThread(control.lists, { essentialFiles: control.essentialFiles })
      : { image: await readImage(control.image), reports: [] }
  const trie = openImage(loaded.image, control.image)
  if (trie.names === 0) {
    throw new OperationalError(
      'ERR_NO_LIST',
      'the lists hold no name that can be blocked; a filter without names is refused: give lists ' +
        'with --blocklist CATEGORY=FILE, an image with --image, or the key "lists"',
    )
  }
  const loadedAtSeconds = Math.floor(Date.now() / 1000)
  const rules = await readAddressRules(control.addressSources)
  const isGuarded = control.privateZones !== undefined
  return {
    trie,
    image: loaded.image,
    essential,
    reports: loaded.reports,
    addresses: addressRangesOf(rules, trie.categories, isGuarded),
    privateZones: Buffer.concat(EssentialNames.of(control.privateZones ?? []).names),
    loadedAtSeconds,
  }
}

/**
 * Puts the address rules of all categories and the private networks into one table.
 *
 * @param categories by bit of the image.
 * @throws OperationalError ERR_CONFIG for rules of a category that the image does not have.
 */
export function addressRangesOf(
  rules: readonly AddressRules[],
  categories: readonly string[],
  isGuarded: boolean,
): AddressRanges | null {
  const privateNetworks = isGuarded ? NEVER_PUBLIC_PREFIXES : []
  const all = privateNetworks.map((prefix) => ({ prefix, value: PRIVATE_ADDRESS }))
  for (const { category, prefixes } of rules) {
    const bit = categories.indexOf(category)
    if (bit === -1) {
      const message =
        `categories.${category}: address rules need a list with names of the category; known are ` +
        categories.join(', ')
      throw new OperationalError('ERR_CONFIG', message)
    }
    for (const prefix of prefixes) all.push({ prefix, value: 1 << bit })
  }
  return all.length === 0 ? null : buildAddressTable(all, 0, (around, own) => around | own)
}

function openImage(image: SharedArrayBuffer, file: string | undefined): Trie {
  try {
    return openTrie(image)
  } catch (cause) {
    if (file === undefined || !(cause instanceof OperationalError)) throw cause
    throw new OperationalError(cause.code, `${file}: ${cause.message}`, { file, cause })
  }
}

/**
 * Returns what the workers decide by. The stamp changes with anything that can change a verdict.
 */
export function policyOf(
  filter: LoadedFilter,
  { categories, sites }: PolicySettings,
): PolicyMessage {
  const essentialNames = Buffer.concat(filter.essential.names)
  const sitePolicies = sites.map((site) => [site.name, site.categories])
  const hash = createHash('sha256')
  hash.update(filter.trie.digest).update('\n')
  hash.update(createHash('sha256').update(essentialNames).digest('hex')).update('\n')
  hash.update(
    JSON.stringify([categories, sitePolicies], (_key, value: unknown) =>
      value instanceof Uint8Array ? Buffer.from(value).toString('hex') : value,
    ),
  )
  hash.update(filter.privateZones)
  for (const words of Object.values(filter.addresses ?? {})) {
    hash.update('\n').update(Buffer.from(words.buffer))
  }
  return {
    image: filter.image,
    addresses: filter.addresses,
    privateZones: filter.privateZones,
    essentialNames: new Uint8Array(essentialNames),
    stamp: hash.digest('hex'),
  }
}
