/** Why an address could not be listened on, as an error that tells the operator what to do. */
import { OperationalError } from '../../base/errors.ts'
import type { Endpoint } from '../settings.ts'

/** Returns the error for a failed bind of `endpoint`. */
export function createListenError(
  endpoint: Endpoint,
  transport: string,
  cause: NodeJS.ErrnoException,
): OperationalError {
  const { address, port } = endpoint
  const where = address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`
  switch (cause.code) {
    case 'EADDRINUSE':
      return new OperationalError(
        'ERR_ADDRESS_IN_USE',
        `${transport} ${where} is already in use; stop the other program (ss -lnptu shows it) ` +
          'or listen elsewhere with --listen',
        { cause },
      )
    case 'EACCES':
      return new OperationalError(
        'ERR_PERMISSION',
        `no permission to listen on ${transport} ${where}; ports below 1024 need ` +
          'CAP_NET_BIND_SERVICE',
        { cause },
      )
    case 'EADDRNOTAVAIL':
      return new OperationalError(
        'ERR_ADDRESS_UNAVAILABLE',
        `this machine has no address ${address}; give one that "ip address" shows`,
        { cause },
      )
    default:
      return new OperationalError(
        'ERR_ADDRESS_UNAVAILABLE',
        `cannot listen on ${transport} ${where}: ${cause.message}`,
        { cause },
      )
  }
}
