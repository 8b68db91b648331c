/**
 * The HTTP client of list downloads: proxies from the environment, certificates checked, and no
 * connection to a private address unless the operator allows it. The check is made on the address
 * that is connected to, so that a name cannot change its mind between check and connection.
 */

import { lookup as systemLookup, type LookupAddress } from 'node:dns'
import { isIP, type LookupFunction } from 'node:net'
import type { buildConnector, Dispatcher } from 'undici'

import { SECOND_MS } from '../../../base/units.ts'
import { isPublicAddress } from './public-address.ts'

const CONNECT_MS_MAX = 15 * SECOND_MS
/** A server that says nothing for so long will not say anything. */
const SILENCE_MS_MAX = 30 * SECOND_MS

/** Why a connection was not made. */
export class PrivateAddressError extends Error {
  constructor(host: string, address: string) {
    const where = host === address ? host : `${host} (${address})`
    super(`${where} is a private or special address; allow it with --allow-private if it is yours`)
    this.name = 'PrivateAddressError'
  }
}

/** What `createClient` is told about where it may connect to. */
export interface ClientOptions {
  readonly allowPrivate: boolean
  /** The one host, a literal address, that the operator has written himself. */
  readonly trustedHost: string | undefined
  readonly environment: Readonly<Record<string, string | undefined>>
}

/** Makes a client for one list; `close` it afterwards. Loads undici when it is first called. */
export async function createClient(options: ClientOptions): Promise<Dispatcher> {
  const { Agent, EnvHttpProxyAgent, buildConnector: build } = await import('undici')
  const timeouts = { headersTimeout: SILENCE_MS_MAX, bodyTimeout: SILENCE_MS_MAX }
  const connect = options.allowPrivate
    ? build({ timeout: CONNECT_MS_MAX })
    : guarded(build({ timeout: CONNECT_MS_MAX, lookup: publicLookup }), options.trustedHost)
  const { environment } = options
  const variable = (name: string) => environment[name] || environment[name.toUpperCase()] || ''
  const [httpProxy, httpsProxy] = [variable('http_proxy'), variable('https_proxy')]
  if (httpProxy === '' && httpsProxy === '') return new Agent({ ...timeouts, connect })
  const noProxy = variable('no_proxy')
  return new EnvHttpProxyAgent({ ...timeouts, connect, httpProxy, httpsProxy, noProxy })
}

/** `net.connect` asks no resolver for a literal address: that is checked here. */
function guarded(
  connect: buildConnector.connector,
  trustedHost: string | undefined,
): buildConnector.connector {
  return (options, callback) => {
    const host = bareHost(options.hostname)
    if (isIP(host) !== 0 && host !== trustedHost && !isPublicAddress(host)) {
      callback(new PrivateAddressError(host, host), null)
      return
    }
    connect(options, callback)
  }
}

/** A resolver that gives public addresses only. */
const publicLookup: LookupFunction = (hostname, options, callback) => {
  systemLookup(hostname, { ...options, all: true }, (error, addresses: LookupAddress[]) => {
    if (error) {
      callback(error, '')
      return
    }
    const open = addresses.filter(({ address }) => isPublicAddress(address))
    const [first] = open
    if (first === undefined) {
      callback(new PrivateAddressError(hostname, addresses[0]?.address ?? 'no address'), '')
    } else if (options.all === true) {
      callback(null, open)
    } else {
      callback(null, first.address, first.family)
    }
  })
}

/** The host of a URL without the brackets of IPv6. */
export function bareHost(hostname: string): string {
  return hostname.replace(/^\[(.*)\]$/, '$1')
}
