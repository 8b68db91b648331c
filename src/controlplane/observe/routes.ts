/** What the admin socket tells about queries: counts to whoever asks, questions while one looks. */
import type { Logger } from 'pino'
import * as z from 'zod'
import type { ObservedKind } from '../../dataplane/observed-queries.ts'
import type { AdministeredServer } from '../admin/administered-server.ts'
import { route, type Call, type Route } from '../admin/route.ts'
import { countsOf } from './counts.ts'
import type { Observation, ObservedServer } from './observation.ts'
import { ObserveWish, type ObserveEnd, type ObserverFacts } from './requests.ts'

const KINDS: readonly ObservedKind[] = ['blocked', 'slow']

/** The path by which questions of a kind are looked at. */
export function observePath(kind: ObservedKind): string {
  return `/v1/observe/${kind}`
}

/** The looks at all kinds of queries of one server. */
export class Observations {
  readonly #server: AdministeredServer
  readonly #log: Logger
  readonly #byKind = new Map<ObservedKind, Observation>()

  constructor(server: AdministeredServer, log: Logger) {
    this.#server = server
    this.#log = log
  }

  /** Who looks at this moment. */
  get observers(): readonly ObserverFacts[] {
    return [...this.#byKind.values()].flatMap(({ observers }) => observers)
  }

  get routes(): readonly Route[] {
    const counts = route('GET', '/v1/counts', z.strictObject({}), async () =>
      countsOf(this.#server.facts(), this.observers),
    )
    const looks = KINDS.map((kind) =>
      route('POST', observePath(kind), ObserveWish, (call) => this.#show(kind, call)),
    )
    return [counts, ...looks]
  }

  /** A server at which nobody ever looks does not carry what it takes. */
  async #show(kind: ObservedKind, call: Call<ObserveWish>): Promise<ObserveEnd> {
    const { Observation: Looks } = await import('./observation.ts')
    const server = this.#server
    const observed: ObservedServer = {
      workers: server.workers,
      settings: () => server.config().control,
      known: () => {
        const { filter, sites } = server.facts()
        return { categories: filter.categories, sites }
      },
    }
    const known = this.#byKind.get(kind) ?? new Looks(kind, observed, this.#log)
    this.#byKind.set(kind, known)
    return known.show(call)
  }
}
