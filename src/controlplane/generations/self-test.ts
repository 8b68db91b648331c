/**
 * Asks a new image, read back from disk, what residents will ask it: real query messages through
 * the data plane's own parser, policy and reply writer, before anybody is answered by it.
 */

import { openTrie, type Trie } from '../../trie/open.ts'
import { storedNames } from '../../trie/stored-names.ts'
import { TYPE_A } from '../../wire/codes.ts'
import { SITE_DEFAULT } from '../../dataplane/client.ts'
import { NO_OVERLAY } from '../../dataplane/policy/overlay.ts'
import type { DataplaneSettings } from '../../dataplane/settings.ts'
import type { EssentialNames } from '../blocklist/essential.ts'
import { nameToText } from '../blocklist/name-text.ts'
import type { ControlName } from '../blocklist/safety/control-names.ts'
import { shown, type GateFault } from '../blocklist/safety/list-contract.ts'
import { Judge } from '../cli/verdict.ts'
import { readImage } from '../compiler/image-file.ts'

/** Names asked of each list. */
const SAMPLES_PER_LIST = 20
/** Names that no list holds, and that no image may block: a filter that blocks all is no filter. */
const OPEN_NAMES = ['example.com', 'www.example.org', 'niveau3-self-test.example.net']

export interface SelfTestOptions {
  readonly settings: DataplaneSettings
  readonly essential: EssentialNames
  /** By category: names that must be blocked. */
  readonly mustBlock: ReadonlyMap<string, readonly ControlName[]>
  readonly openNames: readonly ControlName[]
}

export interface SelfTestResult {
  readonly trie: Trie
  /** Questions asked. */
  readonly probes: number
  readonly faults: readonly GateFault[]
}

/** The texts of names that must stay open. */
export const SELF_TEST_OPEN_NAMES: readonly string[] = OPEN_NAMES

/**
 * Tests an image file.
 *
 * @throws OperationalError ERR_IMAGE when it cannot be read back as it was written.
 */
export async function selfTest(file: string, options: SelfTestOptions): Promise<SelfTestResult> {
  const trie = openTrie(await readImage(file))
  const probe = new Probe(trie, options)
  for (const [category, names] of options.mustBlock) {
    if (isBlocked(options.settings, category)) for (const { wire } of names) probe.blocked(wire)
  }
  for (const name of options.essential.names) probe.open(name)
  for (const { wire } of options.openNames) probe.open(wire)
  for (const name of samples(trie)) probe.blockedUnlessEssential(name)
  return { trie, probes: probe.count, faults: probe.faults() }
}

/** Categories that the configuration switches off block nothing, and are not asked about. */
function isBlocked({ categories }: DataplaneSettings, category: string): boolean {
  return categories.find(({ name }) => name === category)?.blocked ?? true
}

/** Asks, and collects the answers that are wrong. */
class Probe {
  count = 0
  readonly #judge: Judge
  readonly #trie: Trie
  readonly #options: SelfTestOptions
  readonly #sentinels: string[] = []
  readonly #passed: string[] = []
  readonly #stopped: string[] = []

  constructor(trie: Trie, options: SelfTestOptions) {
    this.#judge = new Judge(options.settings, trie, options.essential, NO_OVERLAY)
    this.#trie = trie
    this.#options = options
  }

  blocked(name: Uint8Array): void {
    if (this.#ask(name) !== 'blocked') this.#sentinels.push(nameToText(name))
  }

  open(name: Uint8Array): void {
    if (this.#ask(name) === 'blocked') this.#stopped.push(nameToText(name))
  }

  /** A stored name is blocked, unless configuration or an essential name opens it. */
  blockedUnlessEssential(name: Uint8Array): void {
    const { essential, settings } = this.#options
    if (essential.covers(name) !== undefined) return
    if (!this.#trie.categories.every((category) => isBlocked(settings, category))) return
    // Special names are answered before any list is asked: neither blocked nor passed.
    if (this.#ask(name) === 'passed') this.#passed.push(nameToText(name))
  }

  faults(): readonly GateFault[] {
    const faults: GateFault[] = []
    if (this.#sentinels.length > 0) {
      faults.push({ gate: 'must-block', why: `does not block ${shown(this.#sentinels)}` })
    }
    if (this.#passed.length > 0) {
      faults.push({ gate: 'self-test', why: `does not block ${shown(this.#passed)}` })
    }
    if (this.#stopped.length > 0) {
      faults.push({ gate: 'self-test', why: `blocks ${shown(this.#stopped)}` })
    }
    return faults
  }

  #ask(name: Uint8Array): 'local' | 'blocked' | 'passed' {
    this.count += 1
    return this.#judge.judge(name, TYPE_A, SITE_DEFAULT).kind
  }
}

/** Some names of every list. */
function* samples(trie: Trie): Generator<Uint8Array> {
  const wanted = trie.lists.map(() => SAMPLES_PER_LIST)
  let left = trie.lists.filter(({ kept }) => kept > 0).length * SAMPLES_PER_LIST
  for (const { name, self, selfList } of storedNames(trie)) {
    if (left === 0) return
    const open = wanted[selfList] ?? 0
    if (self === 0 || open === 0) continue
    wanted[selfList] = open - 1
    left -= 1
    yield name
  }
}
