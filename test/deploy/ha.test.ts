/**
 * The recipe of deploy/ha as it stands there, on hosts of their own: its files are used word for
 * word, except for the places of programs, folders and passwords, and the upstream.
 */
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join as joinPath, resolve } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { join, lay, openHost, whyNoHosts } from '../support/network-hosts.ts'
import type { NetworkNamespace } from '../support/network-namespace.ts'
import type { Process } from '../support/processes.ts'
import { program } from '../support/programs.ts'
import { eventually } from '../support/redis.ts'

const RECIPE = resolve(import.meta.dirname, '../../deploy/ha')
const PROGRAM = resolve(import.meta.dirname, '../../dist/bin.js')
const CLIENT = resolve(import.meta.dirname, '../support/failover-client.mjs')

/** What the files of the recipe say. */
const SHARED = '10.20.0.53'
const SITE = '10.20.0.1'
const METRICS = 'http://127.0.0.1:9353/metrics'
const WITNESS = '10.20.0.60'
/** What the upstream says of every name. */
const OPEN = '198.18.9.9'

const PER_SECOND = 400
/** The bounds that hold on a loaded machine as well; deploy/ha/README.md has what was measured. */
const DEAD_BOX_MS_MAX = 5000
const DEAD_SERVER_MS_MAX = 10_000

const why = whyNoHosts()

let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(joinPath(tmpdir(), 'niveau3-ha-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

/** A file of the recipe in a folder of its own, with what belongs to this machine put in. */
async function lift(path: string, to: string): Promise<string> {
  await mkdir(to, { recursive: true })
  let text = await readFile(joinPath(RECIPE, path), 'utf8')
  const put = (what: RegExp, by: string): void => void (text = text.replaceAll(what, by))
  put(/\/var\/lib\/(niveau3|redis)/g, to)
  put(/\/etc\/(niveau3|redis|keepalived)\//g, `${to}/`)
  put(/\/usr\/bin\/dig/g, await program('dig'))
  // Folders of tests are not root's alone, which keepalived asks of scripts.
  put(/^ *(enable_script_security|script_user nobody)\n/gm, '')
  put(/^upstreams:.*$/gm, `upstreams: [${SITE}]\nworkers: 1`)
  const file = joinPath(to, path.split('/').at(-1)!)
  await writeFile(file, text)
  return file
}

async function liftCheck(to: string): Promise<string> {
  const file = await lift('check-niveau3', to)
  await chmod(file, 0o755)
  return file
}

async function liftServer(to: string): Promise<string> {
  for (const [name, secret] of [
    ['redis-password', 'CHANGE-niveau3'],
    ['sentinel-password', 'CHANGE-sentinels'],
    ['redis-secret', 'the same on both boxes, and long enough'],
  ] as const) {
    await mkdir(to, { recursive: true })
    await writeFile(joinPath(to, name), secret, { mode: 0o600 })
  }
  return lift('niveau3.yaml', to)
}

/** One of the two boxes, and what runs on it. */
class Box {
  readonly host: NetworkNamespace
  readonly address: string
  readonly #number: number
  readonly #folder: string
  readonly #running = new Map<string, Process>()

  constructor(host: NetworkNamespace, number: number) {
    this.host = host
    this.#number = number
    this.address = `10.20.0.5${number}`
    this.#folder = joinPath(folder, `box${number}`)
  }

  get keepalived(): Process {
    return this.#running.get('keepalived')!
  }

  async startRedis(): Promise<void> {
    await lift('users.acl', this.#folder)
    const redis = await program('redis-server')
    const conf = await lift(`box${this.#number}/redis.conf`, this.#folder)
    this.#running.set('redis', await this.host.start(redis, [conf], /Ready to accept/))
    const sentinel = await lift(`box${this.#number}/sentinel.conf`, this.#folder)
    const args = [sentinel, '--sentinel']
    this.#running.set('sentinel', await this.host.start(redis, args, /\+monitor/))
  }

  async serve(): Promise<void> {
    const sysctl = await readFile(joinPath(RECIPE, 'sysctl.conf'), 'utf8')
    const [, key, value] = /^(\S+) = (\d)$/m.exec(sysctl)!
    const file = `/proc/sys/${key!.replaceAll('.', '/')}`
    await this.host.run('sh', '-c', `echo ${value!} > ${file}`)
    const args = [PROGRAM, 'serve', '--config', await liftServer(this.#folder)]
    this.#running.set('niveau3', await this.host.start(process.execPath, args, /"event":"ready"/))
  }

  async keepAlive(ready: RegExp): Promise<void> {
    await liftCheck(this.#folder)
    const conf = await lift(`box${this.#number}/keepalived.conf`, this.#folder)
    const pids = ['-p', joinPath(this.#folder, 'parent.pid'), '-r', this.#vrrpPidFile]
    const args = ['-n', '-l', '-D', '-G', '-P', '-f', conf, ...pids]
    this.#running.set('keepalived', await this.host.start(await program('keepalived'), args, ready))
  }

  get #vrrpPidFile(): string {
    return joinPath(this.#folder, 'vrrp.pid')
  }

  async hasAddress(): Promise<boolean> {
    const ip = await program('ip')
    const { stdout } = await this.host.run(ip, '-o', 'address', 'show', 'dev', 'eth0')
    return stdout.includes(` ${SHARED}/`)
  }

  /** Whether its server uses Redis, as its own metrics tell. */
  async usesRedis(): Promise<boolean> {
    const look = `fetch('${METRICS}').then((r) => r.text()).then((t) => console.log(t))`
    const { stdout } = await this.host.run(process.execPath, '--eval', look)
    return /^niveau3_redis_up 1$/m.test(stdout)
  }

  async isRedisMaster(): Promise<boolean> {
    const user = ['--user', 'sentinel', '--pass', 'CHANGE-sentinel', '--no-auth-warning']
    const cli = await program('redis-cli')
    const { stdout } = await this.host.run(cli, '-h', this.address, ...user, 'role')
    return stdout.startsWith('master')
  }

  async killServer(): Promise<void> {
    await this.#running.get('niveau3')!.end('SIGKILL')
  }

  /** As when the power fails: nobody on it says goodbye. */
  async kill(): Promise<void> {
    const vrrp = Number(await readFile(this.#vrrpPidFile, 'utf8'))
    process.kill(vrrp, 'SIGKILL')
    await Promise.all([...this.#running.values()].map((one) => one.end('SIGKILL')))
    this.#running.clear()
    // The address dies with the box.
    await this.host.ip('address', 'flush', 'dev', 'eth0')
    await this.host.ip('address', 'add', `${this.address}/24`, 'dev', 'eth0')
  }
}

/** A resolver that blocks nothing: it gives every name the same address. */
async function startOpenResolver(host: NetworkNamespace): Promise<void> {
  const args = ['--conf-file=/dev/null', '--no-daemon', '--no-resolv', '--no-hosts', '--user=root']
  const more = ['--pid-file=', `--address=/#/${OPEN}`, '--log-facility=-']
  await host.start(await program('dnsmasq'), [...args, ...more], /started/)
}

interface Site {
  readonly network: NetworkNamespace
  readonly client: NetworkNamespace
  readonly boxes: readonly [Box, Box]
}

async function openSite(): Promise<Site> {
  const network = await openHost()
  const hosts = [await openHost(), await openHost(), await openHost(), await openHost()] as const
  const [one, two, witness, client] = hosts
  const ports: string[] = []
  for (const [index, address] of ['10.20.0.51', '10.20.0.52', WITNESS, '10.20.0.90'].entries()) {
    const port = `port${index + 1}`
    const far = { host: hosts[index]!, name: 'eth0', addresses: [`${address}/24`] }
    await lay({ host: network, name: port }, far)
    ports.push(port)
  }
  await join({ host: network, name: 'lan', addresses: [`${SITE}/24`] }, ports)
  await startOpenResolver(network)
  const boxes = [new Box(one, 1), new Box(two, 2)] as const
  for (const box of boxes) await box.startRedis()
  const sentinel = await lift('witness/sentinel.conf', joinPath(folder, 'witness'))
  await witness.start(await program('redis-server'), [sentinel, '--sentinel'], /\+sentinel/)
  return { network, client, boxes }
}

interface Report {
  readonly sent: number
  readonly answered: number
  readonly lost: number
  readonly errors: number
  readonly unfiltered: number
  readonly wrong: number
  readonly silenceMs: number
}

/** Asks the shared address while `work` breaks something, and a second before and after. */
async function underLoad(client: NetworkNamespace, work: () => Promise<void>): Promise<Report> {
  const args = [CLIENT, SHARED, String(PER_SECOND), 'torproject.org', 'open.example']
  const load = await client.start(process.execPath, args, /^asking/)
  await setTimeout(1000)
  await work()
  await setTimeout(1000)
  await load.end('SIGTERM')
  return JSON.parse(load.stdout().split('\n').at(-2)!) as Report
}

function say(what: string, report: Report, more = ''): void {
  const { silenceMs, sent, lost, errors } = report
  process.stdout.write(
    `${what}: silent for ${silenceMs} ms; of ${sent} questions at ${PER_SECOND} a second ` +
      `${lost} lost, ${errors} SERVFAIL, ${report.unfiltered} unfiltered${more}\n`,
  )
}

function expectFiltered(report: Report): void {
  expect(report.answered).toBeGreaterThan(PER_SECOND)
  expect(report).toMatchObject({ unfiltered: 0, wrong: 0 })
}

/** What is lost is what was asked in the silence, give or take a moment of a loaded machine. */
function expectLossesWithin(report: Report, silenceMsMax: number): void {
  expect(report.silenceMs).toBeLessThan(silenceMsMax)
  expect(report.lost + report.errors).toBeLessThan((silenceMsMax / 1000) * PER_SECOND)
}

/** What keepalived says of a configuration; its exit tells nothing (2.2.7 ends by SIGTERM). */
async function complaintsAbout(host: NetworkNamespace, text: string, to: string): Promise<string> {
  const conf = joinPath(to, 'keepalived.conf')
  await writeFile(conf, text)
  const { stdout, stderr } = await host.run(await program('keepalived'), '-t', '-f', conf)
  const said = stdout + stderr
  // In a namespace of another user no program belongs to root.
  return why === undefined ? said : said.replace(/^Disabling track script .* insecure\n/m, '')
}

const BECAME_MASTER = /Entering MASTER STATE/
const BECAME_BACKUP = /Entering BACKUP STATE/

describe('two boxes that share an address', () => {
  test('each file is one that its program takes', async () => {
    const host = await openHost()
    await host.ip('link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'far')
    for (const box of ['box1', 'box2']) {
      const to = joinPath(folder, `read-${box}`)
      await mkdir(to, { recursive: true })
      const text = await readFile(joinPath(RECIPE, box, 'keepalived.conf'), 'utf8')
      // The script's own place has to be root's alone; that of a test is not.
      const ours = text.replace('/etc/keepalived/check-niveau3', '/bin/true')
      expect(await complaintsAbout(host, ours, to)).toBe('')
      expect(await complaintsAbout(host, ours.replace('nopreempt', 'nopremption'), to)).toMatch(
        /Unknown keyword 'nopremption'/,
      )
      const check = [PROGRAM, 'config', 'check', await liftServer(to)]
      const checked = await host.run(process.execPath, ...check)
      expect(checked.code, checked.stdout + checked.stderr).toBe(0)
    }
  })

  test('the check believes the verdict alone', async () => {
    const host = await openHost()
    const openHanded = await openHost()
    const check = await liftCheck(joinPath(folder, 'check'))
    expect((await host.run(check)).code, 'nobody answers').not.toBe(0)
    await startOpenResolver(openHanded)
    expect((await openHanded.run(check)).code, 'an address').not.toBe(0)
    const listen = ['--listen', '127.0.0.1:53', '--upstream', '127.0.0.9', '--metrics', 'off']
    const args = [PROGRAM, 'serve', '--workers', '1', ...listen]
    await host.start(process.execPath, args, /"event":"ready"/)
    expect((await host.run(check)).code, 'blocked').toBe(0)
    expect((await host.run(check, 'open.example')).code, 'SERVFAIL').not.toBe(0)
  })

  test('a dead box, and a dead server, cost their clients seconds and no filter', async () => {
    if (why !== undefined) {
      process.emitWarning(`the files were read, and no box was killed: ${why}`)
      return
    }
    const { network, client, boxes } = await openSite()
    const [one, two] = boxes
    await one.serve()
    await one.keepAlive(BECAME_MASTER)
    await two.serve()
    await two.keepAlive(BECAME_BACKUP)
    await eventually('the replica follows', async () => !(await two.isRedisMaster()))
    for (const box of boxes) await eventually('Redis is shared', () => box.usesRedis())

    let redisMs = 0
    const deadBox = await underLoad(client, async () => {
      const diedMs = performance.now()
      await network.ip('link', 'set', 'port1', 'down')
      await one.kill()
      await two.keepalived.line(BECAME_MASTER)
      await eventually('Redis has a master again', () => two.isRedisMaster())
      redisMs = Math.round(performance.now() - diedMs)
    })
    say('a box dies', deadBox, `; Redis has its new master after ${redisMs} ms`)
    expectFiltered(deadBox)
    expectLossesWithin(deadBox, DEAD_BOX_MS_MAX)
    expect(await two.hasAddress()).toBe(true)
    await eventually('the server has found the new master', () => two.usesRedis())

    const back = await underLoad(client, async () => {
      await network.ip('link', 'set', 'port1', 'up')
      await one.startRedis()
      await one.serve()
      await one.keepAlive(BECAME_BACKUP)
      await eventually('the box that came back is a replica', async () => {
        return !(await one.isRedisMaster())
      })
    })
    say('it comes back', back)
    expectFiltered(back)
    expect(back.lost + back.errors).toBeLessThan(PER_SECOND / 2)
    expect([await one.hasAddress(), await two.hasAddress()]).toEqual([false, true])

    const deadServer = await underLoad(client, async () => {
      await two.killServer()
      await one.keepalived.line(BECAME_MASTER)
    })
    say('a server dies and nobody starts it again', deadServer)
    expectFiltered(deadServer)
    expectLossesWithin(deadServer, DEAD_SERVER_MS_MAX)
    expect([await one.hasAddress(), await two.hasAddress()]).toEqual([true, false])
  }, 300_000)
})
