/** Settings that only a restart can change. */
import type { LoadedConfig } from './config/load.ts'

/** Each with the way to read it. */
const NEEDS_RESTART: readonly [string, (config: LoadedConfig) => unknown][] = [
  ['listen', (config) => config.dataplane.listen],
  ['workers', (config) => config.control.workers],
  ['metrics.listen', (config) => config.control.metrics],
  ['cache.octetsMax', (config) => config.dataplane.cache.octetsMax],
  ['rate.clientsMax', (config) => config.dataplane.rate.clientsMax],
  ['stateDirectory', (config) => config.control.stateDirectory],
  ['redis', (config) => config.control.redis],
]

/** Returns the keys in which a configuration differs from that of the start. */
export function keysThatNeedRestart(config: LoadedConfig, start: LoadedConfig): readonly string[] {
  return NEEDS_RESTART.filter(
    ([, read]) => JSON.stringify(read(config)) !== JSON.stringify(read(start)),
  ).map(([key]) => key)
}
