/** What a listener on TCP and the connections that it accepts know of each other. */
import type { Socket } from 'node:net'
import type { SocketLoop } from '../../sys/socket-loop.ts'
import type { StreamCalls } from '../../sys/stream-calls.ts'
import type { Client } from '../client.ts'
import type { Counters } from '../counters.ts'
import type { LimitSettings } from '../settings.ts'
import type { ClientAccess } from './client-access.ts'
import type { QueryHandler } from './query-handler.ts'
import type { ReplyGather } from './reply-gather.ts'
import type { TurnBudget } from './turn-budget.ts'

/** One client's connection, as its listener sees it. */
export interface StreamConnection {
  /** Destroying it ends the connection at once. */
  readonly socket: Socket
  readonly address: string
  /** Queries whose answers are still awaited. */
  readonly inFlight: number
  /** When octets of messages last moved, either way. */
  readonly activeMs: number
  /** True when it does not take its end: octets that nobody reads. */
  readonly isStuck: boolean
  /** Finds the client anew: its site may be another, or it may not ask any more. */
  isAdmitted(access: ClientAccess): boolean
  /** True when a message, or the first one, has been coming for too long. */
  isOverdue(nowMs: number, messageMsMax: number): boolean
  /** Closes for good after the answers that are already written. */
  finish(): void
}

/** The listener, as its connections see it. */
export interface StreamContext {
  readonly handler: QueryHandler
  readonly counters: Counters
  readonly limits: LimitSettings
  /** Where an answer is written before it is copied. */
  readonly reply: Uint8Array
  readonly gather: ReplyGather
  /** What the turn of the event loop still has for all connections of the listener. */
  readonly turn: TurnBudget
  isGathering: boolean
  /** Octets of answers that the clients of all connections have not taken yet. */
  unsentOctets: number
  /** The worker's own loop, to let datagrams have their turn; null where there is none. */
  readonly loop: SocketLoop | null
  /** Reads and writes without Node's streams; null where there are no system calls. */
  readonly calls: StreamCalls | null
  /** The connection is gone. */
  forget(connection: StreamConnection): void
}

/** What is spoken over an accepted TCP connection. */
export interface StreamProtocol {
  /** One of `PROTO_*`. */
  readonly proto: number
  /** Takes the connection over. */
  openConnection(
    socket: Socket,
    address: string,
    client: Client,
    listener: StreamContext,
  ): StreamConnection
}
