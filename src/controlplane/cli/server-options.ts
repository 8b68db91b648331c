/** How a command finds the running server: by its socket, told or configured. */

import type { Command } from 'commander'
import { OperationalError } from '../../base/errors.ts'
import { loadConfig, type LoadedConfig } from '../config/load.ts'
import { AdminClient } from './admin-client.ts'
import type { Cli } from './cli.ts'

/** Options of every command that speaks to a server. */
export interface ServerOptions {
  readonly config?: string
  readonly stateDir?: string
  readonly socket?: string
  readonly json?: boolean
}

/** Adds the options by which a command finds the server. */
export function addServerOptions(command: Command): Command {
  return addSocketOption(
    command
      .option('-c, --config <file>', 'configuration file of the server')
      .option('--state-dir <dir>', 'the state directory, instead of the configured one'),
  )
}

/** Adds `--socket` alone. */
export function addSocketOption(command: Command): Command {
  return command.option('-s, --socket <file>', 'the admin socket, instead of the configured one')
}

/**
 * Finds the server that a command is for.
 *
 * @throws OperationalError ERR_SERVER_UNREACHABLE when nothing says where its socket is.
 */
export function findServer(options: ServerOptions, { environment }: Cli): AdminClient {
  const { config: configFile, socket, stateDir } = options
  if (socket !== undefined) return new AdminClient(socket)
  const { adminSocket } = loadConfig({ configFile, flags: { stateDir }, environment }).control
  if (adminSocket !== undefined) return new AdminClient(adminSocket.file)
  throw new OperationalError(
    'ERR_SERVER_UNREACHABLE',
    'the configuration names no admin socket: give --socket FILE, or the --config FILE or ' +
      '--state-dir DIR that the server runs with',
  )
}

/**
 * Says who does what a command wants: a server that is there, else the command itself, by its
 * configuration.
 *
 * @param isHere never the server.
 */
export async function findPlace(
  options: ServerOptions,
  { environment }: Cli,
  isHere = false,
): Promise<{ readonly server: AdminClient } | { readonly config: LoadedConfig }> {
  const { config: configFile, socket, stateDir } = options
  if (socket !== undefined && !isHere) return { server: new AdminClient(socket) }
  const config = loadConfig({ configFile, flags: { stateDir }, environment })
  const { adminSocket } = config.control
  if (adminSocket === undefined || isHere) return { config }
  const server = new AdminClient(adminSocket.file)
  return (await server.isThere()) ? { server } : { config }
}
