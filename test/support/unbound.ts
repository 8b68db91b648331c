/**
 * A real Unbound on a loopback port, as the upstream of integration tests.
 *
 * It is a full recursive resolver whose only source is a zone file for the root (an `auth-zone`
 * used for upstream, RFC 8806), so that names resolve, chains are followed, negative answers carry
 * their SOA, TTLs age and large answers are truncated as everywhere, and no packet leaves the
 * machine.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Identity } from './certificates.ts'
import { freePort } from './ports.ts'
import { type Process, startProcess } from './processes.ts'
import { program } from './programs.ts'

/** Octets of one character-string in a TXT record (RFC 1035 3.3.14). */
const STRING_OCTETS_MAX = 255

/** Serial, refresh, retry, expire and, last, the TTL of negative answers (RFC 2308 4). */
const SOA = 'ns.zone.example. hostmaster.zone.example. 2026010101 3600 600 86400 60'

function txtOfOctets(octets: number): string {
  const strings: string[] = []
  for (let rest = octets; rest > 0; rest -= STRING_OCTETS_MAX) {
    strings.push(`"${'x'.repeat(Math.min(rest, STRING_OCTETS_MAX))}"`)
  }
  return strings.join(' ')
}

/** What the upstream knows; every other name is NXDOMAIN with the root's SOA. */
export const ZONE = `
. 86400 IN SOA ${SOA}
. 86400 IN NS ns.zone.example.
ns.zone.example. 86400 IN A 127.0.0.1

; Plain data.
example.com. 300 IN A 192.0.2.1
example.com. 300 IN AAAA 2001:db8::1
example.com. 300 IN MX 10 mail.example.com.
example.com. 300 IN MX 20 backup.example.com.
example.com. 300 IN TXT "v=spf1 -all"
mail.example.com. 300 IN A 192.0.2.25
www.example.com. 300 IN A 192.0.2.80
www.example.com. 300 IN AAAA 2001:db8::80
short.example.com. 1 IN A 192.0.2.2
zero.example.com. 0 IN A 192.0.2.3
many.example.com. 300 IN A 192.0.2.11
many.example.com. 300 IN A 192.0.2.12
many.example.com. 300 IN A 192.0.2.13
*.wild.example.com. 300 IN A 192.0.2.99
onlysix.example.com. 300 IN AAAA 2001:db8::6

; Chains: one alias, three aliases, an alias to nothing, a loop, a redirected subtree.
alias.example.com. 300 IN CNAME www.example.com.
chain1.example.com. 300 IN CNAME chain2.example.com.
chain2.example.com. 200 IN CNAME chain3.example.com.
chain3.example.com. 100 IN CNAME www.example.com.
dangling.example.com. 300 IN CNAME nowhere.example.com.
loop1.example.com. 300 IN CNAME loop2.example.com.
loop2.example.com. 300 IN CNAME loop1.example.com.
old.example.com. 300 IN DNAME example.com.

; Larger than any UDP answer of ours, and just larger than 512 octets.
large.example.com. 300 IN TXT ${txtOfOctets(4000)}
medium.example.com. 300 IN TXT ${txtOfOctets(700)}

; Newer and unknown types (RFC 9460, RFC 3597).
svc.example.com. 300 IN HTTPS 1 . alpn=h2,h3 ipv4hint=192.0.2.81
svc.example.com. 300 IN A 192.0.2.81
unknown.example.com. 300 IN TYPE666 \\# 4 DEADBEEF

; Octets that are not letters.
_service._tcp.example.com. 300 IN SRV 0 5 443 www.example.com.
xn--caf-dma.example.com. 300 IN A 192.0.2.7
`

export interface UnboundOptions {
  /** Records in master file format, read after `ZONE`. */
  readonly records?: string
  /** Forwards everything there and knows nothing itself. */
  readonly forwardTo?: { readonly address: string; readonly port: number }
  /** False: `questions()` stays empty, and floods cost no memory here. Default true. */
  readonly logQueries?: boolean
  /** With it it answers over TLS and HTTPS too, each on a port of its own. */
  readonly identity?: Identity
}

/** A running Unbound. */
export interface Unbound {
  readonly address: '127.0.0.1'
  readonly port: number
  /** `127.0.0.1:PORT`, as command lines take it. */
  readonly endpoint: string
  /** Where it answers over TLS and HTTPS, with an identity. */
  readonly tlsPort: number
  readonly httpsPort: number
  readonly process: Process
  /** The questions that reached it, as `name. TYPE CLASS`, oldest first. */
  questions(): string[]
  stop(): Promise<void>
}

interface Ports {
  readonly port: number
  readonly tlsPort: number
  readonly httpsPort: number
}

function encryption(identity: Identity, { tlsPort, httpsPort }: Ports): string {
  return `
  interface: 127.0.0.1@${tlsPort}
  tls-port: ${tlsPort}
  interface: 127.0.0.1@${httpsPort}
  https-port: ${httpsPort}
  tls-service-pem: "${identity.certificateFile}"
  tls-service-key: "${identity.keyFile}"`
}

function configuration(
  folder: string,
  ports: Ports,
  { forwardTo, identity, logQueries }: UnboundOptions,
): string {
  return `
server:
  interface: 127.0.0.1
  port: ${ports.port}${identity === undefined ? '' : encryption(identity, ports)}
  directory: "${folder}"
  username: ""
  chroot: ""
  pidfile: ""
  logfile: ""
  use-syslog: no
  verbosity: 1
  log-queries: ${logQueries === false ? 'no' : 'yes'}
  do-daemonize: no
  num-threads: 1
  so-reuseport: no
  module-config: "iterator"
  access-control: 127.0.0.0/8 allow
  do-not-query-localhost: ${forwardTo === undefined ? 'yes' : 'no'}
  do-ip6: no
  qname-minimisation: no
  minimal-responses: no
  rrset-roundrobin: no
  unblock-lan-zones: yes
  max-udp-size: 4096
  edns-buffer-size: 1232
  cache-max-ttl: 86400
  msg-cache-size: 4m
  rrset-cache-size: 4m
  outgoing-range: 64
  num-queries-per-thread: 64
  incoming-num-tcp: 200
remote-control:
  control-enable: no
${forwardTo === undefined ? authZone(folder) : forwardZone(forwardTo)}
`
}

function authZone(folder: string): string {
  return `auth-zone:
  name: "."
  zonefile: "${join(folder, 'root.zone')}"
  for-downstream: no
  for-upstream: yes
  fallback-enabled: no`
}

function forwardZone({ address, port }: { address: string; port: number }): string {
  return `forward-zone:
  name: "."
  forward-addr: ${address}@${port}`
}

/** Starts an Unbound on a free port; it is ended with the tests of the file at the latest. */
export async function startUnbound(options: UnboundOptions = {}): Promise<Unbound> {
  const folder = await mkdtemp(join(tmpdir(), 'niveau3-unbound-'))
  const [port, tlsPort, httpsPort] = [await freePort(), await freePort(), await freePort()]
  await writeFile(join(folder, 'root.zone'), `${ZONE}\n${options.records ?? ''}\n`)
  await writeFile(
    join(folder, 'unbound.conf'),
    configuration(folder, { port, tlsPort, httpsPort }, options),
  )
  const child = await startProcess(
    await program('unbound'),
    ['-d', '-c', join(folder, 'unbound.conf')],
    {
      ready: { line: /start of service/ },
      cleanUp: () => rm(folder, { recursive: true, force: true }),
    },
  )
  return {
    address: '127.0.0.1',
    port,
    endpoint: `127.0.0.1:${port}`,
    tlsPort,
    httpsPort,
    process: child,
    questions: () => questionsOf(child.stderr()),
    stop: async () => {
      await child.end()
    },
  }
}

function questionsOf(log: string): string[] {
  const matches = log.matchAll(/ info: 127\.0\.0\.1 (\S+ \S+ \S+)$/gm)
  return [...matches].map((match) => match[1] ?? '')
}
