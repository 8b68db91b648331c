/** A list server of every kind: each path is answered by what a test has written for it. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'

export type Answer = (request: IncomingMessage, response: ServerResponse) => void

/** A server on a free port of 127.0.0.1, and what it was asked. */
export interface ListServer extends AsyncDisposable {
  readonly origin: string
  readonly requests: IncomingMessage[]
  /** Sets what a path answers from now on; a string is a list, with its ETag. */
  serve(path: string, answer: Answer | string | Buffer): void
}

/** Starts a server; with a key and a certificate it speaks HTTPS. */
export async function startListServer(tls?: { key: string; cert: string }): Promise<ListServer> {
  const answers = new Map<string, Answer>()
  const requests: IncomingMessage[] = []
  const listener = (request: IncomingMessage, response: ServerResponse): void => {
    requests.push(request)
    const answer = answers.get(request.url ?? '')
    if (answer === undefined) response.writeHead(404).end('no such list')
    else answer(request, response)
  }
  const server: Server = tls === undefined ? createServer(listener) : createTlsServer(tls, listener)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  return {
    origin: `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}`,
    requests,
    serve: (path, answer) => {
      answers.set(path, typeof answer === 'function' ? answer : content(answer))
    },
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

/** Answers with a body and an ETag of it, and 304 to who has it. */
function content(body: string | Buffer): Answer {
  const octets = Buffer.from(body)
  const etag = `"${octets.length}-${octets.reduce((sum, octet) => (sum * 31 + octet) >>> 0, 7)}"`
  return (request, response) => {
    if (request.headers['if-none-match'] === etag) response.writeHead(304, { etag }).end()
    else response.writeHead(200, { etag, 'content-length': octets.length }).end(octets)
  }
}
