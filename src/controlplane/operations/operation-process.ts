/**
 * Entry of a process that performs one operation for a server: what it takes in memory goes back to
 * the system with it, and whatever happens to it, the server answers on.
 */

import { OperationalError } from '../../base/errors.ts'
import { compileInThread } from '../compiler/compile-thread.ts'
import { OPERATIONS } from './all-operations.ts'
import type { OperationPlace } from './operation.ts'
import type { FromOperation, ToOperation } from './operation-messages.ts'

const controller = new AbortController()

/** Resolves when the message is with the server: `process.exit` would overtake it. */
function say(message: FromOperation): Promise<void> {
  return new Promise((resolve) => {
    if (process.send === undefined || !process.connected) resolve()
    else process.send(message, undefined, undefined, () => resolve())
  })
}

async function perform(name: string, wanted: unknown, place: OperationPlace): Promise<object> {
  const found = OPERATIONS.find((operation) => operation.name === name)
  if (found === undefined) throw new OperationalError('ERR_USAGE', `no operation ${name}`)
  const { essentialFiles } = place.control
  const { signal } = controller
  return found.runUnchecked(wanted, {
    ...place,
    environment: process.env,
    signal,
    compile: (sources, onProgress) =>
      compileInThread(sources, { essentialFiles, onProgress, signal }),
    onProgress: (progress) => void say({ kind: 'progress', progress }),
  })
}

function failureOf(error: unknown): FromOperation {
  if (!(error instanceof OperationalError)) {
    const message = error instanceof Error ? (error.stack ?? error.message) : String(error)
    return { kind: 'defect', message }
  }
  const { code, column, file, line, message } = error
  return { kind: 'failed', code, message, file, line, column }
}

async function take(message: ToOperation): Promise<void> {
  if (message.kind === 'abort') {
    controller.abort(new Error('interrupted'))
    return
  }
  const { name, place, wanted } = message
  const last = await perform(name, wanted, place).then(
    (result): FromOperation => ({ kind: 'result', result }),
    failureOf,
  )
  await say(last)
  process.disconnect()
}

process.on('message', (message: ToOperation) => void take(message))
// The server has died: nobody wants the result any more.
process.once('disconnect', () => controller.abort(new Error('the server has gone')))
// Ctrl-C in the server's terminal is the server's to hear; it tells us.
process.on('SIGINT', () => undefined)
