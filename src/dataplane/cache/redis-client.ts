/**
 * Makes the connection to Redis that the configuration describes: one server, Sentinel or Cluster.
 * Only here are ioredis options written.
 *
 * What is switched off matters as much: no command waits in a queue of ioredis for a connection, is
 * sent again, or asks what our ACL rule does not allow (no INFO, no CLIENT, no HELLO).
 */
import { Cluster, Redis, type ClusterOptions, type RedisOptions } from 'ioredis'
import type { RedisSettings } from '../settings.ts'

/** A connection that has sent something and hears nothing for this long is closed. */
const SILENT_MS_MAX = 1000
/** For TCP and TLS to come about. */
const CONNECT_MS_MAX = 2000
/** Closing waits this long for what was written to leave. */
const CLOSE_MS_MAX = 100
/** A cluster's map of slots: how long to wait for it, and how often it is read anew. */
const SLOTS_MS_MAX = 1000
const SLOTS_REFRESH_MS = 5000
const REDIRECTIONS_MAX = 3

export type RedisClient = Redis | Cluster

/** Returns a client that connects at once; `retryMs` says how long to wait before a further try. */
export function createClient(settings: RedisSettings, retryMs: () => number): RedisClient {
  const options = createOptions(settings)
  const [first] = settings.nodes
  switch (settings.deployment) {
    case 'cluster':
      return new Cluster([...settings.nodes], createClusterOptions(options, retryMs))
    case 'sentinel':
      return new Redis({
        ...options,
        db: settings.database,
        sentinels: [...settings.nodes],
        name: settings.sentinelName,
        ...(settings.sentinelPassword !== undefined && {
          sentinelPassword: settings.sentinelPassword,
        }),
        ...(options.tls && { sentinelTLS: options.tls, enableTLSForSentinelMode: true }),
        sentinelCommandTimeout: SILENT_MS_MAX,
        sentinelRetryStrategy: retryMs,
        retryStrategy: retryMs,
      })
    default:
      return new Redis({
        ...options,
        db: settings.database,
        host: first!.host,
        port: first!.port,
        retryStrategy: retryMs,
      })
  }
}

function createOptions(settings: RedisSettings): RedisOptions {
  const { username, password, ca, tls } = settings
  return {
    ...(username !== undefined && { username }),
    ...(password !== undefined && { password }),
    ...(tls && { tls: ca === undefined ? {} : { ca } }),
    connectTimeout: CONNECT_MS_MAX,
    socketTimeout: SILENT_MS_MAX,
    disconnectTimeout: CLOSE_MS_MAX,
    enableReadyCheck: false,
    enableOfflineQueue: false,
    disableClientInfo: true,
    autoResendUnfulfilledCommands: false,
    // Its own subscribing again would reject with nobody to hear it when the connection goes.
    autoResubscribe: false,
    maxRetriesPerRequest: 0,
  }
}

function createClusterOptions(redisOptions: RedisOptions, retryMs: () => number): ClusterOptions {
  return {
    redisOptions,
    enableOfflineQueue: false,
    enableReadyCheck: false,
    enableAutoPipelining: true,
    scaleReads: 'master',
    clusterRetryStrategy: retryMs,
    maxRedirections: REDIRECTIONS_MAX,
    retryDelayOnFailover: 0,
    retryDelayOnClusterDown: 0,
    retryDelayOnTryAgain: 0,
    slotsRefreshTimeout: SLOTS_MS_MAX,
    slotsRefreshInterval: SLOTS_REFRESH_MS,
    // Names of nodes are addresses, or resolve as the first ones did; TLS checks the name itself.
    dnsLookup: (address, callback) => callback(null, address),
  }
}
