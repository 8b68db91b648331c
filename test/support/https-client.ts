/** HTTP requests of tests to the HTTPS listener, over HTTP/2 or HTTP/1.1. */
import { connect, type ClientHttp2Session, type OutgoingHttpHeaders } from 'node:http2'
import { request as requestHttps } from 'node:https'
import { Gate, within } from './gate.ts'

const RESPONSE_MS_MAX = 5000
export const DNS_MESSAGE = 'application/dns-message'

export interface HttpsServer {
  readonly address: string
  readonly port: number
  /** PEM of the authority that its certificate must lead to. */
  readonly authority: string
  readonly serverName: string
}

export interface HttpResponse {
  readonly status: number
  readonly headers: Readonly<Record<string, unknown>>
  readonly body: Buffer
}

/** Opens an HTTP/2 session; the test closes it. */
export async function openHttp2(server: HttpsServer): Promise<ClientHttp2Session> {
  const session = connect(`https://${server.serverName}:${server.port}`, {
    ca: server.authority,
    servername: server.serverName,
    host: server.address,
  })
  const gate = new Gate()
  session.once('connect', () => gate.open())
  session.once('error', (error: Error) => gate.fail(error))
  await within(RESPONSE_MS_MAX, 'no HTTP/2 session', gate.opened)
  session.on('error', () => {})
  return session
}

/** One request on a session. */
export function askHttp2(
  session: ClientHttp2Session,
  headers: OutgoingHttpHeaders,
  body?: Uint8Array,
): Promise<HttpResponse> {
  const gate = new Gate<HttpResponse>()
  const stream = session.request(headers, { endStream: body === undefined })
  const chunks: Buffer[] = []
  let seen: Record<string, unknown> = {}
  stream.on('response', (response) => {
    seen = response
  })
  stream.on('data', (chunk: Buffer) => chunks.push(chunk))
  stream.on('error', (error: Error) => gate.fail(error))
  stream.on('close', () =>
    gate.open({ status: Number(seen[':status']), headers: seen, body: Buffer.concat(chunks) }),
  )
  if (body !== undefined) stream.end(body)
  return within(RESPONSE_MS_MAX, 'no response', gate.opened)
}

/** One request on a connection of its own, over HTTP/1.1. */
export function askHttp1(
  server: HttpsServer,
  method: string,
  path: string,
  headers: Record<string, string> = {},
  body?: Uint8Array,
): Promise<HttpResponse> {
  const gate = new Gate<HttpResponse>()
  const { address: host, port, authority: ca, serverName: servername } = server
  const options = { host, port, ca, servername, method, path, headers, agent: false as const }
  const request = requestHttps(options, (response) => {
    const chunks: Buffer[] = []
    response.on('data', (chunk: Buffer) => chunks.push(chunk))
    response.on('end', () =>
      gate.open({
        status: response.statusCode ?? 0,
        headers: response.headers,
        body: Buffer.concat(chunks),
      }),
    )
  })
  request.on('error', (error) => gate.fail(error))
  request.end(body)
  return within(RESPONSE_MS_MAX, 'no response', gate.opened)
}
