/** What the log tells of a running server's life: starts, reloads, certificates, workers. */
import type { Logger } from 'pino'
import { OperationalError } from '../base/errors.ts'
import { DAY_S, SECOND_MS } from '../base/units.ts'
import type { Endpoint, ListenSettings } from '../dataplane/settings.ts'
import type { SupervisorEvents } from './threads/supervisor.ts'

/** A certificate that ends sooner is warned of: those of ACME are renewed before. */
const CERTIFICATE_DAYS_MIN = 14

/** Workers without a loop of their own: slower, and nothing else. */
const NODE_LOOP =
  'workers are woken by Node.js for every burst: what it waits with was not found in ' +
  '/proc/self/fdinfo; all else is as usual, a query costs more'

/** Why not everything is answered; stands in the log and in the readiness checks. */
export const NO_UPSTREAM =
  'no upstream is configured and resolv.conf names none but ourselves: blocked names are answered, ' +
  'the rest is SERVFAIL; give --upstream ADDR'

/** What the line `ready` says. */
export interface ReadyFacts {
  readonly version: string
  readonly listen: readonly ListenSettings[]
  readonly metrics: Endpoint | undefined
  /** Path of the admin socket. */
  readonly admin: string | undefined
  readonly upstreams: readonly string[]
  readonly names: number
  readonly generation: number | undefined
  readonly essentialNames: number
  readonly workers: number
  /** Undefined when datagrams go in batches. */
  readonly whyNotBatched: string | undefined
  /** Workers wait by themselves while there is traffic. */
  readonly hasOwnLoops: boolean
}

/** Writes the lines of one server. */
export class ServerLog {
  readonly #log: Logger
  /** Workers that died since the start. */
  workerDeaths = 0

  constructor(log: Logger) {
    this.#log = log
  }

  /** The events of the workers, each as a line. */
  supervisorEvents(onFatal: (error: OperationalError) => void): SupervisorEvents {
    const log = this.#log
    return {
      workerDied: (worker, reason) => {
        this.workerDeaths += 1
        log.error({ event: 'worker_died', worker, reason }, 'a worker died; restarting it')
      },
      addressesChanged: ({ appeared, vanished }) => {
        const facts = { appeared: appeared.map(urlOf), vanished: vanished.map(textOf) }
        log.info({ event: 'addresses_changed', ...facts }, 'listening where the wildcard says')
      },
      addressFailed: (endpoint, reason) => {
        const facts = { event: 'address_failed', listen: textOf(endpoint), reason }
        log.warn(facts, `cannot listen there yet: ${reason}`)
      },
      gaveUp: onFatal,
    }
  }

  ready({ admin, listen, metrics, upstreams, whyNotBatched: why, ...facts }: ReadyFacts): void {
    const log = this.#log
    const { version, names, generation, essentialNames, workers, hasOwnLoops } = facts
    log.info(
      {
        event: 'ready',
        version,
        listen: listen.map(urlOf),
        metrics: metrics && textOf(metrics),
        upstreams,
        names,
        generation,
        essentialNames,
        workers,
        batched: why === undefined,
      },
      'ready',
    )
    if (admin !== undefined) log.info({ event: 'admin_socket', file: admin }, 'commands are heard')
    if (why !== undefined) {
      log.info({ event: 'plain_udp', why }, `datagrams are read one by one: ${why}`)
    } else if (!hasOwnLoops) {
      log.info({ event: 'node_loop' }, NODE_LOOP)
    }
    if (upstreams.length === 0) log.warn({ event: 'no_upstream' }, NO_UPSTREAM)
  }

  /** A certificate that ends soon is worth a warning, at each start and each renewal. */
  certificate(text: string, expiresAtSeconds: number | undefined): void {
    if (expiresAtSeconds === undefined) return
    const days = Math.floor((expiresAtSeconds - Date.now() / SECOND_MS) / DAY_S)
    const until = new Date(expiresAtSeconds * SECOND_MS).toISOString()
    const facts = { event: 'certificate', until }
    if (days >= CERTIFICATE_DAYS_MIN) this.#log.info(facts, text)
    else this.#log.warn(facts, `${text}; it ${days < 0 ? 'has expired' : `ends in ${days} days`}`)
  }

  certificateRefused(why: string): void {
    const text = `the new certificate cannot be used, the old one stays: ${why}`
    this.#log.error({ event: 'certificate_refused', why }, text)
  }

  reloaded(generation: number, names: number, needsRestart: readonly string[]): void {
    const later = needsRestart.join(', ')
    this.#log.info(
      { event: 'reloaded', generation, names, needsRestart },
      later === '' ? 'reloaded' : `reloaded; these keys take effect at the next start: ${later}`,
    )
  }

  reloadFailed(error: Error): void {
    const facts =
      error instanceof OperationalError
        ? { code: error.code, file: error.file, line: error.line }
        : { name: error.name }
    const text = `reload refused, the running filter stays: ${error.message}`
    this.#log.error({ event: 'reload_failed', ...facts }, text)
  }
}

/** As the operator writes it. */
function urlOf({ protocol, ...endpoint }: ListenSettings): string {
  return protocol === 'dns' ? textOf(endpoint) : `${protocol}://${textOf(endpoint)}`
}

function textOf({ address, port }: Endpoint): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`
}
