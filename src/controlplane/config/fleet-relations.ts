/** What must hold between `fleet` and the keys that it leans on. */

import { SOURCE_REDIS } from './fleet-schema.ts'
import type { Subject } from './relations.ts'

export function checkFleet({ values, report, reportKey }: Subject): void {
  const { source, publicKey } = values.fleet
  if (source === undefined) {
    if (publicKey === undefined) return
    reportKey(['fleet', 'publicKey'], 'fleet.publicKey has no effect without fleet.source')
    return
  }
  const at = ['fleet', 'source']
  if (publicKey === undefined) {
    const advice =
      'give fleet.publicKey, which "niveau3 fleet keygen" prints where images are built'
    report(at, 'fleet.source: an image is believed by its signature only', advice)
  }
  if (source === SOURCE_REDIS && values.redis.url === undefined) {
    report(at, 'fleet.source: "redis" needs redis.url')
  }
  if (values.stateDirectory === undefined) {
    report(at, 'fleet.source needs a stateDirectory, where images are kept')
  }
  if (values.image !== undefined || values.lists !== undefined) {
    const other = values.image === undefined ? 'lists' : 'image'
    report(at, `fleet.source has no effect beside ${other}`, `leave one of them out`)
  }
}
