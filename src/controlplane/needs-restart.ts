/** What a reload does not change: sockets, threads and caches are made once. */
import type { DataplaneSettings } from '../dataplane/settings.ts'
import type { LoadedConfig } from './config/load.ts'

/** Settings that only a restart can change, with the way to read each. */
const NEEDS_RESTART: readonly [string, (config: LoadedConfig) => unknown][] = [
  ['listen', (config) => config.dataplane.listen],
  ['workers', (config) => config.control.workers],
  ['log.level', (config) => config.control.logLevel],
  ['metrics.listen', (config) => config.control.metrics],
  ['probe.intervalSeconds', (config) => config.control.probe.intervalSeconds],
  ['metrics.pageMsMin', (config) => config.control.metricsPageMsMin],
  ['cache.octetsMax', (config) => config.dataplane.cache.octetsMax],
  ['rate.clientsMax', (config) => config.dataplane.rate.clientsMax],
  ['stateDirectory', (config) => config.control.stateDirectory],
  ['admin', (config) => config.control.adminSocket],
  ['redis', (config) => config.control.redis],
  ['fleet.shareRules', (config) => config.control.sharesRules],
]

/** The keys whose values differ from those of the start and take effect at the next one. */
export function keysThatNeedRestart(config: LoadedConfig, start: LoadedConfig): readonly string[] {
  return NEEDS_RESTART.filter(
    ([, read]) => JSON.stringify(read(config)) !== JSON.stringify(read(start)),
  ).map(([key]) => key)
}

/** The cache keeps the size that it was made with. */
export function startCache(next: DataplaneSettings, start: DataplaneSettings): DataplaneSettings {
  return { ...next, cache: { ...next.cache, octetsMax: start.cache.octetsMax } }
}
