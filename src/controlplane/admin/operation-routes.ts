/** Operations on lists and generations at the admin socket: one route each, by their names. */
import * as z from 'zod'
import { OperationalError } from '../../base/errors.ts'
import type { RecordedNames } from '../generations/changed-verdicts.ts'
import { OPERATIONS } from '../operations/all-operations.ts'
import { operationPath } from '../operations/operation.ts'
import { OperationRunner } from '../operations/operation-runner.ts'
import { packageVersion } from '../version.ts'
import type { AdministeredServer } from './administered-server.ts'
import { route, type Route } from './route.ts'

const Wish = z.strictObject({
  /** Of the command: both ends must mean the same by a wish. */
  version: z.string(),
  wanted: z.unknown(),
})

/**
 * One route for each operation. The reply is what the operation came to, and what the server
 * answers by afterwards.
 */
export function operationRoutes(server: AdministeredServer): readonly Route[] {
  const runner = new OperationRunner()
  return OPERATIONS.map((operation) =>
    route('POST', operationPath(operation.name), Wish, async ({ body, caller, ...call }) => {
      requireVersion(body.version)
      const { control, dataplane } = server.config()
      const { stateDirectory } = control
      if (stateDirectory === undefined) {
        const why = 'the server has no state directory: set stateDirectory in its configuration'
        throw new OperationalError('ERR_NO_STATE', why)
      }
      const servedGeneration = server.filter().generation
      const recent = copyOf(server.recentNames())
      const facts = { stateDirectory, control, dataplane, actor: caller }
      const place = { ...facts, servedGeneration, recent }
      const result = await runner.run(operation, body.wanted, place, {
        signal: call.signal,
        onProgress: call.progress,
      })
      if (operation.isChange) await server.follow()
      return {
        result,
        served: { pid: process.pid, generation: server.filter().generation ?? null },
      }
    }),
  )
}

/** Shared memory cannot be posted to another process. */
function copyOf({ blocks, key }: RecordedNames): RecordedNames {
  return { key, blocks: blocks.map((words) => Int32Array.from(words)) }
}

function requireVersion(version: string): void {
  const own = packageVersion()
  if (version === own) return
  const why = `the server is version ${own}, the command ${version}: use the same for both`
  throw new OperationalError('ERR_USAGE', why)
}
