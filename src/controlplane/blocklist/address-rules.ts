/**
 * Address rules: networks of a category, in whose addresses an answer may not end. From the
 * configuration, and from files of one address or CIDR prefix a line.
 */

import { readFile } from 'node:fs/promises'
import { gunzipSync } from 'node:zlib'
import { OperationalError } from '../../base/errors.ts'
import { MiB } from '../../base/units.ts'
import { parsePrefix } from '../config/addresses.ts'
import { systemCode } from '../config/plain.ts'

/** Octets of one file, unpacked. */
const FILE_OCTETS_MAX = 64 * MiB

/** Where the address rules of one category stand. */
export interface AddressSource {
  readonly category: string
  /** CIDR prefixes in canonical text. */
  readonly prefixes: readonly string[]
  /** Absolute paths. */
  readonly files: readonly string[]
}

/** The address rules of one category. */
export interface AddressRules {
  readonly category: string
  readonly prefixes: readonly string[]
}

/**
 * Says which address rules an image has no category for; undefined where it has all. An answer is
 * judged by the bit of a category: rules without one would block nothing, silently.
 */
export function addressFault(
  rules: readonly Pick<AddressSource, 'category'>[],
  categories: readonly string[],
): string | undefined {
  const missing = rules.find(({ category }) => !categories.includes(category))
  return (
    missing &&
    `categories.${missing.category}: address rules need a list with names of the category; known ` +
      `are ${categories.join(', ')}`
  )
}

/**
 * Reads the files of all sources.
 *
 * @throws OperationalError ERR_LIST for a file that cannot be read, or a line that is neither
 *   comment nor address: a list of addresses that is something else would block nothing, silently.
 */
export function readAddressRules(
  sources: readonly AddressSource[],
): Promise<readonly AddressRules[]> {
  return Promise.all(
    sources.map(async ({ category, prefixes, files }) => {
      const read = await Promise.all(files.map(readAddressFile))
      return { category, prefixes: [...new Set([...prefixes, ...read.flat()])] }
    }),
  )
}

async function readAddressFile(file: string): Promise<readonly string[]> {
  const text = await readText(file)
  const prefixes: string[] = []
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    const entry = line.replace(/[#;].*$/, '').trim()
    if (entry === '') continue
    const prefix = parsePrefix(entry)
    if (typeof prefix !== 'string') {
      const message = `${file}:${index + 1}: ${prefix.fault}; one address or CIDR prefix a line`
      throw new OperationalError('ERR_LIST', message, { file, line: index + 1 })
    }
    prefixes.push(prefix)
  }
  return prefixes
}

async function readText(file: string): Promise<string> {
  try {
    const stored = await readFile(file)
    const isGzip = stored[0] === 0x1f && stored[1] === 0x8b
    const octets = isGzip ? gunzipSync(stored, { maxOutputLength: FILE_OCTETS_MAX }) : stored
    return octets.toString('utf8')
  } catch (cause) {
    const message = `${file}: cannot be read (${systemCode(cause)}); it is a file of addresses`
    throw new OperationalError('ERR_LIST', message, { file, cause })
  }
}
