/**
 * What the service manager is told (sd_notify(3)): that the server answers, reloads or stops, and,
 * where the unit has a watchdog, that it is still alive.
 */

import type { Logger } from 'pino'
import { openNotifySocket, type NotifySocket } from '../sys/notify-socket.ts'

/**
 * Signs of life within one watchdog time: two of them may be lost, or late under load, before the
 * manager ends the service.
 */
const BEATS_PER_WATCHDOG = 3
const USEC_PER_MS = 1000
const NSEC_PER_USEC = 1000n

/** The variables that the manager sets. */
export interface NoticeEnvironment {
  readonly NOTIFY_SOCKET?: string | undefined
  readonly WATCHDOG_USEC?: string | undefined
  readonly WATCHDOG_PID?: string | undefined
}

/** Tells a service manager, or nobody where there is none. */
export class ServiceNotice {
  readonly #socket: NotifySocket | undefined
  #beats: NodeJS.Timeout | undefined

  private constructor(socket: NotifySocket | undefined) {
    this.#socket = socket
  }

  /** Finds the manager by its variables; what is wrong with them is a warning, never an end. */
  static async open(environment: NoticeEnvironment, log: Logger): Promise<ServiceNotice> {
    const address = environment.NOTIFY_SOCKET ?? ''
    if (address === '') return new ServiceNotice(undefined)
    const socket = await openNotifySocket(address)
    if ('why' in socket) {
      const { why } = socket
      log.warn({ event: 'no_notify', why }, `the service manager cannot be told: ${why}`)
      return new ServiceNotice(undefined)
    }
    return new ServiceNotice(socket)
  }

  /** The server answers: from its start, or again after a reload. */
  ready(): void {
    this.#send('READY=1', 'STATUS=answering')
  }

  /** A reload begins; `ready` ends it. */
  reloading(): void {
    // Managers that wait for the end of a reload compare this time with that of their request.
    const now = process.hrtime.bigint() / NSEC_PER_USEC
    this.#send('RELOADING=1', `MONOTONIC_USEC=${now}`, 'STATUS=reloading')
  }

  /** No sign of life is due any more: the manager has a time limit for the stop. */
  stopping(): void {
    clearInterval(this.#beats)
    this.#send('STOPPING=1', 'STATUS=answering what is in flight')
  }

  /** Gives signs of life while `isAlive` says so, if the unit has a watchdog for this process. */
  watch(environment: NoticeEnvironment, isAlive: () => boolean): void {
    const { WATCHDOG_USEC: usec = '', WATCHDOG_PID: pid = String(process.pid) } = environment
    const milliseconds = Number(usec) / USEC_PER_MS / BEATS_PER_WATCHDOG
    if (this.#socket === undefined || pid !== String(process.pid)) return
    if (!(milliseconds >= 1)) return
    this.#beats = setInterval(() => {
      if (isAlive()) this.#send('WATCHDOG=1')
    }, milliseconds)
    this.#beats.unref()
  }

  close(): void {
    clearInterval(this.#beats)
    this.#socket?.close()
  }

  #send(...lines: readonly string[]): void {
    this.#socket?.send(lines.map((line) => `${line}\n`).join(''))
  }
}
