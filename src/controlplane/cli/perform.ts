/** Performs an operation: by the running server, or, where none runs, on the state directory. */

import { join } from 'node:path'
import * as z from 'zod'
import { OperationalError } from '../../base/errors.ts'
import { compileInThread } from '../compiler/compile-thread.ts'
import type { LoadedConfig } from '../config/load.ts'
import { isGroup } from '../config/plain.ts'
import { currentActor } from '../generations/audit.ts'
import type { UpdateProgress } from '../generations/update.ts'
import { operationPath, type Operation } from '../operations/operation.ts'
import { StateLock } from '../state-lock.ts'
import { asOwnerOf } from '../state-owner.ts'
import { packageVersion } from '../version.ts'
import type { AdminClient } from './admin-client.ts'
import type { Cli } from './cli.ts'
import { findPlace, type ServerOptions } from './server-options.ts'

/** How an operation is performed. */
export interface PerformOptions {
  readonly onProgress?: ((progress: UpdateProgress) => void) | undefined
  readonly signal?: AbortSignal | undefined
  /** Never by the server: what is wanted is this process's own, or the server is who wants it. */
  readonly isHere?: boolean | undefined
  /** Default: whoever runs the command. */
  readonly by?: 'command' | 'schedule' | undefined
}

/** What an operation came to. */
export interface Performed<Result> {
  readonly result: Result
  /** One sentence about who answers by it, now or later. */
  readonly whoTakesIt: string
}

/**
 * Performs an operation.
 *
 * @throws OperationalError ERR_NO_STATE when neither a server nor a state directory is known,
 *   ERR_SERVER_UNREACHABLE when there is a server that this user may not ask; what the operation
 *   throws.
 */
export async function perform<Wanted, Result extends object>(
  operation: Operation<Wanted, Result>,
  wanted: Wanted,
  options: ServerOptions,
  cli: Cli,
  given: PerformOptions = {},
): Promise<Performed<Result>> {
  const place = await findPlace(options, cli, given.isHere)
  if ('server' in place) return byServer(place.server, operation, wanted, given)
  return here(operation, wanted, place.config, options, cli, given)
}

async function byServer<Wanted, Result extends object>(
  server: AdminClient,
  { name }: Operation<Wanted, Result>,
  wanted: Wanted,
  { onProgress, signal }: PerformOptions,
): Promise<Performed<Result>> {
  const Reply = z.object({
    // The server has the same version, or it has refused.
    result: z.custom<Result>(isGroup),
    served: z.object({ pid: z.number(), generation: z.number().nullable() }),
  })
  const Progress = z.custom<UpdateProgress>((event) => isGroup(event) && 'phase' in event)
  const { result, served } = await server.ask(operationPath(name), Reply, {
    body: { version: packageVersion(), wanted },
    isLong: true,
    signal,
    onProgress: (event) => onProgress?.(Progress.parse(event)),
  })
  const by = served.generation === null ? 'its own lists' : `generation ${served.generation}`
  return { result, whoTakesIt: `the server (process ${served.pid}) answers by ${by}` }
}

async function here<Wanted, Result extends object>(
  operation: Operation<Wanted, Result>,
  wanted: Wanted,
  { control, dataplane }: LoadedConfig,
  { json }: ServerOptions,
  { environment, terminal }: Cli,
  given: PerformOptions,
): Promise<Performed<Result>> {
  const { essentialFiles, stateDirectory, usesGenerations } = control
  if (stateDirectory === undefined) {
    throw new OperationalError(
      'ERR_NO_STATE',
      'subscribed lists are kept in the state directory, and none is named: give --state-dir DIR, ' +
        'or the key stateDirectory in niveau3.yaml',
    )
  }
  const owner = StateLock.ownerOf(join(stateDirectory, 'lock'))
  if (given.isHere !== true && json !== true) {
    const who =
      owner === undefined
        ? 'no server is running'
        : `the server (process ${owner}) hears no commands`
    terminal.err(`${who}: working on ${stateDirectory}\n`)
  }
  const signal = given.signal ?? new AbortController().signal
  const run = () =>
    operation.run(wanted, {
      stateDirectory,
      control,
      dataplane,
      environment,
      signal,
      servedGeneration: undefined,
      recent: undefined,
      actor: currentActor(given.by ?? 'command'),
      compile: (sources, onProgress) =>
        compileInThread(sources, { essentialFiles, onProgress, signal }),
      onProgress: given.onProgress ?? (() => undefined),
    })
  const result = await asOwnerOf(stateDirectory, run)
  return { result, whoTakesIt: takers(usesGenerations, owner) }
}

/** One sentence about who will see a change: a running server, or the next one. */
export function takers(usesGenerations: boolean, owner: number | undefined): string {
  if (!usesGenerations) {
    return 'the configuration names lists or an image of its own: no server uses it before it does not'
  }
  return owner === undefined
    ? 'no server runs on this state directory: the next one starts with it'
    : `the server (process ${owner}) takes it within a second`
}
