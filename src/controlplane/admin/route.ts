/** What the admin socket can be asked: a method and a path, a checked body, and who handles it. */

import type * as z from 'zod'
import { OperationalError } from '../../base/errors.ts'
import { KiB } from '../../base/units.ts'
import type { Actor } from '../generations/audit.ts'

/** Octets of a body where a route does not ask for more: commands are short. */
const BODY_OCTETS_MAX = 64 * KiB

/** One request, its body checked. */
export interface Call<Body> {
  readonly body: Body
  /** Who asks, by the credentials of the socket. */
  readonly caller: Actor
  /** Aborted when the caller goes away, and when the server stops. */
  readonly signal: AbortSignal
  /**
   * Tells how far a long operation is; from the first event on the reply is a stream of lines.
   * False: the event was left out, because the caller does not read.
   */
  readonly progress: (event: object) => boolean
}

/** One thing that can be asked. `run` resolves with the object that the caller is given. */
export interface Route {
  readonly method: 'GET' | 'POST'
  readonly path: string
  readonly bodyOctetsMax: number
  /** @throws OperationalError ERR_USAGE for a body that the route does not understand. */
  readonly run: (call: Call<unknown>) => Promise<object>
}

/** Makes a route whose body must fit `schema`; a request without a body has an empty object. */
export function route<Schema extends z.ZodType>(
  method: Route['method'],
  path: string,
  schema: Schema,
  handle: (call: Call<z.output<Schema>>) => Promise<object>,
  bodyOctetsMax: number = BODY_OCTETS_MAX,
): Route {
  return {
    method,
    path,
    bodyOctetsMax,
    run: (call) => {
      const parsed = schema.safeParse(call.body)
      if (parsed.success) return handle({ ...call, body: parsed.data })
      const faults = parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`)
      throw new OperationalError('ERR_USAGE', `${method} ${path}: ${faults.join('; ')}`)
    },
  }
}
