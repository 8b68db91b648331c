/**
 * Death on demand: a module that a server under test loads before itself, so that a signal ends its
 * workers as a defect would. It also tells which worker handles which client.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll } from 'vitest'

/**
 * How workers die at SIGUSR2: all by `terminate()`, once or from then on again and again; or only
 * the oldest, by `terminate()` or by an exception in the middle of a burst.
 */
export type Deaths = 'all' | 'all-again' | 'terminate-one' | 'throw-one'

export interface WorkerSignals {
  /** The value of NODE_OPTIONS. */
  readonly nodeOptions: string
  /** The environment of a server whose workers die that way. */
  environment(deaths: Deaths): Readonly<Record<string, string>>
}

const PIPELINE = resolve(import.meta.dirname, '../../dist/pipeline.js')

/** Queries that the worker which is to throw still handles: it dies within a burst. */
const HANDLED_BEFORE_THROW = 3

const MODULE = `
  import { writeSync } from 'node:fs'
  import { BroadcastChannel, isMainThread, threadId } from 'node:worker_threads'
  const deaths = process.env.WORKER_DEATHS ?? 'all'
  const channel = new BroadcastChannel('deaths')
  channel.unref()

  function kill(workers) {
    if (deaths.startsWith('all')) {
      for (const worker of workers) worker.terminate()
      return
    }
    const [oldest] = workers
    writeSync(2, 'dies: thread ' + oldest.threadId + '\\n')
    if (deaths === 'throw-one') channel.postMessage(oldest.threadId)
    else oldest.terminate()
  }

  if (isMainThread) {
    const workers = new Set()
    process.on('worker', (worker) => {
      workers.add(worker)
      worker.once('exit', () => workers.delete(worker))
    })
    process.on('SIGUSR2', () => {
      kill(workers)
      if (deaths === 'all-again') setInterval(kill, 20, workers).unref()
    })
  } else if (deaths.endsWith('-one')) {
    // The build is CommonJS: what it exports is the default of an import.
    const { default: { Pipeline } } = await import(${JSON.stringify(pathToFileURL(PIPELINE).href)})
    const { handle } = Pipeline.prototype
    const seen = new Set()
    let left = Infinity
    channel.onmessage = ({ data }) => {
      if (data === threadId) left = ${HANDLED_BEFORE_THROW}
    }
    Pipeline.prototype.handle = function (message, ...rest) {
      if (left-- === 0) throw new Error('thrown on demand')
      const client = Buffer.from(message.buffer, message.byteOffset + 13, message[12]).toString()
      if (!seen.has(client)) {
        seen.add(client)
        writeSync(2, 'thread ' + threadId + ' has ' + client + '\\n')
      }
      return handle.call(this, message, ...rest)
    }
  }
`

const folders: string[] = []
afterAll(() => Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true }))))

/** Writes the module; it is removed after the tests of the file. */
export async function signalledWorkers(): Promise<WorkerSignals> {
  const folder = await mkdtemp(join(tmpdir(), 'niveau3-deaths-'))
  folders.push(folder)
  const file = join(folder, 'deaths.mjs')
  await writeFile(file, MODULE)
  const nodeOptions = `--import ${pathToFileURL(file).href}`
  return {
    nodeOptions,
    environment: (deaths) => ({ NODE_OPTIONS: nodeOptions, WORKER_DEATHS: deaths }),
  }
}
