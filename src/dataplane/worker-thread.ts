/**
 * Entry of a worker thread: says `ready` once every address is bound, then does what the control
 * plane's messages say, one after the other.
 */
import { parentPort, workerData } from 'node:worker_threads'
import { OperationalError } from '../base/errors.ts'
import {
  SWAP_BOUNDS_MS,
  SWAP_BUCKETS,
  SWAP_SUM_MS,
  countInHistogram,
  type Counters,
} from './counters.ts'
import type { Listeners } from './listeners.ts'
import type { FromWorker, ToWorker, WorkerStart } from './messages.ts'
import { startWorker } from './worker.ts'

async function startThread(
  port: NonNullable<typeof parentPort>,
  start: WorkerStart,
): Promise<void> {
  const say = (message: FromWorker): void => port.postMessage(message)
  try {
    const { worker, listeners, ready } = await startWorker(start)
    const act = async (message: ToWorker): Promise<void> => {
      switch (message.kind) {
        case 'reload':
          await worker.prepare(message.settings)
          swapTimed(start.counters, () => worker.reload(message.settings, message.policy))
          say({ kind: 'reloaded' })
          break
        case 'overrule':
          swapTimed(start.counters, () => worker.overrule(message.overlay, message.stamp))
          say({ kind: 'overruled' })
          break
        case 'listen':
          listeners.close(message.close)
          say(await listen(listeners, message))
          worker.designate()
          break
        case 'observe':
          worker.observe(message.start)
          say({ kind: 'observed' })
          break
        case 'observe-end':
          worker.observeNoMore(message.what)
          say({ kind: 'observed' })
          break
        case 'certificate':
          listeners.certify(message.tls)
          say({ kind: 'certified' })
          break
        case 'stop':
          worker.stop(message.graceMs, () => {
            say({ kind: 'stopped' })
            port.close()
          })
      }
    }
    // One after the other: answers go back in the order of the messages.
    let acting = Promise.resolve()
    port.on('message', (message: ToWorker) => {
      acting = acting.then(() => act(message))
    })
    // Node reads on for a while after an exception: what it would read is the next worker's.
    process.once('uncaughtExceptionMonitor', () => listeners.closeUdp())
    say(ready)
  } catch (error) {
    say(failure(error))
    port.close()
  }
}

/** Nothing is answered while a worker takes a policy: how long that is belongs to be known. */
function swapTimed(counters: Counters, swap: () => void): void {
  const startMs = performance.now()
  swap()
  const tookMs = performance.now() - startMs
  countInHistogram(counters, SWAP_BUCKETS, SWAP_SUM_MS, SWAP_BOUNDS_MS, tookMs)
}

async function listen(
  listeners: Listeners,
  message: Extract<ToWorker, { kind: 'listen' }>,
): Promise<FromWorker> {
  try {
    await listeners.open(message.open, message.descriptors)
    return { kind: 'listening' }
  } catch (error) {
    return failure(error)
  }
}

function failure(error: unknown): FromWorker {
  const code = error instanceof OperationalError ? error.code : 'ERR_WORKER'
  return { kind: 'failed', code, message: error instanceof Error ? error.message : String(error) }
}

if (parentPort !== null) {
  const start: WorkerStart = workerData
  void startThread(parentPort, start)
}
