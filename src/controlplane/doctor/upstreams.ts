/** Do the upstreams answer, and how fast? */

import { randomInt } from 'node:crypto'
import { connect as connectTls } from 'node:tls'
import { SECOND_MS } from '../../base/units.ts'
import type { UpstreamSettings } from '../../dataplane/settings.ts'
import { encodeQuery, exchange } from '../cli/dns-exchange.ts'
import { systemCode } from '../config/plain.ts'
import { failed, fine, warning, type Finding } from './finding.ts'

/** The root: every resolver knows its servers. */
const ROOT = new Uint8Array([0])
const TYPE_NS = 2
const SLOW_MS = 500
const TLS_MS_MAX = 5 * SECOND_MS
const RCODE_MASK = 0xf
const PROBES = 3

/** Asks each upstream three times. */
export async function lookAtUpstreams(
  upstreams: readonly UpstreamSettings[],
): Promise<readonly Finding[]> {
  if (upstreams.length === 0) {
    return [
      failed(
        'upstream',
        'no upstream is configured, and resolv.conf names none but ourselves',
        'name at least two in niveau3.yaml: upstreams: ["tls://dns.quad9.net@9.9.9.9"]',
      ),
    ]
  }
  return Promise.all(upstreams.map(lookAtUpstream))
}

async function lookAtUpstream(upstream: UpstreamSettings): Promise<Finding> {
  const isEncrypted = upstream.protocol === 'tls' || upstream.protocol === 'https'
  try {
    const times: number[] = []
    for (let probe = 0; probe < PROBES; probe++) {
      times.push(await (isEncrypted ? handshake(upstream) : ask(upstream)))
    }
    const best = Math.min(...times)
    const what = `${upstream.label} ${isEncrypted ? 'proves its certificate' : 'answers'} in `
    const text = `${what}${best.toFixed(1)} ms (best of ${PROBES})`
    if (best < SLOW_MS) return fine('upstream', text)
    return warning('upstream', text, 'choose one that is nearer, or add one beside it')
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    return failed(
      'upstream',
      `${upstream.label} does not answer: ${message}`,
      isEncrypted
        ? 'let 853 or 443 out to it in the firewall, and compare the name before the @ with its certificate'
        : 'let 53 over UDP and TCP out to it in the firewall; "niveau3 query" asks it once more',
    )
  }
}

async function ask({ protocol, address, port }: UpstreamSettings): Promise<number> {
  const query = encodeQuery(ROOT, TYPE_NS)
  query.writeUInt16BE(randomInt(0x10000))
  const way = protocol === 'tcp' ? 'tcp' : 'udp'
  const { octets, milliseconds } = await exchange({ address, port }, query, way)
  const rcode = (octets[3] ?? 0) & RCODE_MASK
  if (rcode !== 0) throw new Error(`its answer is an error (rcode ${rcode})`)
  return milliseconds
}

/** TCP, TLS and the proof of the name; resolves with the time that it took. */
function handshake({ address, port, serverName }: UpstreamSettings): Promise<number> {
  const startedMs = performance.now()
  return new Promise((resolve, reject) => {
    const socket = connectTls({ host: address, port, servername: serverName })
    socket.setTimeout(TLS_MS_MAX, () => socket.destroy(new Error('no handshake within 5 s')))
    socket.once('secureConnect', () => {
      resolve(performance.now() - startedMs)
      socket.destroy()
    })
    socket.once('error', (error) => {
      const code = systemCode(error)
      reject(code === '' ? error : new Error(code, { cause: error }))
    })
  })
}
