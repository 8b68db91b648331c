/** Entry of the compiler's thread: reads the lists, builds the image, posts it back. */
import { parentPort, workerData } from 'node:worker_threads'
import { OperationalError, type ErrorCode } from '../../base/errors.ts'
import { EssentialNames } from '../blocklist/essential.ts'
import type { ListReport, ListSource } from '../blocklist/list-source.ts'
import { readList } from '../blocklist/read-list.ts'
import { compile, type CompiledLists, type CompileProgress } from './compile.ts'

/** The `workerData` of the thread. */
export interface CompileTask {
  readonly sources: readonly ListSource[]
  /** Files of essential names; the thread loads them itself. */
  readonly essentialFiles: readonly string[]
}

export type FromCompiler =
  | { readonly kind: 'progress'; readonly progress: CompileProgress }
  | { readonly kind: 'compiled'; readonly compiled: CompiledLists<ListReport> }
  | {
      readonly kind: 'failed'
      readonly code: ErrorCode
      readonly message: string
      readonly file: string | undefined
      readonly line: number | undefined
    }

async function compileTask(
  task: CompileTask,
  say: (message: FromCompiler) => void,
): Promise<CompiledLists<ListReport>> {
  const essential = await EssentialNames.load(task.essentialFiles)
  return compile(task.sources, {
    readList: (source, sink) => readList(source, sink, { essential }),
    onProgress: (progress) => say({ kind: 'progress', progress }),
  })
}

async function run(task: CompileTask, say: (message: FromCompiler) => void): Promise<void> {
  try {
    say({ kind: 'compiled', compiled: await compileTask(task, say) })
  } catch (error) {
    if (!(error instanceof OperationalError)) throw error
    const { code, message, file, line } = error
    say({ kind: 'failed', code, message, file, line })
  }
}

if (parentPort !== null) {
  const port = parentPort
  const task: CompileTask = workerData
  void run(task, (message) => port.postMessage(message))
}
