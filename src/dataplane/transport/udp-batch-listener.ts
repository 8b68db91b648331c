/**
 * UDP in batches: recvmmsg reads a burst, each query is answered where it stands, and one sendmmsg
 * sends all answers. One socket per listen address. An idle worker is woken by Node, which brings
 * the first datagram; a busy one waits in its `SocketLoop`.
 */
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram'
import { ADDRESS_STRIDE, DatagramBatch } from '../../sys/datagram-batch.ts'
import type { Libc } from '../../sys/libc.ts'
import { NODE_TURN_END, type ReadableSocket, type SocketLoop } from '../../sys/socket-loop.ts'
import { writeSocketAddress } from '../../sys/socket-address.ts'
import { Client } from '../client.ts'
import {
  DROPPED,
  DROP_ACL,
  FAMILY_IPV4,
  FAMILY_IPV6,
  PROTO_UDP,
  UDP_READ,
  UDP_SEND_ERRORS,
  count,
  querySlot,
  type Counters,
} from '../counters.ts'
import type { ReplySink, Waiter } from '../query.ts'
import type { Endpoint } from '../settings.ts'
import { ADMITTED, type ClientAccess } from './client-access.ts'
import { createListenError } from './listen-error.ts'
import type { QueryHandler } from './query-handler.ts'

/** Datagrams read by one call: more than one turn of a busy server finds waiting. */
const BATCH_SLOTS = 64
/**
 * Octets of the largest query that is read whole, and room for the largest reply that configuration
 * allows; a longer datagram ends in the middle of a record, which is FORMERR.
 */
const SLOT_OCTETS = 4096
/** Calls in one turn of the event loop; then TCP, upstreams and timers get theirs. */
const CALLS_PER_TURN = 16

/** One bound socket with its batches; the sink of every answer that its clients wait for. */
export class UdpBatchListener implements ReplySink, ReadableSocket {
  readonly #socket: Socket
  readonly #fd: number
  readonly #handler: QueryHandler
  readonly #counters: Counters
  readonly #client: Client
  /** Queries, answered in place. */
  readonly #batch: DatagramBatch
  /** Answers that had to be waited for, sent together at the end of the turn. */
  readonly #late: DatagramBatch
  readonly #codes = new Uint16Array(BATCH_SLOTS)
  readonly #flushLate: () => void
  #lateCount = 0
  #flushScheduled = false
  /** This turn of Node's loop has read all that it may. */
  #isTurnSpent = false
  readonly #renewTurn: () => void
  /** The slot of the query that is being handled. */
  #slot = 0
  #closing = false
  /** Null where the worker has no loop of its own: then Node brings the start of every burst. */
  #loop: SocketLoop | null = null
  access: ClientAccess

  constructor(
    socket: Socket,
    fd: number,
    libc: Libc,
    handler: QueryHandler,
    access: ClientAccess,
    counters: Counters,
    family: number,
  ) {
    this.#socket = socket
    this.#fd = fd
    this.#handler = handler
    this.#counters = counters
    this.#client = new Client(PROTO_UDP, family)
    this.access = access
    this.#batch = new DatagramBatch(libc, BATCH_SLOTS, SLOT_OCTETS)
    this.#late = new DatagramBatch(libc, BATCH_SLOTS, SLOT_OCTETS)
    this.#flushLate = () => {
      this.#flushScheduled = false
      this.#sendLate()
    }
    this.#renewTurn = () => {
      this.#isTurnSpent = false
    }
    socket.on('message', (message, remote) => this.#woken(message, remote))
    // An ICMP report concerns one datagram; the listener goes on.
    socket.on('error', () => count(counters, UDP_SEND_ERRORS))
  }

  /** The address and port that the socket got. */
  get endpoint(): Endpoint {
    const { address, port } = this.#socket.address()
    return { address, port }
  }

  /** From now on bursts are read by the worker's own loop. */
  join(loop: SocketLoop): void {
    if (loop.addListener(this.#fd, this)) this.#loop = loop
  }

  hold(waiter: Waiter): void {
    const start = this.#slot * ADDRESS_STRIDE
    const octets = this.#batch.addressOctets(this.#slot)
    const addresses = this.#batch.addresses
    for (let i = 0; i < octets; i++) waiter.peer[i] = addresses[start + i]!
    waiter.peerOctets = octets
    waiter.takeClient(this.#client)
  }

  send(reply: Uint8Array, octets: number, waiter: Waiter): boolean {
    if (this.#closing) return false
    if (this.#lateCount === BATCH_SLOTS) this.#sendLate()
    const slot = this.#lateCount++
    const late = this.#late
    const message = late.messages[slot]!
    for (let i = 0; i < octets; i++) message[i] = reply[i]!
    const start = slot * ADDRESS_STRIDE
    const peerOctets = waiter.peerOctets
    for (let i = 0; i < peerOctets; i++) late.addresses[start + i] = waiter.peer[i]!
    late.queue(slot, octets, peerOctets)
    if (!this.#flushScheduled) {
      this.#flushScheduled = true
      ;(this.#loop ?? NODE_TURN_END).atTurnEnd(this.#flushLate)
    }
    return true
  }

  close(): void {
    if (this.#closing) return
    this.#sendLate()
    this.#closing = true
    this.#loop?.remove(this.#fd)
    this.#socket.close()
  }

  /** The first datagram of a burst came through libuv; it goes to slot 0, the rest behind it. */
  #woken(message: Uint8Array, remote: RemoteInfo): void {
    const batch = this.#batch
    const octets = Math.min(message.length, SLOT_OCTETS)
    const first = batch.messages[0]!
    for (let i = 0; i < octets; i++) first[i] = message[i]!
    const addressOctets = writeSocketAddress(batch.addresses, remote.address, remote.port)
    if (addressOctets === 0) {
      count(this.#counters, UDP_READ + this.#client.family)
      this.#drop(DROP_ACL)
      return
    }
    batch.place(0, octets, addressOctets)
    // Node hands over many datagrams in one turn, each by a call of this function: once the turn
    // has had its share, what waits in the socket waits for the next one.
    if (this.#isTurnSpent) this.#answer(1, performance.now())
    else if (!this.#drain(1, performance.now())) this.#spendTurn()
    this.#loop?.wake()
  }

  readable(nowMs: number): boolean {
    return !this.#drain(0, nowMs)
  }

  #spendTurn(): void {
    this.#isTurnSpent = true
    setImmediate(this.#renewTurn)
  }

  /**
   * Answers what waits in the socket; slots below `start` are filled already. False when there is
   * more than one turn may take.
   */
  #drain(start: number, receivedMs: number): boolean {
    const batch = this.#batch
    let from = start
    for (let calls = 0; calls < CALLS_PER_TURN; calls++) {
      const received = batch.receive(this.#fd, from)
      const end = from + Math.max(0, received)
      this.#answer(end, receivedMs)
      if (end < BATCH_SLOTS) return true
      from = 0
    }
    return false
  }

  /** Handles the slots below `end` and sends their answers in one call. */
  #answer(end: number, receivedMs: number): void {
    if (end === 0) return
    const batch = this.#batch
    const handler = this.#handler
    const client = this.#client
    const codes = this.#codes
    const read = UDP_READ + client.family
    this.#counters[read] = this.#counters[read]! + end
    for (let slot = 0; slot < end; slot++) {
      const refusal = this.access.admit(batch.addresses, slot * ADDRESS_STRIDE, client)
      if (refusal !== ADMITTED) {
        this.#drop(refusal)
        continue
      }
      this.#slot = slot
      const message = batch.messages[slot]!
      const octets = Math.min(batch.lengthOf(slot), SLOT_OCTETS)
      const replyOctets = handler.handle(message, octets, message, client, this, receivedMs)
      if (replyOctets <= 0) continue
      codes[batch.queued] = handler.replyCode
      batch.queue(slot, replyOctets, batch.addressOctets(slot))
    }
    const queued = batch.queued
    if (queued === 0) return
    const refused = batch.send(this.#fd)
    const milliseconds = performance.now() - receivedMs
    for (let i = 0; i < queued; i++) handler.countSent(codes[i]!, milliseconds)
    if (refused > 0) this.#countRefused(refused)
  }

  #sendLate(): void {
    if (this.#lateCount === 0 || this.#closing) return
    this.#lateCount = 0
    const refused = this.#late.send(this.#fd)
    if (refused > 0) this.#countRefused(refused)
  }

  #countRefused(refused: number): void {
    this.#counters[UDP_SEND_ERRORS] = this.#counters[UDP_SEND_ERRORS]! + refused
  }

  #drop(reason: number): void {
    count(this.#counters, querySlot(PROTO_UDP, this.#client.family, 0))
    count(this.#counters, DROPPED + reason)
  }
}

/**
 * Takes over a bound socket and answers queries from then on. The descriptor is closed with the
 * listener, or by Node when the thread ends.
 */
export function openUdpBatchListener(
  libc: Libc,
  fd: number,
  endpoint: Endpoint,
  handler: QueryHandler,
  access: ClientAccess,
  counters: Counters,
): Promise<UdpBatchListener> {
  const ipv6 = endpoint.address.includes(':')
  const socket = createSocket(ipv6 ? 'udp6' : 'udp4')
  return new Promise((resolve, reject) => {
    const onError = (cause: NodeJS.ErrnoException): void => {
      reject(createListenError(endpoint, 'UDP', cause))
    }
    socket.once('error', onError)
    socket.bind({ fd }, () => {
      socket.off('error', onError)
      const family = ipv6 ? FAMILY_IPV6 : FAMILY_IPV4
      resolve(new UdpBatchListener(socket, fd, libc, handler, access, counters, family))
    })
  })
}
