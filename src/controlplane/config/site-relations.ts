/** What must hold between the sites, and between a site and the rest of the configuration. */

import { accepted, isSiteName, parsePrefix, parseSiteSource } from './addresses.ts'
import type { KeyPath } from './keys.ts'
import { PREFIXES_MAX } from './schema-values.ts'
import { CategoryConfig, type ConfigValues } from './schema.ts'
import { categoryNames } from './settings.ts'
import { siteCategory } from './site-settings.ts'
import { nearest } from './suggest.ts'

/** The part of a configuration's problems that sites need. */
interface SitesSubject {
  readonly values: ConfigValues
  readonly report: (path: KeyPath, message: string, suggestion?: string) => void
  readonly reportKey: (path: KeyPath, message: string, suggestion?: string) => void
}

/** No two sites share a name, a prefix or a host name. */
export function checkSites({ values, report }: SitesSubject): void {
  const names = new Map<string, number>()
  const owners = new Map<string, string>()
  let sources = 0
  for (const [index, { name, from }] of values.sites.entries()) {
    if (names.has(name))
      report(['sites', index, 'name'], `sites[${index}].name: "${name}" is given twice`)
    names.set(name, index)
    for (const [place, text] of from.entries()) {
      const source = accepted(isSiteName(text) ? parseSiteSource(text) : parsePrefix(text))
      const owner = owners.get(source)
      const path = ['sites', index, 'from', place] as const
      if (owner !== undefined) {
        const where = owner === name ? 'is given twice' : `belongs to the site "${owner}" already`
        report(path, `sites[${index}].from[${place}]: ${source} ${where}`)
      }
      owners.set(source, name)
    }
    sources += from.length
  }
  if (sources > PREFIXES_MAX) {
    report(['sites'], `sites: ${sources} prefixes and names are more than ${PREFIXES_MAX}`)
  }
}

/** A site speaks of categories that exist, and its answers are whole. */
export function checkSiteCategories({ values, report, reportKey }: SitesSubject): void {
  const known = categoryNames(values)
  for (const [index, site] of values.sites.entries()) {
    for (const [name, own] of Object.entries(site.categories)) {
      const path = ['sites', index, 'categories', name]
      const place = `sites[${index}].categories.${name}`
      if (!known.includes(name) && values.image === undefined) {
        const near = nearest(name, known)
        const suggestion = near && `did you mean "${near}"?`
        reportKey(path, `${place}: no list has the category "${name}"`, suggestion)
        continue
      }
      const { response, ipv4, ipv6 } = siteCategory(generalOf(values, name), own)
      if (response === 'address' && ipv4 === undefined && ipv6 === undefined) {
        report([...path, 'response'], `${place}: response "address" needs ipv4, ipv6 or both`)
      }
      for (const key of ['ipv4', 'ipv6'] as const) {
        if (response === 'address' || own[key] === undefined) continue
        const message = `${place}.${key} has no effect with response "${response}"`
        report([...path, key], message, 'set response: address, or leave it out')
      }
    }
  }
}

function generalOf({ categories }: ConfigValues, name: string): ConfigValues['categories'][string] {
  const own = Object.hasOwn(categories, name) ? categories[name] : undefined
  return own ?? CategoryConfig.parse({})
}
