/** What the supervisor of the workers tells, as log lines; deaths are counted for the metrics. */
import type { Logger } from 'pino'
import type { OperationalError } from '../base/errors.ts'
import type { Endpoint, ListenSettings } from '../dataplane/settings.ts'
import { formatEndpoint } from './config/addresses.ts'
import type { AddressChanges } from './threads/listen-sockets.ts'
import type { SupervisorEvents } from './threads/supervisor.ts'

/** One server's log of its workers. */
export class SupervisorLog implements SupervisorEvents {
  readonly #log: Logger
  readonly #onFatal: (error: OperationalError) => void
  /** Workers that died since the start. */
  deaths = 0

  /** @param onFatal called when workers die faster than they can be restarted. */
  constructor(log: Logger, onFatal: (error: OperationalError) => void) {
    this.#log = log
    this.#onFatal = onFatal
  }

  workerDied(worker: number, reason: string): void {
    this.deaths += 1
    this.#log.error({ event: 'worker_died', worker, reason }, 'a worker died; restarting it')
  }

  addressesChanged({ appeared, vanished }: AddressChanges): void {
    const facts = { appeared: appeared.map(formatListen), vanished: vanished.map(formatEndpoint) }
    this.#log.info({ event: 'addresses_changed', ...facts }, 'listening where the wildcard says')
  }

  addressFailed(endpoint: Endpoint, reason: string): void {
    const facts = { event: 'address_failed', listen: formatEndpoint(endpoint), reason }
    this.#log.warn(facts, `cannot listen there yet: ${reason}`)
  }

  gaveUp(error: OperationalError): void {
    this.#onFatal(error)
  }
}

/** A listen address as the operator writes it. */
export function formatListen({ protocol, ...endpoint }: ListenSettings): string {
  return protocol === 'dns' ? formatEndpoint(endpoint) : `${protocol}://${formatEndpoint(endpoint)}`
}
