/** The keys of the group `overrule`: what operators may do to the filter by commands. */

import * as z from 'zod'
import { DAY_S, HOUR_S } from '../../base/units.ts'
import { whole } from './schema-values.ts'

export const OverruleConfig = z.strictObject({
  pauseSecondsMax: whole(0, 7 * DAY_S, 4 * HOUR_S).meta({
    description:
      'Longest time for which `niveau3 pause` lets blocks rest, wherever the pause was made; 0: they ' +
      'never rest. A pause that somebody forgets is a filter that does not filter.',
  }),
})
