/** The group `metrics` of niveau3.yaml: what Prometheus and supervisors ask. */

import * as z from 'zod'
import { MINUTE_S, SECOND_MS } from '../../base/units.ts'
import { parseEndpoint } from './addresses.ts'
import { parsedText, whole } from './schema-values.ts'

export const MetricsConfig = z.strictObject({
  listen: parsedText((text) => (text === 'off' ? text : parseEndpoint(text)))
    .default('127.0.0.1:9353')
    .meta({
      description:
        'ADDR:PORT of /metrics, /livez and /readyz over HTTP, or `off`. No client address and no ' +
        'queried name is shown there, but nothing guards it either: keep it private.',
    }),
  pageMsMin: whole(0, MINUTE_S * SECOND_MS, SECOND_MS).meta({
    description:
      'A page of /metrics is given again to who asks so soon after it was made, so that scrapers, ' +
      'however many, take no time from queries.',
  }),
})
