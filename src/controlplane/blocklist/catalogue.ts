/**
 * The catalogue of public lists that ships with the product (`blocklists/sources.yaml`): where each
 * list is, what it is, whose it is, and what every image of a category must block.
 */

import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parse } from 'yaml'
import * as z from 'zod'

import { OperationalError } from '../../base/errors.ts'
import { PACKAGE_DIRECTORY } from '../package-files.ts'
import { LIST_NAME } from '../config/schema-lists.ts'
import { categoryName } from '../config/schema-values.ts'

export const CATALOGUE_FILE = join(PACKAGE_DIRECTORY, 'blocklists', 'sources.yaml')

/** A week; lists that change more seldom than this are asked once a week all the same. */
const INTERVAL_HOURS_MAX = 168
const NAME = /^(?:[a-z0-9_](?:[a-z0-9_-]*[a-z0-9])?\.)+[a-z]{2,}$/

const nameList = z.array(z.string().regex(NAME)).min(1)

/** One public list. */
const CatalogueSource = z.strictObject({
  id: z.string().max(63).regex(LIST_NAME),
  url: z.url({ protocol: /^https$/ }),
  /** `auto`: a text list in any format; `ut1`: a tar.gz in the layout of Toulouse. */
  format: z.enum(['auto', 'ut1']).default('auto'),
  /** Of a `ut1` archive: the folders that are taken; left out, all of them. */
  sections: z
    .array(z.string().regex(/^[\w-]+$/))
    .min(1)
    .optional(),
  category: categoryName,
  licence: z.string().min(1),
  attribution: z.string().min(1),
  intervalHours: z.int().min(1).max(INTERVAL_HOURS_MAX),
  /** How many names to expect. */
  names: z.strictObject({ min: z.int().min(1), max: z.int().min(1) }),
  /** Names that the list blocks, or it is not the list that it was. */
  mustBlock: nameList.default([]),
  /** Part of the set that a new installation subscribes to. */
  default: z.boolean().default(false),
})

const CatalogueSchema = z.strictObject({
  categories: z.record(categoryName, z.strictObject({ mustBlock: nameList })),
  sources: z.array(CatalogueSource).min(1),
})

export type CatalogueSource = z.output<typeof CatalogueSource>
export type Catalogue = z.output<typeof CatalogueSchema>

/**
 * Reads the catalogue.
 *
 * @throws OperationalError ERR_CONFIG naming every fault; only a damaged installation has one.
 */
export async function loadCatalogue(file = CATALOGUE_FILE): Promise<Catalogue> {
  let tree: unknown
  try {
    tree = parse(await readFile(file, 'utf8'))
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new OperationalError('ERR_CONFIG', `the catalogue ${file} cannot be read: ${why}`, {
      file,
      cause,
    })
  }
  const parsed = CatalogueSchema.safeParse(tree)
  const faults = parsed.success
    ? twice(parsed.data)
    : parsed.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`)
  if (parsed.success && faults.length === 0) return parsed.data
  throw new OperationalError('ERR_CONFIG', `the catalogue ${file}: ${faults.join('; ')}`, { file })
}

function twice({ sources }: Catalogue): string[] {
  const ids = sources.map(({ id }) => id)
  const repeated = new Set(ids.filter((id, index) => ids.indexOf(id) !== index))
  return [...repeated].map((id) => `${id} stands twice`)
}
