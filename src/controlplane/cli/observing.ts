/** The commands' way to look at questions through the running server: `tail`, and `top --slow`. */
import type { ObservedKind } from '../../dataplane/observed-queries.ts'
import {
  ObserveEnd,
  ObserveEvent,
  type ObservedQuestion,
  type ObserverFacts,
} from '../observe/requests.ts'
import { observePath } from '../observe/routes.ts'
import { parseDuration } from '../overrule/duration.ts'
import type { AdminClient } from './admin-client.ts'
import { typeName } from './names-and-types.ts'
import { printable } from './terminal.ts'

/** What to look at, as options say it. */
export interface Look {
  readonly kind: ObservedKind
  /** Such as `10m`; undefined: what the server takes. */
  readonly span?: string | undefined
  readonly site?: string | undefined
  readonly category?: string | undefined
  readonly reason: string
}

/**
 * Looks until the time is over or the signal ends it; then the server forgets what it has noted.
 *
 * @throws OperationalError as `Observation.show` does, and for a span that is none.
 */
export function look(
  server: AdminClient,
  { category, kind, reason, site, span }: Look,
  signal: AbortSignal,
  onEvent: (event: ObserveEvent) => void,
): Promise<ObserveEnd> {
  const seconds = span === undefined ? null : parseDuration(span)
  return server.ask(observePath(kind), ObserveEnd, {
    body: { seconds, site: site ?? null, category: category ?? null, reason },
    signal,
    onProgress: (event) => onEvent(ObserveEvent.parse(event)),
  })
}

/** A question as `--json` shows it: the type by its name. */
export function questionJson(question: ObservedQuestion): object {
  return { ...question, type: typeName(question.type) }
}

/** Who looks, for people: `root looks at blocked questions (vpn at lyon) until … UTC`. */
export function observerText({ category, site, until, user, what }: ObserverFacts): string {
  const limits = [category ?? '', site === null ? '' : `at ${site}`].filter((text) => text !== '')
  const about = limits.length === 0 ? '' : ` (${limits.join(' ')})`
  const end = `${until.slice(0, 16).replace('T', ' ')} UTC`
  return `${printable(user)} looks at ${what} questions${about} until ${end}`
}
