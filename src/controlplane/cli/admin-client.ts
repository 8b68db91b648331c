/** The commands' end of the admin socket: one request, its progress, its result. */

import { request, type IncomingMessage } from 'node:http'
import * as z from 'zod'
import { ERROR_CODES, OperationalError, type ErrorCode } from '../../base/errors.ts'
import { MiB, SECOND_MS } from '../../base/units.ts'
import { isAnswered } from '../admin/admin-socket.ts'
import { isGroup, systemCode } from '../config/plain.ts'

/** Time for a server to say anything at all. */
const FIRST_OCTET_MS_MAX = 10 * SECOND_MS
/** Octets of one line of a reply. */
const LINE_OCTETS_MAX = 64 * MiB

/** How a request is made. */
export interface AskOptions {
  /** Undefined: a GET. */
  readonly body?: object | undefined
  readonly onProgress?: ((event: unknown) => void) | undefined
  /** Ends the request; the server then undoes what it has not finished. */
  readonly signal?: AbortSignal | undefined
  /** Whether the first sign may take longer than a moment. */
  readonly isLong?: boolean | undefined
}

const Failure = z.object({
  code: z.string(),
  message: z.string(),
  file: z.string().optional(),
  line: z.number().optional(),
  column: z.number().optional(),
})

/** One server, found by the path of its socket. */
export class AdminClient {
  readonly #file: string

  constructor(file: string) {
    this.#file = file
  }

  /** Whether a server is there; one that this user may not ask is there as well. */
  async isThere(): Promise<boolean> {
    return isAnswered(this.#file)
  }

  /**
   * Asks, and resolves with what the server says, checked against `schema`.
   *
   * @throws OperationalError ERR_SERVER_UNREACHABLE when none answers or this user may not ask;
   *   whatever error the server answers with, with its own code.
   */
  async ask<Schema extends z.ZodType>(
    path: string,
    schema: Schema,
    options: AskOptions = {},
  ): Promise<z.output<Schema>> {
    const response = await this.#send(path, options)
    const result = await readReply(response, options.onProgress).catch((error: unknown) => {
      throw this.#failure(error, options.signal)
    })
    const parsed = schema.safeParse(result)
    if (parsed.success) return parsed.data
    const [issue] = parsed.error.issues
    const why = `${issue?.path.join('.')}: ${issue?.message}`
    throw new OperationalError(
      'ERR_SERVER_UNREACHABLE',
      `the server on ${this.#file} speaks another version of this protocol (${why}); use the ` +
        'command of the version that runs',
    )
  }

  #send(path: string, { body, isLong, signal }: AskOptions): Promise<IncomingMessage> {
    const text = body === undefined ? '' : JSON.stringify(body)
    const { promise, reject, resolve } = withResolvers<IncomingMessage>()
    const headers = {
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(text),
    }
    const sent = request({
      socketPath: this.#file,
      path,
      method: body === undefined ? 'GET' : 'POST',
      headers,
      agent: false,
      signal,
    })
    const timer = setTimeout(
      () => sent.destroy(new Error('it says nothing')),
      isLong === true ? 2 ** 31 - 1 : FIRST_OCTET_MS_MAX,
    )
    sent.once('response', (response) => {
      clearTimeout(timer)
      resolve(response)
    })
    sent.once('error', (error) => {
      clearTimeout(timer)
      reject(this.#failure(error, signal))
    })
    sent.end(text)
    return promise
  }

  #failure(error: unknown, signal: AbortSignal | undefined): unknown {
    if (signal?.aborted === true || error instanceof OperationalError) return error
    const file = this.#file
    const code = systemCode(error)
    const facts = { file, cause: error }
    const say = (message: string) => new OperationalError('ERR_SERVER_UNREACHABLE', message, facts)
    switch (code) {
      case 'ENOENT':
      case 'ECONNREFUSED':
        return say(`no server is running: nobody answers on ${file}`)
      case 'EACCES':
      case 'EPERM':
        return say(
          `a server's socket is at ${file}, and this user may not use it: run the command as the ` +
            "server's user, or as a member of the group that owns the socket (key admin.group)",
        )
      default: {
        const why = error instanceof Error ? error.message : String(error)
        return say(`the server on ${file} has ended the conversation (${why}); see its log`)
      }
    }
  }
}

/** Reads one object, or lines of them, until the result or the error. */
async function readReply(
  response: IncomingMessage,
  onProgress: ((event: unknown) => void) | undefined,
): Promise<unknown> {
  const isStream = response.headers['content-type'] === 'application/x-ndjson'
  let rest = ''
  let last: unknown
  const take = (line: string): void => {
    if (line === '') return
    const content: unknown = JSON.parse(line)
    if (isGroup(content) && isGroup(content['error'])) throw errorOf(content['error'])
    if (!isStream) last = content
    else if (isGroup(content) && 'progress' in content) onProgress?.(content['progress'])
    else if (isGroup(content)) last = content['result']
  }
  response.setEncoding('utf8')
  for await (const chunk of response) {
    rest += String(chunk)
    const lines = rest.split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) take(line)
    if (rest.length > LINE_OCTETS_MAX) throw new Error('its reply has no end')
  }
  take(rest)
  if (last === undefined) throw new Error('it went away before the result')
  return last
}

/** The server's error as ours, so that the command ends as it would have without a server. */
function errorOf(content: object): Error {
  const parsed = Failure.safeParse(content)
  if (!parsed.success) return new Error('it answers with an error that cannot be read')
  const { code, message, ...facts } = parsed.data
  if (!isErrorCode(code)) return new Error(`it reports a defect: ${message}`)
  const { column, file, line } = facts
  return new OperationalError(code, message, {
    ...(file !== undefined && { file }),
    ...(line !== undefined && { line }),
    ...(column !== undefined && { column }),
  })
}

function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(ERROR_CODES, code)
}

function withResolvers<Value>() {
  let resolve!: (value: Value) => void
  let reject!: (reason: unknown) => void
  const promise = new Promise<Value>((onValue, onReason) => {
    resolve = onValue
    reject = onReason
  })
  return { promise, resolve, reject }
}
