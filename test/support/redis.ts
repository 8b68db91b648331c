/** Real Redis servers for the tests: plain, replicas, Sentinels and clusters, on free ports. */
import { createHash, hkdfSync, randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll } from 'vitest'
import { NodeGcm } from '../../src/dataplane/cache/node-gcm.ts'
import { Seal } from '../../src/dataplane/cache/seal.ts'
import { SharedKeys, createViewKey } from '../../src/dataplane/cache/shared-keys.ts'
import { VALUE_OCTETS_MAX } from '../../src/dataplane/cache/shared-value.ts'
import { answersOf, type Endpoint, type RedisSettings } from '../../src/dataplane/settings.ts'
import { freePort } from './ports.ts'
import { type Process, type Readiness, runToEnd, startProcess } from './processes.ts'
import { program } from './programs.ts'

/** What every server of the tests is told. */
const COMMON = ['--bind', '127.0.0.1', '--save', '', '--enable-debug-command', 'yes']
const READY: Readiness = { line: /Ready to accept connections/ }
const WAIT_MS_MAX = 30_000
const LOOK_MS = 25

const folders: string[] = []
afterAll(async () => {
  await Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true })))
})

/** A folder of its own, removed with the tests of the file. */
export async function ownFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'niveau3-redis-'))
  folders.push(folder)
  return folder
}

/** A running redis-server; ended with the tests of the file at the latest. */
export class RedisServer {
  readonly port: number
  readonly folder: string
  process: Process
  readonly #args: readonly string[]

  constructor(port: number, process: Process, args: readonly string[], folder: string) {
    this.port = port
    this.process = process
    this.#args = args
    this.folder = folder
  }

  /** `redis://127.0.0.1:PORT`. */
  get url(): string {
    return `redis://127.0.0.1:${this.port}`
  }

  /** Runs one command through redis-cli and returns what it prints. */
  cli(...args: readonly string[]): Promise<string> {
    return redisCli(this.port, args)
  }

  /** Starts it again, on its port and with its arguments, after it has ended. */
  async restart(more: readonly string[] = [], ready: Readiness = READY): Promise<void> {
    this.process = await launch(this.port, [...this.#args, ...more], this.folder, ready)
  }

  async kill(): Promise<void> {
    await this.process.end('SIGKILL')
  }
}

/** Runs one command through redis-cli; a reply that is an error rejects. */
export async function redisCli(
  port: number,
  args: readonly string[],
  input?: string,
): Promise<string> {
  const cli = await program('redis-cli')
  const where = ['-e', '-h', '127.0.0.1', '-p', String(port)]
  const options = input === undefined ? {} : { input }
  const { stdout, stderr, code } = await runToEnd(cli, [...where, ...args], options)
  if (code !== 0) throw new Error(`redis-cli ${args.join(' ')}: ${stdout}${stderr}`)
  return stdout.trimEnd()
}

/** Starts a server without persistence. */
export async function startRedis(
  args: readonly string[] = [],
  port?: number,
): Promise<RedisServer> {
  const folder = await ownFolder()
  const own = port ?? (await freePort())
  return new RedisServer(own, await launch(own, args, folder, READY), args, folder)
}

async function launch(
  port: number,
  args: readonly string[],
  folder: string,
  ready: Readiness,
): Promise<Process> {
  const server = await program('redis-server')
  return startProcess(server, ['--port', String(port), '--dir', folder, ...COMMON, ...args], {
    ready,
  })
}

/** Looks again and again until `condition` holds: another process tells nobody of its state. */
export async function eventually(
  what: string,
  condition: () => Promise<boolean>,
  waitMs = WAIT_MS_MAX,
): Promise<void> {
  const endMs = Date.now() + waitMs
  while (!(await condition().catch(() => false))) {
    if (Date.now() > endMs) throw new Error(`not within ${waitMs} ms: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS))
  }
}

/** A master with a replica and three Sentinels that watch them as `mymaster`. */
export async function startSentinels(): Promise<{
  readonly servers: readonly [RedisServer, RedisServer]
  readonly sentinelPorts: readonly number[]
}> {
  const master = await startRedis()
  const replica = await startRedis(['--replicaof', '127.0.0.1', String(master.port)])
  const sentinelPorts: number[] = []
  for (let index = 0; index < 3; index++) {
    const port = await freePort()
    const folder = await ownFolder()
    const file = join(folder, 'sentinel.conf')
    const lines = [
      `port ${port}`,
      'bind 127.0.0.1',
      `dir ${folder}`,
      `sentinel monitor mymaster 127.0.0.1 ${master.port} 2`,
      'sentinel down-after-milliseconds mymaster 500',
      'sentinel failover-timeout mymaster 3000',
      'sentinel parallel-syncs mymaster 1',
    ]
    await writeFile(file, `${lines.join('\n')}\n`)
    await startProcess(await program('redis-server'), [file, '--sentinel'], {
      ready: { tcpPort: port },
    })
    sentinelPorts.push(port)
  }
  await eventually('the Sentinels know each other and the replica', async () => {
    for (const port of sentinelPorts) {
      const text = await redisCli(port, ['sentinel', 'master', 'mymaster'])
      const lines = text.split('\n')
      if (lines[lines.indexOf('num-other-sentinels') + 1] !== '2') return false
      if (lines[lines.indexOf('num-slaves') + 1] !== '1') return false
    }
    const info = await master.cli('info', 'replication')
    return info.includes('state=online')
  })
  return { servers: [master, replica], sentinelPorts }
}

/** Three masters that share the slots. */
export async function startCluster(args: readonly string[] = []): Promise<readonly RedisServer[]> {
  const nodes: RedisServer[] = []
  for (let index = 0; index < 3; index++) {
    const cluster = ['--cluster-enabled', 'yes', '--cluster-node-timeout', '2000']
    nodes.push(await startRedis([...cluster, ...args], await clusterPort()))
  }
  const where = nodes.map(({ port }) => `127.0.0.1:${port}`)
  const cli = await program('redis-cli')
  const made = await runToEnd(cli, ['--cluster', 'create', ...where, '--cluster-yes'])
  if (made.code !== 0) throw new Error(`no cluster: ${made.stdout}${made.stderr}`)
  await eventually('all nodes say that the cluster is whole', async () => {
    for (const node of nodes) {
      if (!(await node.cli('cluster', 'info')).includes('cluster_state:ok')) return false
    }
    return true
  })
  return nodes
}

/** A port whose bus port, 10,000 above, is free as well. */
async function clusterPort(): Promise<number> {
  for (;;) {
    const port = await freePort()
    if (port + 10_000 <= 65_535) return port
  }
}

/** What a worker is told about a server, with a secret of this test run. */
export function redisSettings(
  server: { readonly port: number },
  options: Partial<RedisSettings> = {},
): RedisSettings {
  return {
    deployment: 'single',
    nodes: [{ host: '127.0.0.1', port: server.port }],
    tls: false,
    ca: undefined,
    username: undefined,
    password: undefined,
    database: 0,
    sentinelName: '',
    sentinelPassword: undefined,
    prefix: 'niveau3:',
    // Other tests share the processor: what is not about time shall not depend on it.
    hedgeMs: 5000,
    timeoutMs: 5000,
    hotNames: 0,
    secret: SECRET,
    keyOfKeys: KEY_OF_KEYS,
    ...options,
  }
}

const SECRET = randomBytes(32)
const KEY_OF_KEYS = createHash('sha256').update(SECRET).digest()

/** How boxes with this key name the answers of one upstream in clear. */
export function keysOf(
  { keyOfKeys, prefix }: Pick<RedisSettings, 'keyOfKeys' | 'prefix'>,
  { address, port }: Endpoint,
  trustsAd: boolean,
): SharedKeys {
  const view = answersOf({
    upstreams: [{ protocol: 'udp', address, port, serverName: '', path: '', label: '' }],
    forward: { trustsAd: [trustsAd], clientSubnet: new Uint8Array(0) },
    upstreamAuthorities: undefined,
  })
  return new SharedKeys(createViewKey(keyOfKeys, view), prefix)
}

/**
 * The text of a secret file, and what boxes with that file derive: names, of what that upstream on
 * loopback answers, and seals of values.
 */
export function makeSecret(upstream: Endpoint): {
  readonly text: string
  readonly keys: SharedKeys
  readonly seal: Seal
} {
  const text = randomBytes(32).toString('base64')
  const derive = (purpose: string): Uint8Array =>
    new Uint8Array(hkdfSync('sha256', text, '', `niveau3 redis ${purpose}`, 32))
  return {
    text,
    keys: keysOf({ keyOfKeys: derive('keys'), prefix: 'niveau3:' }, upstream, true),
    seal: answersSeal(derive('values')),
  }
}

/** What boxes under this secret seal their answers with. */
export function answersSeal(secret: Uint8Array): Seal {
  return new Seal(secret, 'niveau3 answers', new NodeGcm(VALUE_OCTETS_MAX))
}

/** The cache key of a question: name, type, DO and CD. */
export function cacheKey(name: string, type = 1, flags = 0): string {
  const labels = name.split('.').map((label) => String.fromCharCode(label.length) + label)
  return `${labels.join('')}\0${String.fromCharCode(type >> 8, type & 0xff, flags)}`
}
