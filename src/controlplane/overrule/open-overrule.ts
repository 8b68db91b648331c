/** The rules and pauses of a running server. */
import type { Logger } from 'pino'
import type { LoadedConfig } from '../config/load.ts'
import type { LoadedFilter } from '../filter.ts'
import type { OverruleKeeper } from './overrule-keeper.ts'

/** What a server decides by at a moment. */
export interface InForce {
  readonly config: LoadedConfig
  readonly filter: LoadedFilter
}

/**
 * Reads what was overruled before the start; undefined without a state directory.
 *
 * @throws OperationalError ERR_STATE: a server without its denials would open what is closed.
 */
export async function openOverrule(
  log: Logger,
  inForce: () => InForce,
): Promise<OverruleKeeper | undefined> {
  const { stateDirectory } = inForce().config.control
  if (stateDirectory === undefined) return undefined
  const { OverruleKeeper: Keeper } = await import('./overrule-keeper.ts')
  return Keeper.open({
    stateDirectory,
    log,
    pauseSecondsMax: () => inForce().config.control.pauseSecondsMax,
    facts: () => {
      const { config, filter } = inForce()
      const configured = config.dataplane.categories.map(({ name }) => name)
      return {
        essential: filter.essential,
        categories: [...new Set([...filter.trie.categories, ...configured])],
        sites: config.dataplane.sites.map(({ name }) => name),
      }
    },
  })
}
