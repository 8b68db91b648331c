/** From checked values to what the two planes are told: addresses parsed, paths absolute. */

import { availableParallelism } from 'node:os'
import { basename, join } from 'node:path'
import {
  DENIED_CATEGORY,
  type DataplaneSettings,
  type Endpoint,
  type ForwardSettings,
  type ListenSettings,
  type UpstreamSettings,
} from '../../dataplane/settings.ts'
import type { AddressSource } from '../blocklist/address-rules.ts'
import type { CookieSource } from '../cookie-secrets.ts'
import type { ListSource, SuffixPolicy } from '../blocklist/list-source.ts'
import {
  accepted,
  addressOctets,
  formatUpstream,
  isLoopback,
  parseEndpoint,
  parseHostName,
  parseListen,
  parsePrefix,
  parseUpstream,
} from './addresses.ts'
import { readAuthorities } from './certificates.ts'
import { PACKAGE_DIRECTORY } from '../package-files.ts'
import { resolveFrom } from './files.ts'
import type { KeyPath } from './keys.ts'
import {
  categorySettings,
  rateSettings,
  siteNamesOf,
  sitesOf,
  type SiteNames,
} from './site-settings.ts'
import type { Layered } from './layers.ts'
import type { ListValues, SafetyValues, UpdatesValues } from './schema-lists.ts'
import type { RedisConfiguration } from '../redis/load-redis.ts'
import { parseRedisUrl } from './redis-url.ts'
import { CategoryConfig, SHIPPED_CATEGORIES, WORKERS_MAX, type ConfigValues } from './schema.ts'

/** Absolute paths of what the encrypted listeners prove themselves with. */
export interface CertificateFiles {
  readonly certificateFile: string
  readonly keyFile: string
}

/** Where the admin socket is, and who may use it besides the server's user and group. */
export interface AdminSocketPlace {
  /** Absolute path. */
  readonly file: string
  /** Name or number. */
  readonly group: string | undefined
}

/** What the control plane is told. */
export interface ControlSettings {
  /** Where /metrics and the health pages are served; undefined when off. */
  readonly metrics: Endpoint | undefined
  readonly probe: ConfigValues['probe']
  /** How long a page of metrics is given again. */
  readonly metricsPageMsMin: number
  /** Where commands reach the running server; undefined when off, or without a folder for it. */
  readonly adminSocket: AdminSocketPlace | undefined
  readonly workers: number
  /** Empty exactly when `image` is given. */
  readonly lists: readonly ListSource[]
  /** Absolute path of a compiled image. */
  readonly image: string | undefined
  /**
   * True when neither lists nor an image are configured: the newest generation of the state
   * directory is served, or the curated lists (`lists`) until there is one.
   */
  readonly usesGenerations: boolean
  readonly updates: UpdatesValues
  readonly safety: SafetyValues
  /** Absolute paths; the file that ships is always the first. */
  readonly essentialFiles: readonly string[]
  /** Undefined when server cookies are off. */
  readonly cookies: CookieSource | undefined
  /** Absolute path; made by the server when missing. */
  readonly stateDirectory: string | undefined
  readonly logLevel: ConfigValues['log']['level']
  /** Undefined when no listener is encrypted. */
  readonly certificate: CertificateFiles | undefined
  readonly stopGraceSeconds: number
  /** Longest pause of blocks. */
  readonly pauseSecondsMax: number
  /** Longest look at questions; 0: none. */
  readonly observeSecondsMax: number
  /** The shared cache; undefined: none. */
  readonly redis: RedisConfiguration | undefined
  /** Whose image is taken; undefined: the box builds its own. */
  readonly fleet: FleetSource | undefined
  /** Whether rules and pauses are shared through Redis. */
  readonly sharesRules: boolean
  /** True when the upstreams were read from resolv.conf, which a reload reads again. */
  readonly upstreamsFromSystem: boolean
  /** Address rules by category. */
  readonly addressSources: readonly AddressSource[]
  /** Private networks in answers: undefined when they are let through, else the names that may. */
  readonly privateZones: readonly string[] | undefined
  /** Sites that are known by DNS names, and how often these are looked up. */
  readonly siteNames: readonly SiteNames[]
  readonly siteRefreshSeconds: number
}

/** Whose image a box takes, and how. */
export interface FleetSource {
  /** `redis`, or the URL of the manifest. */
  readonly source: string
  readonly publicKey: string
  readonly pollSeconds: number
  readonly octetsMax: number
}

/** The product's own lists and essential names. */
const BUILT_IN_DIRECTORY = join(PACKAGE_DIRECTORY, 'blocklists')

/** The lists that are loaded when neither `lists` nor `image` is given. */
export const BUILT_IN_LISTS: readonly ListSource[] = SHIPPED_CATEGORIES.map((category) => ({
  name: category,
  category,
  file: join(BUILT_IN_DIRECTORY, `${category}.txt`),
  curated: true,
  licence: 'Apache-2.0',
}))

/** The admin socket within the state directory. */
const ADMIN_SOCKET_NAME = 'admin.sock'

const BUILT_IN_ESSENTIAL_FILE = join(BUILT_IN_DIRECTORY, 'essential.txt')

/** The listen addresses of checked values. */
export function listenOf(values: ConfigValues): readonly ListenSettings[] {
  return values.listen.map((text) => accepted(parseListen(text)))
}

/** Returns what workers are told; `systemUpstreams` is used when none is configured. */
export function dataplaneSettings(
  values: ConfigValues,
  systemUpstreams: readonly UpstreamSettings[],
  upstreamAuthorities: string | undefined,
): DataplaneSettings {
  const configured = values.upstreams?.map((text) => accepted(parseUpstream(text)))
  const upstreams = configured ?? systemUpstreams
  const categories = categoriesOf(values)
  const prefixes = values.allowFrom.map((text) => accepted(parsePrefix(text)))
  return {
    listen: listenOf(values),
    allowFrom: [...new Set(prefixes)],
    sites: sitesOf(values, categories),
    upstreams,
    upstreamAuthorities,
    serverName: values.tls.serverName && accepted(parseHostName(values.tls.serverName)),
    categories: categories.map(([name, category]) => categorySettings(name, category)),
    blockTtlSeconds: values.block.ttlSeconds,
    udpOctetsMax: values.edns.udpOctetsMax,
    cookies: undefined,
    limits: values.limits,
    rate: rateSettings(values),
    forward: forwardSettings(values, upstreams),
    cache: values.cache,
  }
}

/** Returns the certificates of `tls.caFile`, which has been looked at by then. */
export function authoritiesOf(
  values: ConfigValues,
  layered: Layered,
  workingDirectory: string,
): string | undefined {
  const { caFile } = values.tls
  if (caFile === undefined) return undefined
  const origin = layered.originOf(['tls', 'caFile'])
  return accepted(readAuthorities(resolveFrom(caFile, origin, workingDirectory)))
}

function forwardSettings(
  { forward, edns }: ConfigValues,
  upstreams: readonly UpstreamSettings[],
): ForwardSettings {
  const { trustAdFrom, caseRandomisation, ...rest } = forward
  const mixed = new Set(
    caseRandomisation.map((text) => formatUpstream(accepted(parseUpstream(text)))),
  )
  const trusted = new Set(trustAdFrom.map((text) => formatUpstream(accepted(parseUpstream(text)))))
  return {
    ...rest,
    mixesCase: upstreams.map((upstream) => mixed.has(formatUpstream(upstream))),
    trustsAd: upstreams.map(
      (upstream) =>
        isLoopback(upstream.address) ||
        upstream.serverName !== '' ||
        trusted.has(formatUpstream(upstream)),
    ),
    clientSubnet: edns.clientSubnet === 'off' ? new Uint8Array(0) : subnetOption(edns.clientSubnet),
  }
}

/** Code, length, family, source prefix length, scope 0, and as many octets as the prefix fills. */
function subnetOption(prefix: string): Uint8Array {
  const [address, bits] = accepted(parsePrefix(prefix)).split('/')
  const octets = addressOctets(address!).subarray(0, Math.ceil(Number(bits) / 8))
  const family = address!.includes(':') ? 2 : 1
  return Uint8Array.from([0, 8, 0, 4 + octets.length, 0, family, Number(bits), 0, ...octets])
}

/**
 * The names of all categories: shipped ones, that of names which operators deny, those of lists,
 * then configured ones.
 */
export function categoryNames(values: ConfigValues): readonly string[] {
  const listed = (values.lists ?? []).map((list) => list.category)
  const configured = Object.keys(values.categories)
  return [...new Set([...SHIPPED_CATEGORIES, DENIED_CATEGORY, ...listed, ...configured])]
}

type NamedCategory = readonly [string, ConfigValues['categories'][string]]

function categoriesOf(values: ConfigValues): readonly NamedCategory[] {
  return categoryNames(values).map((name) => {
    const category = Object.hasOwn(values.categories, name) ? values.categories[name] : undefined
    return [name, category ?? CategoryConfig.parse({})] as const
  })
}

/** Returns what the control plane is told. */
export function controlSettings(
  values: ConfigValues,
  layered: Layered,
  workingDirectory: string,
): ControlSettings {
  const locate = (file: string, path: KeyPath) =>
    resolveFrom(file, layered.originOf(path), workingDirectory)
  const { image, stateDirectory, metrics } = values
  const more = values.essential.files.map((file, index) =>
    locate(file, ['essential', 'files', index]),
  )
  return {
    metrics: metrics.listen === 'off' ? undefined : accepted(parseEndpoint(metrics.listen)),
    metricsPageMsMin: metrics.pageMsMin,
    probe: values.probe,
    adminSocket: adminSocketOf(values, locate),
    workers: values.workers ?? Math.min(WORKERS_MAX, availableParallelism()),
    lists: image === undefined ? listsOf(values, locate) : [],
    image: image === undefined ? undefined : locate(image, ['image']),
    usesGenerations: image === undefined && values.lists === undefined,
    updates: values.updates,
    safety: values.safety,
    essentialFiles: [...new Set([BUILT_IN_ESSENTIAL_FILE, ...more])],
    stateDirectory:
      stateDirectory === undefined ? undefined : locate(stateDirectory, ['stateDirectory']),
    certificate: certificateOf(values, locate),
    redis: redisOf(values, locate),
    fleet: fleetOf(values),
    sharesRules: values.fleet.shareRules,
    cookies: cookiesOf(values, locate),
    logLevel: values.log.level,
    stopGraceSeconds: values.stopGraceSeconds,
    pauseSecondsMax: values.overrule.pauseSecondsMax,
    observeSecondsMax: values.admin.observeSecondsMax,
    addressSources: addressSourcesOf(values, locate),
    privateZones: values.privateAnswers.blocked
      ? values.privateAnswers.exceptZones.map((text) => accepted(parseHostName(text)))
      : undefined,
    siteNames: siteNamesOf(values),
    siteRefreshSeconds: values.siteRefreshSeconds,
    upstreamsFromSystem: values.upstreams === undefined,
  }
}

function fleetOf({ fleet }: ConfigValues): FleetSource | undefined {
  const { octetsMax, pollSeconds, publicKey, source } = fleet
  if (source === undefined || publicKey === undefined) return undefined
  return { source, publicKey, pollSeconds, octetsMax }
}

/** Where nothing is said, in the state directory; without one, none. */
function adminSocketOf(
  { admin, stateDirectory }: ConfigValues,
  locate: (file: string, path: KeyPath) => string,
): AdminSocketPlace | undefined {
  const { group, socket } = admin
  if (socket === 'off') return undefined
  if (socket !== undefined) return { file: locate(socket, ['admin', 'socket']), group }
  if (stateDirectory === undefined) return undefined
  return { file: join(locate(stateDirectory, ['stateDirectory']), ADMIN_SOCKET_NAME), group }
}

/** Only where a listener shows it. */
function certificateOf(
  values: ConfigValues,
  locate: (file: string, path: KeyPath) => string,
): CertificateFiles | undefined {
  const { certificateFile, keyFile } = values.tls
  if (certificateFile === undefined || keyFile === undefined) return undefined
  if (listenOf(values).every(({ protocol }) => protocol === 'dns')) return undefined
  return {
    certificateFile: locate(certificateFile, ['tls', 'certificateFile']),
    keyFile: locate(keyFile, ['tls', 'keyFile']),
  }
}

function redisOf(
  values: ConfigValues,
  locate: (file: string, path: KeyPath) => string,
): RedisConfiguration | undefined {
  const { url, prefix, hedgeMs, timeoutMs, hotNames } = values.redis
  if (url === undefined) return undefined
  const fileAt = (key: 'passwordFile' | 'sentinelPasswordFile' | 'caFile' | 'secretFile') => {
    const file = values.redis[key]
    return file === undefined ? undefined : locate(file, ['redis', key])
  }
  return {
    address: accepted(parseRedisUrl(url)),
    passwordFile: fileAt('passwordFile'),
    sentinelPasswordFile: fileAt('sentinelPasswordFile'),
    caFile: fileAt('caFile'),
    secretFile: fileAt('secretFile'),
    prefix,
    hedgeMs,
    timeoutMs,
    hotNames,
  }
}

function cookiesOf(
  { edns }: ConfigValues,
  locate: (file: string, path: KeyPath) => string,
): CookieSource | undefined {
  if (!edns.cookies) return undefined
  const file = edns.cookieSecretFile
  return { secretFile: file && locate(file, ['edns', 'cookieSecretFile']) }
}

function addressSourcesOf(
  values: ConfigValues,
  locate: (file: string, path: KeyPath) => string,
): readonly AddressSource[] {
  return Object.entries(values.categories).flatMap(([category, { addresses, addressFiles }]) => {
    if (addresses.length === 0 && addressFiles.length === 0) return []
    const prefixes = addresses.map((text) => accepted(parsePrefix(text)))
    const files = addressFiles.map((file, index) =>
      locate(file, ['categories', category, 'addressFiles', index]),
    )
    return [{ category, prefixes, files }]
  })
}

function listsOf(
  values: ConfigValues,
  locate: (file: string, path: KeyPath) => string,
): readonly ListSource[] {
  if (values.lists === undefined) return BUILT_IN_LISTS
  const taken = new Set(values.lists.flatMap((list) => list.name ?? []))
  return values.lists.map((list, index) => ({
    name: list.name ?? freeName(list.file, taken),
    category: list.category,
    file: locate(list.file, ['lists', index, 'file']),
    curated: false,
    ...(list.publicSuffixes && { publicSuffixes: suffixSettings(list.publicSuffixes) }),
    ...(list.licence !== undefined && { licence: list.licence }),
    ...(list.attribution !== undefined && { attribution: list.attribution }),
  }))
}

function suffixSettings(given: NonNullable<ListValues['publicSuffixes']>): SuffixPolicy {
  return {
    ...(given.icann && { icann: given.icann }),
    ...(given.private && { private: given.private }),
  }
}

const FILE_ENDINGS = /\.(gz|txt|list|hosts|conf|rpz|zone|domains)$/

/** The file name without its endings, numbered when another list has it already. */
function freeName(file: string, taken: Set<string>): string {
  let stem = basename(file).toLowerCase()
  while (FILE_ENDINGS.test(stem)) stem = stem.replace(FILE_ENDINGS, '')
  stem = stem.replaceAll(/[^a-z0-9._-]+/g, '-').replace(/^[^a-z0-9]+/, '') || 'list'
  stem = stem.slice(0, 58)
  let name = stem
  for (let number = 2; taken.has(name); number += 1) name = `${stem}-${number}`
  taken.add(name)
  return name
}
