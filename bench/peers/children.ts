/** Child processes of the benchmark: pinned to a core, watched, ended by their own pid. */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { promisify } from 'node:util'
import { SECOND_MS } from '../../src/base/units.ts'

/** What a child printed last; older text is dropped. */
const OUTPUT_CHARACTERS_MAX = 16_384

/** A process that got SIGTERM and still runs after this long is killed. */
const END_MS_MAX = 5 * SECOND_MS

/** Output of a program that is run to its end. */
const RUN_OUTPUT_OCTETS_MAX = 16 * 1024 * 1024

const running = new Set<Child>()

process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

/** A program, its arguments, and what it finds around it. */
export interface Command {
  readonly program: string
  readonly args: readonly string[]
  readonly cwd?: string
  readonly env?: Readonly<Record<string, string>>
}

/** A running child. */
export class Child {
  readonly exited: Promise<void>
  readonly #process: ChildProcess
  #output = ''

  constructor(process: ChildProcess) {
    this.#process = process
    for (const stream of [process.stdout, process.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        this.#output = (this.#output + text).slice(-OUTPUT_CHARACTERS_MAX)
      })
    }
    this.exited = new Promise((resolve) => {
      process.once('close', () => resolve())
      process.once('error', (error) => {
        this.#output += String(error)
        resolve()
      })
    })
    running.add(this)
    void this.exited.then(() => running.delete(this))
  }

  get pid(): number {
    return this.#process.pid ?? -1
  }

  isRunning(): boolean {
    const { pid, exitCode, signalCode } = this.#process
    return pid !== undefined && exitCode === null && signalCode === null
  }

  /** The end of what it printed. */
  output(): string {
    return this.#output.trim().split('\n').slice(-12).join('\n')
  }

  kill(signal: NodeJS.Signals): void {
    if (this.isRunning()) this.#process.kill(signal)
  }

  /** Sends SIGTERM, SIGKILL when that does not help; resolves when it is gone. */
  async end(): Promise<void> {
    this.kill('SIGTERM')
    const killer = setTimeout(() => this.kill('SIGKILL'), END_MS_MAX)
    await this.exited
    clearTimeout(killer)
  }
}

/**
 * The command, confined to one core with all threads and children that it will have, and ended by
 * the kernel when this process dies. Each step becomes the next: the pid is the program's own.
 */
function pinned(command: Command, cpu: number): [string, string[]] {
  const tied = ['--pdeathsig', 'KILL', 'taskset', '-c', String(cpu)]
  return ['setpriv', [...tied, command.program, ...command.args]]
}

/** Starts a program on one core. */
export function startPinned(command: Command, cpu: number): Child {
  const [program, args] = pinned(command, cpu)
  const child = spawn(program, args, {
    ...(command.cwd === undefined ? {} : { cwd: command.cwd }),
    env: { ...process.env, ...command.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  return new Child(child)
}

/** Runs a program on one core to its end; rejects when it fails or takes longer than it may. */
export async function runPinned(command: Command, cpu: number, msMax: number): Promise<string> {
  const [program, args] = pinned(command, cpu)
  return run(program, args, msMax, command)
}

/** Runs a program to its end and resolves with what it printed, both streams together. */
export async function run(
  program: string,
  args: readonly string[],
  msMax: number,
  around: Pick<Command, 'cwd' | 'env'> = {},
): Promise<string> {
  const { stdout, stderr } = await promisify(execFile)(program, args, {
    ...(around.cwd === undefined ? {} : { cwd: around.cwd }),
    env: { ...process.env, ...around.env },
    timeout: msMax,
    killSignal: 'SIGKILL',
    maxBuffer: RUN_OUTPUT_OCTETS_MAX,
  })
  return `${stdout}${stderr}`
}

/** Confines this process to a core, so that it takes nothing from the server's. */
export async function pinSelf(cpu: number): Promise<void> {
  await run('taskset', ['-a', '-p', '-c', String(cpu), String(process.pid)], END_MS_MAX)
}
