/**
 * Child processes of the tests: started, watched until ready, ended by their pid.
 *
 * Whatever a test leaves running is ended after the last test of its file, failed or not.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { createConnection } from 'node:net'
import { afterAll } from 'vitest'
import { SECOND_MS } from '../../src/base/units.ts'
import { Gate, within } from './gate.ts'

/** A program that is not ready by then is broken. */
export const READY_MS_MAX = 30 * SECOND_MS

/** A process that got SIGTERM and still runs after this long is killed. */
const END_MS_MAX = 10 * SECOND_MS

/** Between two looks at a port that does not answer yet. */
const PORT_PROBE_MS = 20

/** What a process ended with: a code, or the signal that ended it. */
export interface Exit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

/** Tells that a program is ready: by a line that it prints, or by a TCP port that accepts. */
export type Readiness =
  | { readonly line: RegExp }
  | { readonly tcpPort: number; readonly host?: string }
  | 'at once'

export interface ProcessOptions {
  readonly cwd?: string
  /** Added to this process's environment; undefined takes a variable away. */
  readonly env?: Readonly<Record<string, string | undefined>>
  /** Default `at once`. */
  readonly ready?: Readiness
  readonly readyMsMax?: number
  /** Written to the process's standard input, which is then closed. */
  readonly input?: string
  /** Runs after the process has ended and before `exited` resolves: its folder is removed here. */
  readonly cleanUp?: () => Promise<void>
}

const running = new Set<Process>()

/** Ends every process that the tests of this file started and did not end. */
async function endAll(): Promise<void> {
  await Promise.allSettled([...running].map((child) => child.end()))
}

afterAll(endAll)
process.once('exit', () => {
  for (const child of running) child.signal('SIGKILL')
})

/** Settles as `work` does, after `cleanUp`. */
async function andThen<Value>(work: Promise<Value>, cleanUp: () => Promise<void>): Promise<Value> {
  try {
    return await work
  } finally {
    await cleanUp()
  }
}

async function nothingToClean(): Promise<void> {}

/** Starts a program and resolves when it is ready; rejects, with its output, when it is not. */
export async function startProcess(
  command: string,
  args: readonly string[],
  options: ProcessOptions = {},
): Promise<Process> {
  const child = spawn(command, args, {
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    env: { ...process.env, ...options.env },
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  const started = new Process(child, command, options.cleanUp ?? nothingToClean)
  // A program that ends early closes its input; the exit says so better than EPIPE.
  child.stdin.on('error', () => {})
  child.stdin.end(options.input ?? '')
  try {
    await untilReady(started, options)
  } catch (cause) {
    await Promise.allSettled([started.end('SIGKILL')])
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new Error(`${command} ${args.join(' ')}: ${reason}\n${started.output()}`, { cause })
  }
  return started
}

/** Runs a program to its end and resolves with its exit and output, whatever the code. */
export async function runToEnd(
  command: string,
  args: readonly string[],
  options: ProcessOptions & { readonly timeoutMs?: number } = {},
): Promise<Exit & { readonly stdout: string; readonly stderr: string }> {
  const child = await startProcess(command, args, options)
  const timeoutMs = options.timeoutMs ?? READY_MS_MAX
  try {
    const what = (): string => `${command} ${args.join(' ')} did not end\n${child.output()}`
    const exit = await within(timeoutMs, what, child.exited)
    return { ...exit, stdout: child.stdout(), stderr: child.stderr() }
  } finally {
    if (child.isRunning()) await child.end('SIGKILL')
  }
}

/** A running (or ended) child process; made by `startProcess`. */
export class Process {
  readonly exited: Promise<Exit>
  readonly #child: ChildProcess
  readonly #chunks: { readonly from: 'stdout' | 'stderr'; readonly text: string }[] = []
  readonly #watchers = new Set<() => void>()

  constructor(child: ChildProcess, command: string, cleanUp: () => Promise<void>) {
    this.#child = child
    for (const from of ['stdout', 'stderr'] as const) {
      child[from]?.setEncoding('utf8').on('data', (text: string) => {
        this.#chunks.push({ from, text })
        for (const watcher of this.#watchers) watcher()
      })
    }
    const gate = new Gate<Exit>()
    child.once('error', (error) => gate.fail(new Error(`${command}: ${error.message}`)))
    child.once('close', (code, signal) => gate.open({ code, signal }))
    this.exited = andThen(gate.opened, cleanUp)
    running.add(this)
    const forget = (): void => void running.delete(this)
    // Handling both ends also keeps an exit that nobody awaits from being an unhandled rejection.
    this.exited.then(forget, forget)
  }

  get pid(): number {
    return this.#child.pid ?? -1
  }

  isRunning(): boolean {
    const { pid, exitCode, signalCode } = this.#child
    return pid !== undefined && exitCode === null && signalCode === null
  }

  stdout(): string {
    return this.#text('stdout')
  }

  stderr(): string {
    return this.#text('stderr')
  }

  /** Both streams in the order in which they came. */
  output(): string {
    return this.#chunks.map((chunk) => chunk.text).join('')
  }

  /** Resolves with the first line, past or future, of either stream that matches. */
  async line(pattern: RegExp, timeoutMs = READY_MS_MAX): Promise<string> {
    const seen = new Gate<string>()
    const look = (): void => {
      const line = lineMatching(this.stdout(), pattern) ?? lineMatching(this.stderr(), pattern)
      if (line !== undefined) seen.open(line)
    }
    look()
    this.#watchers.add(look)
    const ended = this.exited.then((exit): string => {
      throw new Error(`ended with ${describeExit(exit)} before it printed ${String(pattern)}`)
    })
    const what = (): string => `printed no line like ${String(pattern)}\n${this.output()}`
    try {
      return await within(timeoutMs, what, Promise.race([seen.opened, ended]))
    } finally {
      this.#watchers.delete(look)
    }
  }

  signal(name: NodeJS.Signals): void {
    if (this.isRunning()) this.#child.kill(name)
  }

  /** Sends SIGTERM (or the given signal), SIGKILL when that does not help; resolves at the exit. */
  async end(name: NodeJS.Signals = 'SIGTERM'): Promise<Exit> {
    this.signal(name)
    const killer = setTimeout(() => this.signal('SIGKILL'), END_MS_MAX)
    try {
      return await this.exited
    } finally {
      clearTimeout(killer)
    }
  }

  #text(from: 'stdout' | 'stderr'): string {
    const chunks = this.#chunks.filter((chunk) => chunk.from === from)
    return chunks.map((chunk) => chunk.text).join('')
  }
}

function describeExit(exit: Exit): string {
  return exit.signal === null ? `code ${String(exit.code)}` : `signal ${exit.signal}`
}

function lineMatching(text: string, pattern: RegExp): string | undefined {
  const complete = text.slice(0, text.lastIndexOf('\n') + 1)
  return complete.split('\n').find((line) => pattern.test(line))
}

async function untilReady(child: Process, options: ProcessOptions): Promise<void> {
  const readiness = options.ready ?? 'at once'
  const timeoutMs = options.readyMsMax ?? READY_MS_MAX
  if (readiness === 'at once') {
    if (child.pid === -1) await child.exited
    return
  }
  if ('line' in readiness) {
    await child.line(readiness.line, timeoutMs)
    return
  }
  await within(timeoutMs, 'its port did not answer', untilPort(child, readiness, timeoutMs))
}

async function untilPort(
  child: Process,
  where: { readonly tcpPort: number; readonly host?: string },
  timeoutMs: number,
): Promise<void> {
  if (child.pid === -1) await child.exited
  const deadline = Date.now() + timeoutMs
  while (Date.now() < deadline) {
    if (await accepts(where.host ?? '127.0.0.1', where.tcpPort)) return
    if (!child.isRunning()) throw new Error('it ended before its port answered')
    // No event tells that another process began to listen.
    await new Promise((resolve) => setTimeout(resolve, PORT_PROBE_MS))
  }
}

function accepts(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection({ host, port })
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}
