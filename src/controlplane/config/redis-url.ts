/**
 * Where the shared cache is, as operators write it: one URL for a server, for Sentinels or for a
 * cluster. Faults never repeat the text, because it may hold a password.
 */
import type { RedisNode, RedisSettings } from '../../dataplane/settings.ts'
import type { Fault } from './addresses.ts'

/** What a URL says. */
export interface RedisAddress {
  readonly deployment: RedisSettings['deployment']
  readonly tls: boolean
  readonly nodes: readonly RedisNode[]
  readonly username: string | undefined
  readonly password: string | undefined
  readonly database: number
  readonly sentinelName: string
}

const SCHEME = /^(rediss?)(?:\+(sentinel|cluster))?:\/\//
const PORT_REDIS = 6379
const PORT_SENTINEL = 26_379
const NODES_MAX = 64
const DATABASE_MAX = 1_000_000
const HOST = /^[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?$/i
const FORMS =
  'write redis://HOST[:6379][/DATABASE], redis+sentinel://HOST[:26379],…/NAME or ' +
  'redis+cluster://HOST[:6379],…; rediss for TLS; USER:PASSWORD@ before the host'

/** Parses a URL; percent signs in user and password are decoded. */
export function parseRedisUrl(text: string): RedisAddress | Fault {
  const scheme = SCHEME.exec(text)
  if (scheme === null) return { fault: 'is not a URL of Redis', suggestion: FORMS }
  const deployment = scheme[2] === 'sentinel' || scheme[2] === 'cluster' ? scheme[2] : 'single'
  const rest = text.slice(scheme[0].length)
  const slash = rest.lastIndexOf('@') + 1 + rest.slice(rest.lastIndexOf('@') + 1).indexOf('/')
  const hasPath = rest.slice(rest.lastIndexOf('@') + 1).includes('/')
  const authority = hasPath ? rest.slice(0, slash) : rest
  const path = hasPath ? rest.slice(slash + 1) : ''
  const at = authority.lastIndexOf('@')
  const user = parseUser(at === -1 ? '' : authority.slice(0, at))
  if ('fault' in user) return user
  const defaultPort = deployment === 'sentinel' ? PORT_SENTINEL : PORT_REDIS
  const nodes = parseNodes(authority.slice(at + 1), defaultPort)
  if ('fault' in nodes) return nodes
  if (deployment === 'single' && nodes.nodes.length > 1) {
    return { fault: 'names several servers', suggestion: FORMS }
  }
  const target = parsePath(path, deployment)
  if ('fault' in target) return target
  return { deployment, tls: scheme[1] === 'rediss', ...nodes, ...user, ...target }
}

/** The URL with its password hidden, to be shown. */
export function withoutPassword(text: string): string {
  return text.replace(/(:\/\/[^:@/]*:).*(@)/, '$1***$2')
}

function parseUser(
  text: string,
): { username: string | undefined; password: string | undefined } | Fault {
  const colon = text.indexOf(':')
  const [name, word] = colon === -1 ? [text, ''] : [text.slice(0, colon), text.slice(colon + 1)]
  try {
    return {
      username: decodeURIComponent(name) || undefined,
      password: decodeURIComponent(word) || undefined,
    }
  } catch {
    return {
      fault: 'has a percent sign in user or password that begins no code',
      suggestion: 'write % as %25, or use passwordFile',
    }
  }
}

function parseNodes(text: string, defaultPort: number): { nodes: RedisNode[] } | Fault {
  const nodes: RedisNode[] = []
  for (const part of text.split(',')) {
    const match = /^(?:\[([0-9a-f:.]+)\]|([^:[\]]*))(?::(\d{1,5}))?$/i.exec(part)
    const host = match?.[1] ?? match?.[2] ?? ''
    const port = match?.[3] === undefined ? defaultPort : Number(match[3])
    const isHost = match?.[1] !== undefined || HOST.test(host)
    if (match === null || !isHost || port < 1 || port > 65_535) {
      return { fault: 'has a host or port that is none', suggestion: FORMS }
    }
    nodes.push({ host, port })
  }
  if (nodes.length > NODES_MAX) return { fault: `names more than ${NODES_MAX} servers` }
  return { nodes }
}

function parsePath(
  path: string,
  deployment: RedisAddress['deployment'],
): { database: number; sentinelName: string } | Fault {
  const parts = path === '' ? [] : path.split('/')
  const sentinelName = deployment === 'sentinel' ? (parts.shift() ?? '') : ''
  if (deployment === 'sentinel' && !/^[\w.-]+$/.test(sentinelName)) {
    return {
      fault: 'does not name the group that the Sentinels watch',
      suggestion: 'write redis+sentinel://HOST,…/NAME, such as …/mymaster',
    }
  }
  const [database = '0', ...more] = parts
  if (!/^\d{1,7}$/.test(database) || Number(database) > DATABASE_MAX || more.length > 0) {
    return { fault: 'has a path that is no database number', suggestion: FORMS }
  }
  if (deployment === 'cluster' && database !== '0') {
    return { fault: 'names a database: a cluster has one only' }
  }
  return { database: Number(database), sentinelName }
}
