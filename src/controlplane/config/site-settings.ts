/** From the checked values of `sites` and `rate` to what the two planes are told. */

import type {
  BlockResponseSettings,
  CategorySettings,
  RateLimit,
  RateSettings,
  SiteSettings,
} from '../../dataplane/settings.ts'
import { accepted, addressOctets, isSiteName, parsePrefix, parseSiteSource } from './addresses.ts'
import type { ConfigValues } from './schema.ts'

/** Of an address behind a name of a site, this much is the subscriber's own network. */
export const NETWORK_BITS_IPV6 = 64

type SiteValues = ConfigValues['sites'][number]
type CategoryValues = Omit<ConfigValues['categories'][string], 'addresses' | 'addressFiles'>

/** A site whose clients come from where DNS names lead. */
export interface SiteNames {
  /** Name of the site. */
  readonly site: string
  /** Lower-case host names. */
  readonly names: readonly string[]
}

/** What a category does at a site: what the site leaves out is as everywhere. */
export function siteCategory(
  general: CategoryValues,
  own: { readonly [Key in keyof CategoryValues]?: CategoryValues[Key] | undefined },
): CategoryValues {
  const response = own.response ?? general.response
  const isSame = response === general.response
  return {
    blocked: own.blocked ?? general.blocked,
    response,
    ipv4: own.ipv4 ?? (isSame ? general.ipv4 : undefined),
    ipv6: own.ipv6 ?? (isSame ? general.ipv6 : undefined),
  }
}

/** One category as the data plane takes it. */
export function categorySettings(name: string, values: CategoryValues): CategorySettings {
  return { name, blocked: values.blocked, response: responseSettings(values) }
}

function responseSettings({ response, ipv4, ipv6 }: CategoryValues): BlockResponseSettings {
  return {
    kind: response,
    ipv4: ipv4 === undefined ? undefined : addressOctets(ipv4),
    ipv6: ipv6 === undefined ? undefined : addressOctets(ipv6),
  }
}

/** The sites with their prefixes; where names lead is not known yet. */
export function sitesOf(
  values: ConfigValues,
  categories: readonly (readonly [string, CategoryValues])[],
): readonly SiteSettings[] {
  return values.sites.map((site) => ({
    name: site.name,
    from: site.from.filter((text) => !isSiteName(text)).map((text) => accepted(parsePrefix(text))),
    categories: categories.map(([name, general]) => {
      const own = Object.hasOwn(site.categories, name) ? site.categories[name] : undefined
      return categorySettings(name, siteCategory(general, own ?? {}))
    }),
    rate: { ...limitOf(values), ...definedOf(site.rate) },
  }))
}

function limitOf({ rate }: ConfigValues): RateLimit {
  const { clientQueriesPerSecond, clientBurst, prefixQueriesPerSecond, prefixBurst } = rate
  return { clientQueriesPerSecond, clientBurst, prefixQueriesPerSecond, prefixBurst }
}

function definedOf(rate: SiteValues['rate']): Partial<RateLimit> {
  return Object.fromEntries(Object.entries(rate).filter(([, value]) => value !== undefined))
}

/** How fast clients may ask. */
export function rateSettings({ rate }: ConfigValues): RateSettings {
  return { ...rate, exemptFrom: rate.exemptFrom.map((text) => accepted(parsePrefix(text))) }
}

/** The sites that are known by DNS names, with these names. */
export function siteNamesOf(values: ConfigValues): readonly SiteNames[] {
  return values.sites.flatMap(({ name, from }) => {
    const names = from.filter(isSiteName).map((text) => accepted(parseSiteSource(text)))
    return names.length === 0 ? [] : [{ site: name, names: [...new Set(names)] }]
  })
}
