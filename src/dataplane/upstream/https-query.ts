/**
 * One question on its own HTTP/2 stream: gathers the response, says how it ended, once. It says so
 * on the next tick: what follows may ask anew, and `undici` is not made for that while it still
 * reports.
 */
import type { IncomingHttpHeaders } from 'node:http'
import type { Dispatcher } from 'undici'
import { MESSAGE_OCTETS_MAX } from '../../wire/header.ts'
import type { Attempt } from './attempt.ts'

const STATUS_OK = 200
const CONTENT_TYPE = 'application/dns-message'
const NO_OCTETS = Buffer.alloc(0)
const ABANDONED = new Error('nobody waits for this response any more')
const NO_MESSAGE = new Error('this is no DNS message')
const COMPLETED = 0
const REFUSED = 1
const BROKEN = 2

/** What an exchange is told, once per question. */
export interface HttpsQueryEvents {
  completed(attempt: Attempt, message: Uint8Array, ageSeconds: number): void
  refused(attempt: Attempt): void
  broken(attempt: Attempt, wasSent: boolean): void
}

/** The library's handler of one request. */
export class HttpsQuery implements Dispatcher.DispatchHandler {
  readonly attempt: Attempt
  /** The padded query. */
  readonly body: Buffer
  readonly #events: HttpsQueryEvents
  #controller: Dispatcher.DispatchController | null = null
  #body: Buffer = NO_OCTETS
  #ageSeconds = 0
  #ended = false
  #abandoned = false
  #result = BROKEN

  constructor(attempt: Attempt, body: Buffer, events: HttpsQueryEvents) {
    this.attempt = attempt
    this.body = body
    this.#events = events
  }

  /** Says nothing more; the stream is reset. */
  abandon(): void {
    this.#ended = true
    this.#abandoned = true
    this.#controller?.abort(ABANDONED)
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller
    if (this.#ended) controller.abort(ABANDONED)
  }

  onResponseStart(
    controller: Dispatcher.DispatchController,
    status: number,
    headers: IncomingHttpHeaders,
  ): void {
    if (this.#ended || status < STATUS_OK) return
    if (status !== STATUS_OK || !isDnsMessage(headers['content-type'])) {
      this.#refuse(controller)
      return
    }
    const age = Number(headers.age)
    this.#ageSeconds = Number.isFinite(age) && age > 0 ? Math.floor(age) : 0
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#ended) return
    const octets = this.#body.length + chunk.length
    if (octets > MESSAGE_OCTETS_MAX) this.#refuse(controller)
    else this.#body = this.#body.length === 0 ? chunk : joined(this.#body, chunk)
  }

  onResponseEnd(): void {
    if (this.#ended) return
    this.#end(COMPLETED)
  }

  onResponseError(): void {
    if (this.#ended) return
    this.#end(BROKEN)
  }

  /** Says how it ended, unless nobody waits any more. */
  report(): void {
    if (this.#abandoned) return
    if (this.#result === COMPLETED) {
      this.#events.completed(this.attempt, this.#body, this.#ageSeconds)
    } else if (this.#result === REFUSED) {
      this.#events.refused(this.attempt)
    } else {
      this.#events.broken(this.attempt, this.#controller !== null)
    }
  }

  #refuse(controller: Dispatcher.DispatchController): void {
    this.#end(REFUSED)
    controller.abort(NO_MESSAGE)
  }

  #end(result: number): void {
    this.#ended = true
    this.#result = result
    process.nextTick(report, this)
  }
}

function report(query: HttpsQuery): void {
  query.report()
}

function isDnsMessage(contentType: string | undefined): boolean {
  if (contentType === undefined) return false
  const end = contentType.indexOf(';')
  const media = end === -1 ? contentType : contentType.slice(0, end)
  return media.trim().toLowerCase() === CONTENT_TYPE
}

function joined(first: Buffer, second: Buffer): Buffer {
  const whole = Buffer.alloc(first.length + second.length)
  whole.set(first)
  whole.set(second, first.length)
  return whole
}
