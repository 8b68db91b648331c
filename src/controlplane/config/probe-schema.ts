/** The group `probe` of niveau3.yaml: the server asks itself whether it filters. */

import * as z from 'zod'
import { DAY_S, MINUTE_S } from '../../base/units.ts'
import { parseHostName } from './addresses.ts'
import { categoryName, parsedText, whole } from './schema-values.ts'

/** Names of one category: a few are asked at a time. */
const NAMES_MAX = 100

export const ProbeConfig = z.strictObject({
  intervalSeconds: whole(0, DAY_S, MINUTE_S).meta({
    description:
      'How often the server asks itself, over UDP through its own port, names that must be blocked ' +
      'and essential names that must not; 0: never. It takes some twenty queries, which count as ' +
      'any other and in `niveau3_probe_answers_total` besides.',
  }),
  mustBlock: z
    .record(
      categoryName,
      z
        .array(parsedText(parseHostName))
        .min(1)
        .max(NAMES_MAX)
        .meta({ description: 'Names that must be blocked as this category.' }),
    )
    .default({})
    .meta({
      description:
        'By category: names to ask instead of the default, which is what every image of the category ' +
        'must block where lists are subscribed to or built in, else names of the image itself.',
    }),
})
