/** The flags of the command line as the highest layer of the configuration. */

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

function override(flag: string, path: readonly string[], value: unknown): readonly Override[] {
  return value === undefined ? [] : [{ path, value, origin: { kind: 'flag', flag } }]
}
