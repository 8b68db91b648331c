/** What Prometheus sees of a fleet: how old its image and rules are here, and what was refused. */
import { REFUSALS } from '../fleet/refusals.ts'
import { define, single, type Definition } from './definition.ts'

/** Samples only where an image of a fleet is taken. */
export const FLEET_METRICS: readonly Definition[] = [
  define(
    'fleet_image_generation',
    'gauge',
    'Generation of the image taken last, as numbered on the machine that built it.',
    (_slots, { filter }) => maybe(filter.fleetImage?.generation),
  ),
  define(
    'fleet_image_built_timestamp_seconds',
    'gauge',
    'When the image taken last was signed, by the clock of the machine that built it.',
    (_slots, { filter }) => maybe(filter.fleetImage?.builtAtSeconds),
  ),
  define(
    'fleet_last_success_timestamp_seconds',
    'gauge',
    "When the fleet's image was last taken, or confirmed as the newest.",
    (_slots, { filter }) => maybe(filter.fleetImage?.succeededAtSeconds),
  ),
  define(
    'fleet_pull_failures',
    'gauge',
    "Looks for the fleet's image that failed or ended in a refusal, in a row.",
    (_slots, { filter }) => maybe(filter.fleetImage?.failures),
  ),
  define(
    'fleet_refusals_total',
    'counter',
    'Images of the fleet that were not taken, by reason, since the box was set up.',
    (_slots, { filter: { fleetImage } }) =>
      fleetImage === undefined
        ? []
        : REFUSALS.map((reason) => ({
            labels: { reason },
            value: fleetImage.refusals[reason] ?? 0,
          })),
  ),
  define(
    'fleet_rules_merged_total',
    'counter',
    'Rules and pauses that have changed here by what another box has done.',
    (_slots, { fleet: { rules } }) => maybe(rules?.merged),
  ),
  define(
    'fleet_rules_refused_total',
    'counter',
    'Shared rules that were not taken: not sealed with our secret, or of no sense.',
    (_slots, { fleet: { rules } }) =>
      Object.entries(rules?.refused ?? {}).map(([reason, value]) => ({
        labels: { reason },
        value,
      })),
  ),
  define(
    'fleet_rules_last_success_timestamp_seconds',
    'gauge',
    'When the shared rules were last looked at.',
    (_slots, { fleet: { rules } }) => maybe(rules?.lookedAtSeconds),
  ),
]

function maybe(value: number | undefined) {
  return value === undefined ? [] : single(value)
}
