/** Starts the probe where one is wanted; what it asks with is loaded only then. */
import { SECOND_MS } from '../../base/units.ts'
import type { EffectivenessProbe, ProbedServer } from './effectiveness-probe.ts'

/** Returns the running probe; undefined where the interval is 0. */
export async function openProbe(
  intervalSeconds: number,
  server: ProbedServer,
): Promise<EffectivenessProbe | undefined> {
  if (intervalSeconds === 0) return undefined
  const { EffectivenessProbe: Probe } = await import('./effectiveness-probe.ts')
  const probe = new Probe(server)
  probe.start(intervalSeconds * SECOND_MS)
  return probe
}
