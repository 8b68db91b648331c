/** What must hold between keys, and between the configuration and this machine. */

import { DENIED_CATEGORY, type ListenSettings } from '../../dataplane/settings.ts'
import { accepted, formatEndpoint, isPrivate, isWildcard, ownAddresses } from './addresses.ts'
import { formatUpstream, isFault, parseEndpoint, parseListen, parseUpstream } from './addresses.ts'
import { SOCKET_PATH_OCTETS_MAX } from './admin-schema.ts'
import { readAuthorities, readIdentity } from './certificates.ts'
import { isNoDirectory, resolveFrom, unreadable } from './files.ts'
import { formatPath, valueAt, type KeyPath } from './keys.ts'
import { isGroup } from './plain.ts'
import type { Layered } from './layers.ts'
import type { Problem } from './problems.ts'
import { checkSiteCategories, checkSites } from './site-relations.ts'
import { CATEGORIES_MAX, SHIPPED_CATEGORIES, type ConfigValues } from './schema.ts'
import { checkFleet } from './fleet-relations.ts'
import { parseRedisUrl } from './redis-url.ts'
import { nearest } from './suggest.ts'

export interface Surroundings {
  readonly workingDirectory: string
  /** The addresses that this machine has, for wildcards. */
  readonly interfaceAddresses: readonly string[]
}

export interface Subject {
  readonly values: ConfigValues
  readonly layered: Layered
  readonly surroundings: Surroundings
  readonly report: (
    path: KeyPath,
    message: string,
    suggestion?: string,
    code?: Problem['code'],
  ) => void
  /** As `report`, at the key rather than its value. */
  readonly reportKey: (path: KeyPath, message: string, suggestion?: string) => void
}

/**
 * The checks, each with the keys that it reads: it is left out when one of them is broken itself.
 */
const RELATIONS: readonly (readonly [readonly string[], (subject: Subject) => void])[] = [
  [['listen', 'allowFrom', 'sites'], checkOpenResolver],
  [['listen'], checkListenTwice],
  [['upstreams'], checkUpstreamTwice],
  [['listen', 'upstreams'], checkLoop],
  [['listen', 'metrics'], checkMetrics],
  [['cache'], checkCache],
  [['forward'], checkForward],
  [['forward', 'upstreams'], checkCase],
  [['limits'], checkLimits],
  [['categories'], checkResponses],
  [['categories', 'lists', 'image'], checkCategories],
  [['sites'], checkSites],
  [['sites', 'categories', 'lists', 'image'], checkSiteCategories],
  [['lists', 'image'], checkSources],
  [['lists'], checkListNames],
  [[], checkFiles],
  [['tls'], checkAuthorities],
  [['listen', 'tls'], checkCertificate],
  [['stateDirectory'], checkStateDirectory],
  [['redis', 'stateDirectory'], checkRedis],
  [['fleet', 'redis', 'stateDirectory', 'image', 'lists'], checkFleet],
  [['admin'], checkAdmin],
]

/**
 * Returns the problems between keys; `broken` are top-level keys that have problems of their own.
 */
export function checkRelations(
  values: ConfigValues,
  layered: Layered,
  broken: ReadonlySet<string>,
  surroundings: Surroundings,
): readonly Problem[] {
  const problems: Problem[] = []
  const subject: Subject = {
    values,
    layered,
    surroundings,
    report: (path, message, suggestion, code = 'ERR_CONFIG') => {
      const origin = layered.originOf(path)
      problems.push({ code, message, origin, ...(suggestion && { suggestion }) })
    },
    reportKey: (path, message, suggestion) => {
      const origin = layered.originOf(path, 'key')
      problems.push({ code: 'ERR_CONFIG', message, origin, ...(suggestion && { suggestion }) })
    },
  }
  for (const [keys, check] of RELATIONS) {
    if (!keys.some((key) => broken.has(key))) check(subject)
  }
  return problems
}

function endpointsOf(texts: readonly string[]): readonly ListenSettings[] {
  return texts.map((text) => accepted(parseListen(text)))
}

function checkOpenResolver({ values, layered, report }: Subject): void {
  if (valueAt(layered.tree, ['allowFrom']) !== undefined || values.sites.length > 0) return
  for (const [index, { address }] of endpointsOf(values.listen).entries()) {
    const isOpen = isWildcard(address) || !isPrivate(address)
    if (!isOpen) continue
    const kind = isWildcard(address) ? 'every address of this machine' : 'a public address'
    const text = values.listen[index]
    const message = `listen[${index}]: "${text}" is ${kind}, and allowFrom is not set`
    const remedy =
      'list the networks that may ask, such as allowFrom: [192.168.0.0/16], or listen on a private ' +
      'address'
    report(['listen', index], message, remedy, 'ERR_OPEN_RESOLVER')
  }
}

function checkListenTwice({ values, report }: Subject): void {
  const seen = new Set<string>()
  for (const [index, own] of endpointsOf(values.listen).entries()) {
    const text = formatEndpoint(own)
    if (seen.has(text) && own.port !== 0) {
      report(['listen', index], `listen[${index}]: ${text} is given twice`)
    }
    seen.add(text)
  }
}

function checkUpstreamTwice({ values, report }: Subject): void {
  const seen = new Set<string>()
  for (const [index, text] of (values.upstreams ?? []).entries()) {
    const upstream = accepted(parseUpstream(text))
    const identity = formatUpstream(upstream)
    if (seen.has(identity)) {
      report(['upstreams', index], `upstreams[${index}]: ${identity} is given twice`)
    }
    seen.add(identity)
  }
}

function checkLoop({ values, surroundings, report }: Subject): void {
  const isOurs = ownAddresses(endpointsOf(values.listen), surroundings.interfaceAddresses)
  for (const [index, text] of (values.upstreams ?? []).entries()) {
    const upstream = accepted(parseUpstream(text))
    if (!isOurs(upstream.address, upstream.port)) continue
    const message = `upstreams[${index}]: "${text}" is this server itself: queries would circle`
    report(['upstreams', index], message, 'name another resolver')
  }
}

function checkMetrics({ values, surroundings, report }: Subject): void {
  const { listen } = values.metrics
  if (listen === 'off') return
  const own = accepted(parseEndpoint(listen))
  const isTaken = ownAddresses(endpointsOf(values.listen), surroundings.interfaceAddresses)
  if (own.port === 0 || !isTaken(own.address, own.port)) return
  const message = `metrics.listen: ${listen} is taken by DNS over TCP`
  report(['metrics', 'listen'], message, 'use another port, such as 9353')
}

function checkCache({ values, report }: Subject): void {
  const { ttlSecondsMin, ttlSecondsMax, negativeTtlSecondsMax } = values.cache
  for (const [key, limit] of Object.entries({ ttlSecondsMax, negativeTtlSecondsMax })) {
    if (ttlSecondsMin <= limit) continue
    const message = `cache.ttlSecondsMin: ${ttlSecondsMin} is more than cache.${key}, ${limit}`
    report(['cache', 'ttlSecondsMin'], message)
  }
}

function checkForward({ values, report }: Subject): void {
  const { tryTimeoutMs, totalTimeoutMs } = values.forward
  if (tryTimeoutMs <= totalTimeoutMs) return
  const excess = `${tryTimeoutMs} is more than forward.totalTimeoutMs, ${totalTimeoutMs}`
  report(['forward', 'tryTimeoutMs'], `forward.tryTimeoutMs: ${excess}`)
}

/** Random letters are for upstreams that are asked over UDP, and for no others. */
function checkCase({ values, report }: Subject): void {
  if (values.upstreams === undefined) return
  const known = new Set(
    values.upstreams.map((text) => formatUpstream(accepted(parseUpstream(text)))),
  )
  for (const [index, text] of values.forward.caseRandomisation.entries()) {
    const upstream = accepted(parseUpstream(text))
    const isKnown = known.has(formatUpstream(upstream))
    if (isKnown && upstream.protocol === 'udp') continue
    const why = isKnown ? `is asked over ${upstream.protocol}` : 'is none of upstreams'
    const message = `forward.caseRandomisation[${index}]: "${text}" ${why}`
    report(['forward', 'caseRandomisation', index], message, 'name upstreams asked over UDP')
  }
}

function checkLimits({ values, report }: Subject): void {
  const { tcpConnectionsPerClientMax, tcpConnectionsMax } = values.limits
  if (tcpConnectionsPerClientMax <= tcpConnectionsMax) return
  const key = 'tcpConnectionsPerClientMax'
  const excess = `${tcpConnectionsPerClientMax} is more than limits.tcpConnectionsMax`
  report(['limits', key], `limits.${key}: ${excess}, ${tcpConnectionsMax}`)
}

function checkResponses({ values, report }: Subject): void {
  for (const [name, { response, ipv4, ipv6 }] of Object.entries(values.categories)) {
    if (response === 'address' && ipv4 === undefined && ipv6 === undefined) {
      const message = `categories.${name}: response "address" needs ipv4, ipv6 or both`
      report(['categories', name, 'response'], message)
    }
    for (const [key, address] of Object.entries({ ipv4, ipv6 })) {
      if (response === 'address' || address === undefined) continue
      const message = `categories.${name}.${key} has no effect with response "${response}"`
      report(['categories', name, key], message, 'set response: address, or leave it out')
    }
  }
}

function checkCategories({ values, report, reportKey }: Subject): void {
  const used = new Set<string>([
    ...SHIPPED_CATEGORIES,
    ...(values.lists ?? []).map((list) => list.category),
    // That of names which operators deny: no list needs to have it.
    DENIED_CATEGORY,
  ])
  for (const name of Object.keys(values.categories)) {
    if (used.has(name) || values.image !== undefined) continue
    const near = nearest(name, used)
    reportKey(
      ['categories', name],
      `categories: no list has the category "${name}"`,
      near && `did you mean "${near}"?`,
    )
  }
  const own = new Set([...used, ...Object.keys(values.categories)])
  own.delete(DENIED_CATEGORY)
  const count = own.size
  if (count > CATEGORIES_MAX) {
    report(['lists'], `${count} categories are more than an image holds, ${CATEGORIES_MAX}`)
  }
}

function checkSources({ values, report }: Subject): void {
  if (values.image === undefined || values.lists === undefined) return
  const remedy = 'keep one, or compile the lists into the image with "niveau3 lists compile"'
  report(['image'], 'image: an image holds its lists already, and lists are given too', remedy)
}

function checkListNames({ values, report }: Subject): void {
  const seen = new Set<string>()
  for (const [index, { name }] of (values.lists ?? []).entries()) {
    if (name === undefined) continue
    if (seen.has(name)) {
      report(['lists', index, 'name'], `lists[${index}].name: "${name}" is given twice`)
    }
    seen.add(name)
  }
}

/**
 * Looks at what was given rather than at `values`: one broken list must not hide the others' files.
 */
function checkFiles({ layered, surroundings, report }: Subject): void {
  const lists = elementsAt(layered, ['lists']).map((path) => path.concat('file'))
  const redis = REDIS_FILES.map((key) => ['redis', key])
  const others = [['image'], ...TLS_FILES, ...redis]
  const categories = valueAt(layered.tree, ['categories'])
  const addresses = Object.keys(isGroup(categories) ? categories : {}).flatMap((category) =>
    elementsAt(layered, ['categories', category, 'addressFiles']),
  )
  const more = [...elementsAt(layered, ['essential', 'files']), ...addresses]
  for (const path of [...lists, ...others, ...more]) {
    const file = valueAt(layered.tree, path)
    if (typeof file !== 'string' || file === '') continue
    const full = resolveFrom(file, layered.originOf(path), surroundings.workingDirectory)
    const found = unreadable(full)
    if (found) report(path, `${formatPath(path)}: file ${full} ${found.why}`, found.suggestion)
  }
}

/** Keys of files that must exist before the start. */
const REDIS_FILES = ['passwordFile', 'sentinelPasswordFile', 'caFile', 'secretFile'] as const

function checkRedis({ values, report, reportKey }: Subject): void {
  const { url, secretFile, caFile } = values.redis
  if (url === undefined) {
    for (const key of REDIS_FILES) {
      if (values.redis[key] === undefined) continue
      reportKey(['redis', key], `redis.${key} has no effect without redis.url`)
    }
    return
  }
  if (secretFile === undefined && values.stateDirectory === undefined) {
    report(
      ['redis', 'url'],
      'redis.url: the shared cache needs a secret',
      'name a file with redis.secretFile, the same on all boxes, or a stateDirectory to make one in',
    )
  }
  if (caFile !== undefined && !accepted(parseRedisUrl(url)).tls) {
    report(
      ['redis', 'caFile'],
      'redis.caFile has no effect without TLS',
      'write rediss in redis.url',
    )
  }
}

function checkAuthorities({ values, layered, surroundings, report }: Subject): void {
  const { caFile } = values.tls
  if (caFile === undefined) return
  const full = resolveFrom(
    caFile,
    layered.originOf(['tls', 'caFile']),
    surroundings.workingDirectory,
  )
  if (unreadable(full)) return
  const read = readAuthorities(full)
  if (isFault(read)) report(['tls', 'caFile'], `tls.caFile: ${read.fault}`, read.suggestion)
}

const TLS_FILES = ['certificateFile', 'keyFile', 'caFile'].map((key) => ['tls', key])

function checkCertificate({ values, layered, surroundings, report }: Subject): void {
  const { certificateFile, keyFile } = values.tls
  const encrypted = endpointsOf(values.listen).findIndex(({ protocol }) => protocol !== 'dns')
  if (certificateFile === undefined || keyFile === undefined) {
    const missing = certificateFile === undefined ? 'tls.certificateFile' : 'tls.keyFile'
    const text = `listen[${encrypted}]: "${values.listen[encrypted]}"`
    if (encrypted !== -1) report(['listen', encrypted], `${text} needs ${missing}`)
    return
  }
  const [certificate, key] = TLS_FILES.map((path) => {
    const file = String(valueAt(values, path))
    return resolveFrom(file, layered.originOf(path), surroundings.workingDirectory)
  })
  if (unreadable(certificate!) || unreadable(key!)) return
  const read = readIdentity(certificate!, key!)
  if (isFault(read)) report(['tls', 'certificateFile'], `tls.certificateFile: ${read.fault}`)
}

function elementsAt({ tree }: Layered, path: KeyPath): readonly KeyPath[] {
  const list = valueAt(tree, path)
  return Array.isArray(list) ? list.map((_, index) => path.concat(index)) : []
}

function checkStateDirectory({ values, layered, surroundings, report }: Subject): void {
  const path = values.stateDirectory
  if (path === undefined) return
  const full = resolveFrom(
    path,
    layered.originOf(['stateDirectory']),
    surroundings.workingDirectory,
  )
  if (isNoDirectory(full)) report(['stateDirectory'], `stateDirectory: ${full} is not a directory`)
}

/** A path that the kernel cuts would be another path. */
function checkAdmin({ values, layered, surroundings, report }: Subject): void {
  const { socket } = values.admin
  if (socket === undefined || socket === 'off') return
  const path = ['admin', 'socket']
  const full = resolveFrom(socket, layered.originOf(path), surroundings.workingDirectory)
  const octets = Buffer.byteLength(full)
  if (octets <= SOCKET_PATH_OCTETS_MAX) return
  const limit = `a socket's path has at most ${SOCKET_PATH_OCTETS_MAX}`
  const message = `admin.socket: ${full} has ${octets} octets, ${limit}`
  report(path, message, 'name a shorter one, such as /run/niveau3/admin.sock')
}
