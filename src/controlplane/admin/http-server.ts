/**
 * The admin pages: `/metrics` for Prometheus, `/livez` and `/readyz` for supervisors. Read only,
 * small limits, a loopback address by default.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { KiB } from '../../base/units.ts'
import type { Endpoint } from '../../dataplane/settings.ts'
import { createListenError } from '../../dataplane/transport/listen-error.ts'
import type { Metrics } from './metrics.ts'
import type { ReadinessCheck } from './server-facts.ts'

const HEADER_OCTETS_MAX = 8 * KiB
const CONNECTIONS_MAX = 64
const REQUEST_MS_MAX = 5000
const OPENMETRICS = 'application/openmetrics-text'
const TEXT = 'text/plain; charset=utf-8'

export interface AdminPages {
  readonly metrics: Metrics
  checks(): readonly ReadinessCheck[]
}

/** The HTTP server of the admin pages. */
export class AdminServer {
  readonly #server: Server
  readonly #pages: AdminPages

  constructor(pages: AdminPages) {
    this.#pages = pages
    const options = { maxHeaderSize: HEADER_OCTETS_MAX, requestTimeout: REQUEST_MS_MAX }
    this.#server = createServer(options, (request, response) => {
      this.#answer(request, response).catch(() => response.destroy())
    })
    this.#server.headersTimeout = REQUEST_MS_MAX
    this.#server.maxConnections = CONNECTIONS_MAX
  }

  /** @throws OperationalError when the address cannot be bound. */
  async listen(endpoint: Endpoint): Promise<Endpoint> {
    const server = this.#server
    await new Promise<void>((resolve, reject) => {
      server.once('error', (error) => reject(createListenError(endpoint, 'TCP (metrics)', error)))
      server.listen(endpoint.port, endpoint.address, resolve)
    })
    const bound = server.address()
    return bound === null || typeof bound === 'string'
      ? endpoint
      : { ...endpoint, port: bound.port }
  }

  async close(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve())
      this.#server.closeAllConnections()
    })
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      reply(response, 405, TEXT, 'only GET and HEAD are answered here\n', { allow: 'GET, HEAD' })
      return
    }
    switch ((request.url ?? '').split('?')[0]) {
      case '/metrics': {
        const openMetrics = (request.headers.accept ?? '').includes(OPENMETRICS)
        const { contentType, body } = await this.#pages.metrics.render(openMetrics)
        reply(response, 200, contentType, body)
        return
      }
      case '/livez':
        reply(response, 200, TEXT, 'alive\n')
        return
      case '/readyz': {
        const checks = this.#pages.checks()
        const status = checks.every(({ ok }) => ok) ? 200 : 503
        reply(response, status, 'application/json', `${JSON.stringify({ checks })}\n`)
        return
      }
      default:
        reply(response, 404, TEXT, 'there are /metrics, /livez and /readyz\n')
    }
  }
}

function reply(
  response: ServerResponse,
  status: number,
  contentType: string,
  body: string,
  headers: Readonly<Record<string, string>> = {},
): void {
  response.writeHead(status, { ...headers, 'content-type': contentType })
  response.end(body)
}
