/** The flags of the command line as the highest layer of the configuration. */

import { variableOf } from './environment.ts'
import type { Override } from './layers.ts'

/** Flags as commander collects them; what they hold is checked together with the file. */
export interface ConfigFlags {
  readonly listen?: readonly string[] | undefined
  readonly upstream?: readonly string[] | undefined
  readonly blocklist?: readonly BlocklistFlag[] | undefined
  readonly image?: string | undefined
  readonly metrics?: string | undefined
  readonly workers?: string | undefined
  readonly redis?: string | undefined
  readonly stateDir?: string | undefined
}

/** One `--blocklist CATEGORY=FILE`. */
export interface BlocklistFlag {
  readonly category: string
  readonly file: string
}

/** Returns one override for each flag that was given. */
export function readFlags(flags: ConfigFlags): readonly Override[] {
  const { workers } = flags
  const isNumber = workers !== undefined && /^\d+$/.test(workers)
  return [
    ...override('--listen', ['listen'], flags.listen),
    ...override('--upstream', ['upstreams'], flags.upstream),
    ...override('--blocklist', ['lists'], flags.blocklist),
    ...override('--image', ['image'], flags.image),
    ...override('--metrics', ['metrics', 'listen'], flags.metrics),
    ...override('--workers', ['workers'], isNumber ? Number(workers) : workers),
    ...override('--redis', ['redis', 'url'], flags.redis),
    ...override('--state-dir', ['stateDirectory'], flags.stateDir),
  ]
}

/**
 * Variables by which a command that the server runs knows what the server's flags say: an address
 * with a password is no argument, which everybody may read.
 */
export function environmentOf({ redis }: ConfigFlags): Readonly<Record<string, string>> {
  return redis === undefined ? {} : { [variableOf(['redis', 'url'])]: redis }
}

function override(flag: string, path: readonly string[], value: unknown): readonly Override[] {
  return value === undefined ? [] : [{ path, value, origin: { kind: 'flag', flag } }]
}
