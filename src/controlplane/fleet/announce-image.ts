/** Tells the boxes that there is another image, so that they look at once. */

import { setTimeout as sleep } from 'node:timers/promises'

import { FleetEvents } from '../../dataplane/cache/redis-events.ts'
import type { RedisSettings } from '../../dataplane/settings.ts'
import type { ImageManifest } from './signed-image.ts'

const WAIT_MS_MAX = 2000
const LOOK_MS = 20

/** Returns whether it was told; who does not hear it finds the image at the next look. */
export async function announceImage(
  settings: RedisSettings,
  { digest, report }: ImageManifest,
): Promise<boolean> {
  const events = new FleetEvents(settings, { policy: noop, up: noop, down: noop })
  try {
    events.announce(digest, report.generation)
    const endMs = performance.now() + WAIT_MS_MAX
    while (events.sent === 0 && performance.now() < endMs) await sleep(LOOK_MS)
    return events.sent > 0
  } finally {
    events.close()
  }
}

function noop(): void {
  // What others say is not this command's matter.
}
