/**
 * The admin socket: HTTP/1.1 over a Unix socket, by which commands speak to the running server.
 * Who may write to the file (mode 0660) may do everything; who it was is known by the kernel.
 *
 * A reply is one JSON object, or, from the first progress on, lines of them: `{"progress": …}` and
 * at the end `{"result": …}` or `{"error": {code, message, …}}`.
 */
import { chmodSync, chownSync, lstatSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { connect, type Socket } from 'node:net'
import type { Logger } from 'pino'
import { OperationalError, type ErrorCode } from '../../base/errors.ts'
import { KiB, MiB, SECOND_MS } from '../../base/units.ts'
import { systemCode } from '../config/plain.ts'
import type { Actor } from '../generations/audit.ts'
import type { Callers } from './caller.ts'
import type { Route } from './route.ts'

const SOCKET_MODE = 0o660
/** What is left of a new file's mode: read and write for owner and group. */
const SOCKET_UMASK = 0o117
const HEADER_OCTETS_MAX = 8 * KiB
const CONNECTIONS_MAX = 32
const REQUEST_MS_MAX = 10 * SECOND_MS
/** A caller that does not read its reply is let go after this. */
const UNREAD_MS_MAX = 30 * SECOND_MS
/** Progress that a caller has not read yet; past it events are left out, results never. */
const UNREAD_OCTETS_MAX = MiB
/** What is under way at the end gets so long to clean up. */
const STOP_MS_MAX = 2 * SECOND_MS
const JSON_TYPE = 'application/json'
const LINES_TYPE = 'application/x-ndjson'

const STATUS: Partial<Record<ErrorCode, number>> = {
  ERR_USAGE: 400,
  ERR_NO_STATE: 404,
  ERR_STATE_LOCKED: 409,
  ERR_HELD: 409,
}

export interface AdminSocketOptions {
  /** Absolute path of the socket. */
  readonly file: string
  /** Number of the group that may use it; undefined: that of the server's user. */
  readonly group: number | undefined
  readonly routes: readonly Route[]
  readonly callers: Callers
  readonly log: Logger
}

/** The listening socket, from `open` to `close`. */
export class AdminSocket {
  readonly #options: AdminSocketOptions
  readonly #server: Server
  readonly #callers = new WeakMap<Socket, Actor>()
  readonly #underWay = new Map<AbortController, Promise<void>>()

  private constructor(options: AdminSocketOptions) {
    this.#options = options
    const limits = { maxHeaderSize: HEADER_OCTETS_MAX, requestTimeout: REQUEST_MS_MAX }
    this.#server = createServer(limits, (request, response) => {
      this.#take(request, response)
    })
    this.#server.headersTimeout = REQUEST_MS_MAX
    this.#server.maxConnections = CONNECTIONS_MAX
    this.#server.on('connection', (socket: Socket) => {
      this.#callers.set(socket, options.callers.of(socket))
    })
  }

  /**
   * Listens. A socket of a dead process is removed, one that somebody answers is not.
   *
   * @throws OperationalError ERR_ADDRESS_IN_USE, ERR_PERMISSION, ERR_ADDRESS_UNAVAILABLE.
   */
  static async open(options: AdminSocketOptions): Promise<AdminSocket> {
    await removeStale(options.file)
    const socket = new AdminSocket(options)
    await socket.#listen()
    return socket
  }

  async #listen(): Promise<void> {
    const { file, group } = this.#options
    const server = this.#server
    // The file never has a mode that lets others in, not even between two calls.
    const umask = process.umask(SOCKET_UMASK)
    try {
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject)
        server.listen(file, resolve)
        process.umask(umask)
      })
      if (group !== undefined) chownSync(file, -1, group)
      chmodSync(file, SOCKET_MODE)
    } catch (cause) {
      server.close()
      throw unusable(file, cause)
    } finally {
      process.umask(umask)
    }
  }

  /** Ends what is under way, closes, and removes the file. */
  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    for (const controller of this.#underWay.keys()) {
      controller.abort(new OperationalError('ERR_SERVER_UNREACHABLE', 'the server stops'))
    }
    const patience = new Promise<void>((resolve) => setTimeout(resolve, STOP_MS_MAX).unref())
    await Promise.race([Promise.allSettled(this.#underWay.values()), patience])
    this.#server.closeAllConnections()
    await closed
    await rm(this.#options.file, { force: true })
  }

  #take(request: IncomingMessage, response: ServerResponse): void {
    const controller = new AbortController()
    response.once('close', () => {
      if (!response.writableFinished) controller.abort(new Error('the caller went away'))
    })
    const work = this.#answer(request, response, controller.signal)
      .catch(() => void response.destroy())
      .finally(() => this.#underWay.delete(controller))
    this.#underWay.set(controller, work)
  }

  async #answer(
    request: IncomingMessage,
    response: ServerResponse,
    signal: AbortSignal,
  ): Promise<void> {
    const reply = new Reply(response)
    const path = (request.url ?? '').split('?')[0] ?? ''
    const found = this.#options.routes.find((route) => route.path === path)
    const isMethod = found?.method === request.method
    if (found === undefined || !isMethod) {
      const what = found === undefined ? `there is no ${path}` : `${path} takes ${found.method}`
      reply.fail(new OperationalError('ERR_USAGE', what), found === undefined ? 404 : 405)
      return
    }
    try {
      const caller = this.#callers.get(request.socket) ?? this.#options.callers.of(request.socket)
      const body = await readBody(request, found.bodyOctetsMax)
      const progress = (event: object): boolean => reply.progress(event)
      reply.end(await found.run({ body, caller, signal, progress }))
    } catch (error) {
      if (!(error instanceof OperationalError) && !signal.aborted) {
        const why = error instanceof Error ? (error.stack ?? error.message) : String(error)
        this.#options.log.error({ event: 'admin_failed', path, why }, `${path} failed: ${why}`)
      }
      reply.fail(error)
    }
  }
}

/** One reply: an object, or a stream of lines from the first progress on. */
class Reply {
  readonly #response: ServerResponse

  constructor(response: ServerResponse) {
    this.#response = response
  }

  progress(event: object): boolean {
    const response = this.#response
    if (response.destroyed || response.writableEnded) return false
    if (!response.headersSent)
      response.writeHead(200, { 'content-type': LINES_TYPE, connection: 'close' })
    if (response.writableLength >= UNREAD_OCTETS_MAX) return false
    this.#write({ progress: event })
    return true
  }

  end(result: object): void {
    if (this.#response.headersSent) this.#write({ result })
    else this.#head(200, result)
    this.#finish()
  }

  fail(failure: unknown, status?: number): void {
    const error = errorJson(failure)
    if (this.#response.headersSent) this.#write({ error })
    else this.#head(status ?? statusOf(failure), { error })
    this.#finish()
  }

  #head(status: number, content: object): void {
    this.#response.writeHead(status, { 'content-type': JSON_TYPE, connection: 'close' })
    this.#write(content)
  }

  #write(content: object): void {
    this.#response.write(`${JSON.stringify(content)}\n`)
  }

  #finish(): void {
    const { socket } = this.#response
    socket?.setTimeout(UNREAD_MS_MAX, () => socket.destroy())
    this.#response.end()
  }
}

/** An error as callers read it; of a defect they learn no more than that it is one. */
function errorJson(failure: unknown): object {
  if (!(failure instanceof OperationalError)) {
    const message = failure instanceof Error ? failure.message : String(failure)
    return { code: 'ERR_INTERNAL', message }
  }
  const { code, message, file, line, column } = failure
  return { code, message, file, line, column }
}

function statusOf(failure: unknown): number {
  return failure instanceof OperationalError ? (STATUS[failure.code] ?? 422) : 500
}

/** Reads the body as JSON; none at all is an empty object. */
async function readBody(request: IncomingMessage, octetsMax: number): Promise<unknown> {
  const chunks: Buffer[] = []
  let octets = 0
  for await (const chunk of request) {
    const part = Buffer.from(chunk)
    octets += part.length
    if (octets > octetsMax) {
      throw new OperationalError('ERR_USAGE', `the body has more than ${octetsMax} octets`)
    }
    chunks.push(part)
  }
  if (octets === 0) return {}
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8'))
  } catch {
    throw new OperationalError('ERR_USAGE', 'the body is not JSON')
  }
}

/** Removes the socket that a dead process has left; what is no socket stays. */
async function removeStale(file: string): Promise<void> {
  const found = lstatSync(file, { throwIfNoEntry: false })
  if (found === undefined) return
  if (!found.isSocket()) {
    const message = `${file} is there and is no socket; remove it, or name another admin.socket`
    throw new OperationalError('ERR_ADDRESS_IN_USE', message, { file })
  }
  if (await isAnswered(file)) {
    const message = `another server answers on ${file}; stop it, or name another admin.socket`
    throw new OperationalError('ERR_ADDRESS_IN_USE', message, { file })
  }
  await rm(file, { force: true })
}

/** Whether a process listens on the socket; one that may not be asked is one that does. */
export function isAnswered(file: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(file)
    probe.once('connect', () => {
      probe.destroy()
      resolve(true)
    })
    probe.once('error', (error) => {
      const code = systemCode(error)
      resolve(code !== 'ECONNREFUSED' && code !== 'ENOENT')
    })
  })
}

function unusable(file: string, cause: unknown): OperationalError {
  const code = systemCode(cause)
  const facts = { file, cause }
  if (code === 'EADDRINUSE') {
    const message = `${file} is in use by another server; name another admin.socket`
    return new OperationalError('ERR_ADDRESS_IN_USE', message, facts)
  }
  if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS') {
    const advice = 'let this user write the folder and belong to admin.group, or name another'
    const message = `cannot make the admin socket ${file} (${code}): ${advice} admin.socket`
    return new OperationalError('ERR_PERMISSION', message, facts)
  }
  const why = cause instanceof Error ? cause.message : String(cause)
  const message = `cannot listen on the admin socket ${file}: ${why}`
  return new OperationalError('ERR_ADDRESS_UNAVAILABLE', message, facts)
}
