/** Compiles in a thread of its own, so that neither queries nor scrapes wait for a list. */
import { Worker } from 'node:worker_threads'
import { OperationalError } from '../../base/errors.ts'
import { programFile } from '../package-files.ts'
import type { ListReport, ListSource } from '../blocklist/list-source.ts'
import type { CompiledLists, CompileProgress } from './compile.ts'
import type { CompileTask, FromCompiler } from './compile-worker.ts'

const WORKER_FILE = programFile('compile-worker.js')
/** The collector's tables lie outside the heap; this bounds what parsing may hold on to, in MiB. */
const HEAP_MIB_MAX = 1024
/** Strings of odd lines die young: room for them saves copying. */
const YOUNG_GENERATION_MIB = 64

export interface CompileThreadOptions {
  readonly essentialFiles: readonly string[]
  readonly onProgress?: ((progress: CompileProgress) => void) | undefined
  /** Ends the thread; the promise is then rejected with the signal's reason. */
  readonly signal?: AbortSignal | undefined
}

/**
 * Reads the lists and builds their image off the main thread.
 *
 * @throws OperationalError as `readList` and `compile` do; ERR_WORKER when the thread dies.
 */
export async function compileInThread(
  sources: readonly ListSource[],
  options: CompileThreadOptions,
): Promise<CompiledLists<ListReport>> {
  options.signal?.throwIfAborted()
  const task: CompileTask = { sources, essentialFiles: options.essentialFiles }
  const thread = new Worker(WORKER_FILE, {
    workerData: task,
    name: 'compile',
    resourceLimits: {
      maxOldGenerationSizeMb: HEAP_MIB_MAX,
      maxYoungGenerationSizeMb: YOUNG_GENERATION_MIB,
    },
  })
  const abort = (): void => void thread.terminate()
  options.signal?.addEventListener('abort', abort, { once: true })
  try {
    return await new Promise((resolve, reject) => {
      thread.on('message', (message: FromCompiler) => {
        if (message.kind === 'progress') options.onProgress?.(message.progress)
        else if (message.kind === 'compiled') resolve(message.compiled)
        else reject(failureOf(message))
      })
      thread.on('error', (cause) => {
        reject(new OperationalError('ERR_WORKER', `the compiler died: ${cause.message}`, { cause }))
      })
      thread.on('exit', (code) => {
        const reason = options.signal?.aborted === true ? options.signal.reason : undefined
        reject(
          reason ?? new OperationalError('ERR_WORKER', `the compiler ended early (code ${code})`),
        )
      })
    })
  } finally {
    options.signal?.removeEventListener('abort', abort)
    await thread.terminate()
  }
}

function failureOf(message: FromCompiler & { kind: 'failed' }): OperationalError {
  return new OperationalError(message.code, message.message, {
    ...(message.file === undefined ? {} : { file: message.file }),
    ...(message.line === undefined ? {} : { line: message.line }),
  })
}
