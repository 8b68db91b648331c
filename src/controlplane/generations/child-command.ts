/**
 * A command of this program in a process of its own: what it takes in memory goes back to the
 * system, and whatever happens to it, the server answers on.
 */

import { spawn, type ChildProcess } from 'node:child_process'
import { constants, setPriority } from 'node:os'
import type { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'

import { SECOND_MS } from '../../base/units.ts'

/** One that is asked to end and does not is killed: the server's own end does not wait. */
const STOP_MS_MAX = 2 * SECOND_MS
const OUTPUT_CHARS_MAX = 4 * 1024 * 1024

/** How a command ended. */
export interface CommandEnd {
  /** Exit code, or in words why there is none. */
  readonly code: number | string
  readonly output: string
}

/** Runs one command at a time. */
export class ChildCommand {
  #child: ChildProcess | undefined

  /**
   * Resolves when it has ended, however that went.
   *
   * @param environment beyond that of this process: what everybody may not read in its arguments.
   */
  async run(
    program: string,
    args: readonly string[],
    environment: Readonly<Record<string, string>> = {},
  ): Promise<CommandEnd> {
    const env = { ...process.env, ...environment }
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'], env })
    // First of all: without a free descriptor the error comes, and there are no pipes.
    const exit = new Promise<number | string>((resolve) => {
      child.once('error', (error) => resolve(error.message))
      child.once('close', (code, signal) => resolve(code ?? signal ?? 'no exit code'))
    })
    let output = ''
    try {
      if (child.pid !== undefined) {
        this.#child = child
        lowerPriority(child.pid, constants.priority.PRIORITY_LOW)
      }
      // The types promise a pipe; a failed spawn has none.
      const stdout: Readable | null | undefined = child.stdout
      stdout?.setEncoding('utf8').on('data', (text: string) => {
        if (output.length < OUTPUT_CHARS_MAX) output += text
      })
      return { code: await exit, output }
    } finally {
      this.#child = undefined
    }
  }

  /** Ends what runs, and waits until it has ended. */
  async stop(): Promise<void> {
    const child = this.#child
    if (child === undefined) return
    const ended = new Promise<void>((resolve) => child.once('close', () => resolve()))
    child.kill('SIGTERM')
    const waited = new AbortController()
    const patience = sleep(STOP_MS_MAX, undefined, { signal: waited.signal }).then(
      () => child.kill('SIGKILL'),
      () => false,
    )
    await Promise.race([ended, patience])
    waited.abort()
  }
}

/** Lets the questions of clients go first. */
export function lowerPriority(pid: number, priority: number): void {
  try {
    setPriority(pid, priority)
  } catch {
    // It may have ended already.
  }
}
