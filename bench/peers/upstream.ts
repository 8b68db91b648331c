/** The one upstream of all servers: it answers everything, at once, and counts. */
import { readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { freePort } from '../../test/support/ports.ts'
import { program } from '../../test/support/programs.ts'
import { UPSTREAM_ADDRESS, askAll } from './ask.ts'
import { type Child, startPinned } from './children.ts'
import { hasCompiler, native } from './native.ts'

const COUNTER_OCTETS = 8

/** A running upstream. */
export interface Upstream {
  readonly port: number
  /** What answers. */
  readonly title: string
  /** Questions that reached it so far; undefined where it does not count. */
  questions(): number | undefined
  stop(): Promise<void>
}

/** Starts the C upstream, or, without a compiler, an Unbound with one wildcard record. */
export async function startUpstream(folder: string, cpu: number): Promise<Upstream> {
  const port = await freePort()
  const upstream = (await hasCompiler())
    ? await startResponder(folder, port, cpu)
    : await startUnbound(folder, port, cpu)
  const [said] = await askAll(port, ['upstream.example'])
  if (said?.verdict !== 'answered') throw new Error('the upstream does not answer')
  return upstream
}

async function startResponder(folder: string, port: number, cpu: number): Promise<Upstream> {
  const counter = join(folder, 'questions')
  const args = ['answer', String(port), counter]
  const child = startPinned({ program: await native('responder'), args }, cpu)
  return {
    port,
    title: 'C, recvmmsg/sendmmsg',
    questions: () => {
      const octets = readFileSync(counter)
      return octets.length === COUNTER_OCTETS ? Number(octets.readBigUInt64LE(0)) : undefined
    },
    stop: () => stop(child),
  }
}

async function startUnbound(folder: string, port: number, cpu: number): Promise<Upstream> {
  const file = join(folder, 'upstream.conf')
  const text = `
server:
  directory: "${folder}"
  interface: 127.0.0.1
  port: ${port}
  username: ""
  chroot: ""
  pidfile: ""
  logfile: ""
  use-syslog: no
  do-daemonize: no
  local-zone: "." redirect
  local-data: ". 3600 IN A ${UPSTREAM_ADDRESS}"
remote-control:
  control-enable: no
`
  await writeFile(file, text)
  const command = { program: await program('unbound'), args: ['-d', '-c', file] }
  const child = startPinned(command, cpu)
  return {
    port,
    title: 'Unbound, static data (no C compiler here)',
    questions: () => undefined,
    stop: () => stop(child),
  }
}

async function stop(child: Child): Promise<void> {
  await child.end()
}
