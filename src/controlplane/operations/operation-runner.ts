/** Performs operations inside a running server, for callers at its admin socket. */

import { fork, type ChildProcess } from 'node:child_process'
import { constants } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { OperationalError } from '../../base/errors.ts'
import { SECOND_MS } from '../../base/units.ts'
import { lowerPriority } from '../generations/child-command.ts'
import type { UpdateProgress } from '../generations/update.ts'
import { programFile } from '../package-files.ts'
import type { NamedOperation, OperationPlace } from './operation.ts'
import type { FromOperation, ToOperation } from './operation-messages.ts'

/** Heavy operations at once: each takes the memory of a few images. */
const HEAVY_MAX = 3
/** A process that is told to end and does not is killed. */
const ABORT_MS_MAX = 2 * SECOND_MS
/** Between two events about the same list: a terminal shows no more. */
const PROGRESS_MS_MIN = 100

export interface RunOptions {
  readonly signal: AbortSignal
  readonly onProgress: (progress: UpdateProgress) => void
}

/** Light operations run here, heavy ones each in a process of its own. */
export class OperationRunner {
  #heavy = 0

  /**
   * Performs an operation.
   *
   * @throws OperationalError ERR_STATE_LOCKED when too many are under way, ERR_WORKER when their
   *   process dies; what the operation throws; the signal's reason when it is aborted.
   */
  async run(
    operation: NamedOperation,
    wanted: unknown,
    place: OperationPlace,
    options: RunOptions,
  ): Promise<object> {
    if (!operation.isHeavy) {
      const compile = () => Promise.reject(new Error(`${operation.name} compiles nothing`))
      return operation.runUnchecked(wanted, {
        ...place,
        ...options,
        environment: process.env,
        compile,
      })
    }
    if (this.#heavy >= HEAVY_MAX) {
      const why = `${HEAVY_MAX} operations on lists are under way; wait for one of them`
      throw new OperationalError('ERR_STATE_LOCKED', why)
    }
    this.#heavy++
    try {
      return await runInProcess({ kind: 'run', name: operation.name, wanted, place }, options)
    } finally {
      this.#heavy--
    }
  }
}

async function runInProcess(
  task: ToOperation,
  { onProgress, signal }: RunOptions,
): Promise<object> {
  signal.throwIfAborted()
  const child = fork(programFile('operation-process.js'), [], {
    serialization: 'advanced',
    execArgv: [],
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  })
  const abort = (): void => void end(child)
  signal.addEventListener('abort', abort, { once: true })
  const throttle = new ProgressThrottle(onProgress)
  try {
    return await new Promise<object>((resolve, reject) => {
      child.on('message', (message: FromOperation) => {
        if (message.kind === 'progress') throttle.take(message.progress)
        else if (message.kind === 'result') resolve(message.result)
        else reject(failureOf(message))
      })
      child.once('error', (cause) => {
        const why = `no process for the operation: ${cause.message}`
        reject(new OperationalError('ERR_WORKER', why, { cause }))
      })
      // After its last message, unlike `exit`.
      child.once('disconnect', () => {
        const why = "the operation's process ended early; nothing was changed"
        reject(signal.aborted ? signal.reason : new OperationalError('ERR_WORKER', why))
      })
      if (child.pid !== undefined) {
        lowerPriority(child.pid, constants.priority.PRIORITY_BELOW_NORMAL)
      }
      child.send(task)
    })
  } finally {
    signal.removeEventListener('abort', abort)
  }
}

/** Asks the process to undo what it has begun, and kills it when it does not. */
async function end(child: ChildProcess): Promise<void> {
  if (child.connected) child.send({ kind: 'abort' } satisfies ToOperation)
  const exited = new AbortController()
  child.once('exit', () => exited.abort())
  await sleep(ABORT_MS_MAX, undefined, { signal: exited.signal, ref: false }).then(
    () => child.kill('SIGKILL'),
    () => false,
  )
}

function failureOf(message: Exclude<FromOperation, { kind: 'progress' | 'result' }>): Error {
  if (message.kind === 'defect') return new Error(message.message)
  const { code, column, file, line } = message
  return new OperationalError(code, message.message, {
    ...(file !== undefined && { file }),
    ...(line !== undefined && { line }),
    ...(column !== undefined && { column }),
  })
}

/** Lets ten events a second of each list through, and every one that a list is done. */
class ProgressThrottle {
  readonly #pass: (progress: UpdateProgress) => void
  readonly #toldMs = new Map<string, number>()

  constructor(pass: (progress: UpdateProgress) => void) {
    this.#pass = pass
  }

  take(progress: UpdateProgress): void {
    const nowMs = performance.now()
    if (progress.phase !== 'done') {
      const key = progress.phase === 'build' ? 'build' : `${progress.phase} ${progress.list}`
      if (nowMs - (this.#toldMs.get(key) ?? -Infinity) < PROGRESS_MS_MIN) return
      this.#toldMs.set(key, nowMs)
    }
    this.#pass(progress)
  }
}
