/** Fetches what is subscribed to, and puts a new image in force if it is a good one. */

import * as z from 'zod'
import { OperationalError } from '../../base/errors.ts'
import { loadCatalogue } from '../blocklist/catalogue.ts'
import { defaultSubscriptions } from '../generations/subscriptions.ts'
import { updateLists } from '../generations/update.ts'
import { operation } from './operation.ts'

/** `lists update`; with `plan` it only looks. */
export const UPDATE_LISTS = operation(
  'lists-update',
  z.strictObject({
    /** Undefined: all that are enabled and not pinned. */
    lists: z.array(z.string()).optional(),
    force: z.array(z.string()),
    plan: z.boolean(),
    /** Only what is due, and nothing while a rollback holds updates. */
    due: z.boolean(),
    reason: z.string().optional(),
  }),
  { isHeavy: true, isChange: true },
  async (wanted, { dataplane, ...context }) => {
    if (context.control.fleet !== undefined) {
      const why = 'this box takes its image from the fleet (fleet.source): "niveau3 fleet pull"'
      throw new OperationalError('ERR_USAGE', why)
    }
    return updateLists({
      ...context,
      ...wanted,
      settings: dataplane,
      newcomer: defaultSubscriptions(await loadCatalogue()),
    })
  },
)
