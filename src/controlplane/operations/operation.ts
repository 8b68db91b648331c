/**
 * What commands do to lists and generations. Each operation is written once: the running server
 * performs it for a caller at its admin socket, and the command itself where no server runs.
 */

import type * as z from 'zod'
import { OperationalError } from '../../base/errors.ts'
import type { DataplaneSettings } from '../../dataplane/settings.ts'
import type { ControlSettings } from '../config/settings.ts'
import type { Actor } from '../generations/audit.ts'
import type { RecordedNames } from '../generations/changed-verdicts.ts'
import type { Compile } from '../generations/check-list.ts'
import type { UpdateProgress } from '../generations/update.ts'

/** What an operation works on. All of it can be posted to another process. */
export interface OperationPlace {
  readonly stateDirectory: string
  readonly control: ControlSettings
  readonly dataplane: DataplaneSettings
  /** Who wants it, for the audit log. */
  readonly actor: Actor
  /** Number of the generation that the server answers by; undefined without one, or a server. */
  readonly servedGeneration: number | undefined
  /** What the server was asked lately, hashed; undefined without a server. */
  readonly recent: RecordedNames | undefined
}

/** An operation's place, and the means of the process that performs it. */
export interface OperationContext extends OperationPlace {
  /** For proxies. */
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly compile: Compile
  readonly signal: AbortSignal
  readonly onProgress: (progress: UpdateProgress) => void
}

/** One operation; its result can be written as JSON. */
export interface Operation<Wanted, Result extends object> {
  readonly name: string
  /** Takes seconds or much memory: a server performs it in a process of its own. */
  readonly isHeavy: boolean
  /** Whether it changes what a server answers by, or what its lists are. */
  readonly isChange: boolean
  /** @throws OperationalError ERR_USAGE for what it does not understand. */
  readonly run: (wanted: Wanted, context: OperationContext) => Promise<Result>
}

/** An operation as those know it who have its name only. */
export interface NamedOperation extends Pick<
  Operation<never, object>,
  'name' | 'isHeavy' | 'isChange'
> {
  readonly runUnchecked: (wanted: unknown, context: OperationContext) => Promise<object>
}

interface OperationTraits {
  readonly isHeavy?: boolean
  readonly isChange?: boolean
}

/** Makes an operation whose wish must fit `schema`. */
export function operation<Schema extends z.ZodType, Result extends object>(
  name: string,
  schema: Schema,
  traits: OperationTraits,
  perform: (wanted: z.output<Schema>, context: OperationContext) => Promise<Result>,
): Operation<z.input<Schema>, Result> & NamedOperation {
  const run = async (wanted: unknown, context: OperationContext): Promise<Result> => {
    const parsed = schema.safeParse(wanted)
    if (parsed.success) return perform(parsed.data, context)
    const faults = parsed.error.issues.map(({ message, path }) => `${path.join('.')}: ${message}`)
    throw new OperationalError('ERR_USAGE', `${name}: ${faults.join('; ')}`)
  }
  const { isChange = false, isHeavy = false } = traits
  return { name, isChange, isHeavy, run, runUnchecked: run }
}

/** Where an operation is asked for at the admin socket. */
export function operationPath(name: string): string {
  return `/v1/operations/${name}`
}
