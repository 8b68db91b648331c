/** The names that an update is held against: popular ones, and those that must be blocked. */

import { readFile } from 'node:fs/promises'
import { join } from 'node:path'

import { OperationalError } from '../../../base/errors.ts'
import { Matcher } from '../../../trie/lookup.ts'
import type { Trie } from '../../../trie/open.ts'
import { PACKAGE_DIRECTORY } from '../../package-files.ts'
import { normalizeToken, type NameSlot } from '../normalize.ts'

const POPULAR_FILE = join(PACKAGE_DIRECTORY, 'blocklists', 'popular.txt')

/** A name as people write it and as an image is asked. */
export interface ControlName {
  readonly text: string
  readonly wire: Uint8Array
}

/** Makes wire names of texts; a text that is no name throws ERR_LIST. */
export function controlNames(texts: readonly string[], file: string): readonly ControlName[] {
  const slot: NameSlot = { wire: new Uint8Array(256), octets: 0 }
  return texts.map((text) => {
    if (normalizeToken(text, slot) !== undefined) {
      throw new OperationalError('ERR_LIST', `${file}: "${text}" is not a name`, { file })
    }
    return { text, wire: slot.wire.slice(0, slot.octets) }
  })
}

/** Reads the popular names that ship. */
export async function loadPopularNames(file = POPULAR_FILE): Promise<readonly ControlName[]> {
  const lines = (await readFile(file, 'utf8')).split('\n')
  const texts = lines.map((line) => line.split('#', 1)[0]?.trim() ?? '').filter((text) => text)
  return controlNames(texts, file)
}

/** Those of `names` that an image blocks. */
export function blockedBy(trie: Trie, names: readonly ControlName[]): readonly ControlName[] {
  const matcher = new Matcher(trie)
  return names.filter(({ wire }) => matcher.find(wire, 0) !== 0)
}
