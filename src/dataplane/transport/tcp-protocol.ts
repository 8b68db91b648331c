/** DNS over TCP in clear (RFC 7766). */
import type { Socket } from 'node:net'
import { descriptorOf } from '../../sys/stream-calls.ts'
import type { Client } from '../client.ts'
import { PROTO_TCP } from '../counters.ts'
import type { StreamConnection, StreamContext, StreamProtocol } from './stream-connection.ts'
import { TcpConnection } from './tcp-connection.ts'

/** The messages as they are. */
export class TcpProtocol implements StreamProtocol {
  readonly proto = PROTO_TCP

  openConnection(
    socket: Socket,
    address: string,
    client: Client,
    listener: StreamContext,
  ): StreamConnection {
    return new TcpConnection(socket, address, client, listener, descriptorOf(socket))
  }
}
