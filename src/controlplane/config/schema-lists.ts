/** The keys of subscribed lists: how they are fetched, and what an update may change at most. */

import * as z from 'zod'
import { DAY_S, GiB, KiB } from '../../base/units.ts'
import { NAME_CHARS_MAX, categoryName, octets, whole } from './schema-values.ts'

/** What a list may be called. */
export const LIST_NAME = /^[a-z0-9][a-z0-9._-]*$/

const SuffixConfig = z.strictObject({
  icann: z.enum(['refuse', 'keep']).optional(),
  private: z.enum(['refuse', 'keep']).optional(),
})

export const ListConfig = z.strictObject({
  name: z
    .string()
    .max(NAME_CHARS_MAX)
    .regex(LIST_NAME)
    .optional()
    .meta({
      description:
        'Name in metrics, reports and `check`: lower-case letters, digits, dots, hyphens. Default: ' +
        'the file name without its endings.',
    }),
  category: categoryName.meta({
    description: 'The category whose names the list holds: a shipped one or one of your own.',
  }),
  file: z.string().min(1).meta({
    description:
      'Path of the list, relative to this file; any supported format, gzip read directly.',
  }),
  publicSuffixes: SuffixConfig.optional().meta({
    description:
      'Whether rules that are public suffixes are kept, where the default does not fit: group of ' +
      '`icann` (registries: `com.cn`; default `refuse`) and `private` (hosts of many: `ngrok.io`; ' +
      'default `keep` for `darkweb` and `vpn`, else `refuse`), each `refuse` or `keep`.',
  }),
  licence: z.string().optional().meta({ description: 'Licence of the list, kept in the image.' }),
  attribution: z
    .string()
    .optional()
    .meta({ description: 'Credit that the licence asks for, kept in the image.' }),
})

/** A share of names, 1 being all of them. */
function share(max: number, defaultValue: number) {
  return z.number().min(0).max(max).default(defaultValue)
}

export const UpdatesConfig = z.strictObject({
  automatic: z
    .boolean()
    .default(true)
    .meta({
      description:
        'Whether `serve` fetches subscribed lists when they are due. There are none before the first ' +
        '`niveau3 lists update` or `lists add`, so that nothing is ever fetched unasked.',
    }),
  downloadOctetsMax: octets(64 * KiB, 4 * GiB, '256MiB').meta({
    description: 'Octets of one list on the wire; the largest public one has 30 MiB.',
  }),
  downloadSecondsMax: whole(1, DAY_S, 600).meta({
    description: 'Time for one list, from connecting to its last octet.',
  }),
  redirectsMax: whole(0, 20, 5).meta({
    description:
      'Redirects for one list; none leads to a private address unless the list allows it.',
  }),
  generationsKept: whole(2, 100, 5).meta({
    description: 'Compiled images kept for `lists rollback` and `lists diff`, pinned ones besides.',
  }),
})

export const SafetyConfig = z.strictObject({
  removedShareMax: share(1, 0.3).meta({
    description:
      'Largest share of the names that a list blocked and no longer would, by removal or by ' +
      'exception, counted on names and not on sizes.',
  }),
  addedShareMax: share(1000, 1).meta({
    description: 'Largest share of new names, measured on those that there were: 1 is +100 %.',
  }),
  unparsableShareMax: share(1, 0.05).meta({
    description: 'Largest share of entries that are no rule of any known grammar.',
  }),
  essentialHitsMax: whole(0, 10_000, 3).meta({
    description:
      'New rules on or below essential names that a list may have. They never block; more of them ' +
      'than this say that the list is not what it was. The first version of a list may have one in ' +
      '10,000 rules besides.',
  }),
  popularHitsMax: whole(0, 10_000, 0).meta({
    description: 'Popular names (blocklists/popular.txt) that an update may newly block.',
  }),
})

export type UpdatesValues = z.output<typeof UpdatesConfig>
export type SafetyValues = z.output<typeof SafetyConfig>
export type ListValues = z.output<typeof ListConfig>
