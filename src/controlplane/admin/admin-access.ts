/** How commands reach the running server: the admin socket with everything that it can be asked. */
import type { Logger } from 'pino'
import * as z from 'zod'
import { OperationalError } from '../../base/errors.ts'
import { SOCKET_PATH_OCTETS_MAX } from '../config/admin-schema.ts'
import { audit, requireAudit } from '../generations/audit.ts'
import { Observations } from '../observe/routes.ts'
import { overruleRoutes } from '../overrule/routes.ts'
import type { AdminSocketPlace } from '../config/settings.ts'
import { AdminSocket } from './admin-socket.ts'
import type { AdministeredServer } from './administered-server.ts'
import { Callers, groupNumber } from './caller.ts'
import { operationRoutes } from './operation-routes.ts'
import { route, type Route } from './route.ts'
import { sumCounters } from './scrape.ts'
import { statusOf } from './status.ts'
import { TrafficWindow } from './traffic-window.ts'

const GROUP_FILE = '/etc/group'
const Nothing = z.strictObject({})

/** The socket of one server, from `open` to `close`. */
export class AdminAccess {
  readonly #socket: AdminSocket | undefined
  readonly #window: TrafficWindow | undefined
  /** Path of the socket; undefined when it could not have the one that is the default. */
  readonly file: string | undefined

  private constructor(open?: { socket: AdminSocket; window: TrafficWindow; file: string }) {
    this.#socket = open?.socket
    this.#window = open?.window
    this.file = open?.file
  }

  /**
   * Listens for commands.
   *
   * @throws OperationalError as `AdminSocket.open` does; ERR_CONFIG for a group that is unknown.
   */
  static async open(
    { file, group: name }: AdminSocketPlace,
    log: Logger,
    server: AdministeredServer,
  ): Promise<AdminAccess> {
    const octets = Buffer.byteLength(file)
    if (octets > SOCKET_PATH_OCTETS_MAX) {
      // A chosen path is checked with the configuration; a deep state directory is no mistake.
      const why = `${file} has ${octets} octets, a socket's path at most ${SOCKET_PATH_OCTETS_MAX}`
      const advice = 'commands cannot reach this server; name a shorter admin.socket'
      log.warn({ event: 'no_admin_socket', why }, `${advice}: ${why}`)
      return new AdminAccess()
    }
    const group = name === undefined ? undefined : groupNumber(name, GROUP_FILE)
    if (name !== undefined && group === undefined) {
      const message = `admin.group: "${name}" is no group of this machine`
      throw new OperationalError('ERR_CONFIG', message)
    }
    // A look every ten seconds makes nothing that would have to be collected.
    const sum = sumCounters(server.counters())
    const window = new TrafficWindow(() => sumCounters(server.counters(), sum))
    const routes = routesOf(server, window, log)
    const callers = await Callers.open()
    const socket = await AdminSocket.open({ file, group, routes, callers, log })
    window.start()
    return new AdminAccess({ socket, window, file })
  }

  async close(): Promise<void> {
    this.#window?.stop()
    await this.#socket?.close()
  }
}

/** Everything that the socket can be asked. */
function routesOf(
  server: AdministeredServer,
  window: TrafficWindow,
  log: Logger,
): readonly Route[] {
  const observations = new Observations(server, log)
  return [
    ...operationRoutes(server),
    ...observations.routes,
    route('GET', '/v1/status', Nothing, async () =>
      statusOf(server, window, observations.observers),
    ),
    route('POST', '/v1/reload', Nothing, async ({ caller }) => {
      const { stateDirectory } = server.config().control
      if (stateDirectory !== undefined) await requireAudit(stateDirectory)
      const { failure, needsRestart } = await server.reload()
      if (failure !== undefined) throw failure
      const facts = { generation: server.facts().filter.generation, needsRestart }
      // A configuration may switch categories off: who had it read anew is written down.
      if (stateDirectory !== undefined) await audit(stateDirectory, caller, 'reload', facts)
      return facts
    }),
    ...overruleRoutes(() => server.overrule()),
  ]
}
