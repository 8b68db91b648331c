/** Real Redis servers for the tests: plain, replicas, Sentinels and clusters, on free ports. */
import { createHash, randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { RedisSettings } from '../../src/dataplane/settings.ts'
import { freePort } from './ports.ts'
import { type Process, runToEnd, startProcess } from './processes.ts'
import { program } from './programs.ts'

export interface RedisOptions {
  /** Further lines of its configuration, as arguments: `['--maxmemory', '2mb']`. */
  readonly args?: readonly string[]
  readonly port?: number
}

/** A running redis-server; ended with the tests of the file at the latest. */
export class RedisServer {
  readonly port: number
  process: Process
  readonly #args: readonly string[]
  readonly #folder: string

  constructor(port: number, process: Process, args: readonly string[], folder: string) {
    this.port = port
    this.process = process
    this.#args = args
    this.#folder = folder
  }

  /** `127.0.0.1:PORT`. */
  get endpoint(): string {
    return `127.0.0.1:${this.port}`
  }

  /** Runs one command through redis-cli and returns what it prints. */
  async cli(...args: readonly string[]): Promise<string> {
    return redisCli(this.port, args)
  }

  /** Starts it again on its port after it has ended. */
  async restart(args: readonly string[] = this.#args): Promise<void> {
    this.process = await launch(this.port, args, this.#folder)
  }

  async kill(): Promise<void> {
    await this.process.end('SIGKILL')
  }
}

/** Runs one command through redis-cli; a reply that is an error rejects. */
export async function redisCli(port: number, args: readonly string[]): Promise<string> {
  const cli = await program('redis-cli')
  const { stdout, code } = await runToEnd(cli, [
    '-e',
    '-h',
    '127.0.0.1',
    '-p',
    String(port),
    ...args,
  ])
  if (code !== 0) throw new Error(`redis-cli ${args.join(' ')}: ${stdout}`)
  return stdout.trimEnd()
}

/** Starts a server without persistence. */
export async function startRedis(options: RedisOptions = {}): Promise<RedisServer> {
  const port = options.port ?? (await freePort())
  const args = options.args ?? []
  const folder = await mkdtemp(join(tmpdir(), 'niveau3-redis-'))
  return new RedisServer(port, await launch(port, args, folder), args, folder)
}

async function launch(port: number, args: readonly string[], folder: string): Promise<Process> {
  const server = await program('redis-server')
  const own = ['--port', String(port), '--bind', '127.0.0.1', '--dir', folder, '--save', '']
  return startProcess(server, [...own, ...args], {
    cleanUp: () => rm(folder, { recursive: true, force: true }),
    ready: { line: /Ready to accept connections|Running mode=sentinel|monitor master/ },
  })
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
    hedgeMs: 2000,
    timeoutMs: 2000,
    hotNames: 0,
    secret: SECRET,
    keyOfKeys: createHash('sha256').update(SECRET).digest(),
    ...options,
  }
}

const SECRET = randomBytes(32)
