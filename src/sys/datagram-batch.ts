/**
 * Room for a batch of datagrams, laid out once: buffers, socket addresses, and the two vectors of
 * `mmsghdr` that recvmmsg(2) and sendmmsg(2) take. Received datagrams can be answered where they
 * stand.
 *
 *     mmsghdr, 64 octets:  0 name*  8 namelen  16 iov*  24 iovlen  32 control*  40 controllen
 *                         48 flags  56 msg_len
 */
import { EAGAIN, EINTR, MSG_DONTWAIT, MSG_TRUNC, type Libc } from './libc.ts'

const MMSGHDR_OCTETS = 64
const MMSGHDR_WORDS = MMSGHDR_OCTETS / 4
const WORD_NAME = 0
const WORD_NAME_LENGTH = 2
const WORD_IOV = 4
const WORD_IOV_COUNT = 6
const WORD_FLAGS = 12
const WORD_LENGTH = 14
const IOVEC_OCTETS = 16
const IOVEC_WORDS = IOVEC_OCTETS / 4
const WORD_BASE = 0
const WORD_BASE_LENGTH = 2
/** A socket address and room to keep the next one on its own boundary. */
export const ADDRESS_STRIDE = 32
const ADDRESS_OCTETS_MAX = 28
/** Calls of one `send` that a signal may interrupt; none should, as none of them waits. */
const INTERRUPTIONS_MAX = 8
/**
 * Between two buffers beside their size: without it all of them would fall on the same cache sets.
 */
const STRIDE_SLACK = 128

/** Received: nothing more to read now. */
export const NOTHING = 0
/** Received or sent: an error that belongs to one datagram (an ICMP report); go on. */
export const FAILED = -1

export class DatagramBatch {
  readonly slots: number
  readonly slotOctets: number
  /** One view per slot, over one buffer. */
  readonly messages: readonly Uint8Array[]
  /** Socket addresses, `ADDRESS_STRIDE` octets a slot. */
  readonly addresses: Uint8Array
  readonly #libc: Libc
  readonly #receiveVector: Uint8Array
  readonly #receiveWords: Uint32Array
  /** Read by the system only; kept so that its memory stays. */
  readonly #receiveIov: Uint32Array
  readonly #sendVector: Uint8Array
  readonly #sendWords: Uint32Array
  readonly #sendIov: Uint32Array
  /** Low and high words of each slot's buffer and address. */
  readonly #bufferAt: Uint32Array
  readonly #addressAt: Uint32Array
  readonly #receiveVectorFrom1: Uint8Array
  /** Replies queued for `send`. */
  #queued = 0
  /** Slots below this one have to be made ready before the next receive. */
  #dirty: number

  constructor(libc: Libc, slots: number, slotOctets: number) {
    this.#libc = libc
    this.slots = slots
    this.slotOctets = slotOctets
    const stride = slotOctets + STRIDE_SLACK
    const buffer = new ArrayBuffer(slots * stride)
    const views = []
    for (let i = 0; i < slots; i++) views.push(new Uint8Array(buffer, i * stride, stride))
    this.messages = views
    const addresses = new ArrayBuffer(slots * ADDRESS_STRIDE)
    this.addresses = new Uint8Array(addresses)
    const receive = new ArrayBuffer(slots * MMSGHDR_OCTETS)
    const send = new ArrayBuffer(slots * MMSGHDR_OCTETS)
    this.#receiveVector = new Uint8Array(receive)
    this.#receiveVectorFrom1 = new Uint8Array(receive, MMSGHDR_OCTETS)
    this.#receiveWords = new Uint32Array(receive)
    this.#dirty = slots
    this.#sendVector = new Uint8Array(send)
    this.#sendWords = new Uint32Array(send)
    const receiveIov = new ArrayBuffer(slots * IOVEC_OCTETS)
    const sendIov = new ArrayBuffer(slots * IOVEC_OCTETS)
    this.#sendIov = new Uint32Array(sendIov)
    this.#bufferAt = createPointers(libc.addressOf(buffer), slots, stride)
    this.#addressAt = createPointers(libc.addressOf(addresses), slots, ADDRESS_STRIDE)
    const receiveIovAt = createPointers(libc.addressOf(receiveIov), slots, IOVEC_OCTETS)
    const sendIovAt = createPointers(libc.addressOf(sendIov), slots, IOVEC_OCTETS)
    this.#receiveIov = new Uint32Array(receiveIov)
    for (let i = 0; i < slots; i++) {
      const iov = i * IOVEC_WORDS
      copyPointer(this.#bufferAt, i, this.#receiveIov, iov + WORD_BASE)
      this.#receiveIov[iov + WORD_BASE_LENGTH] = slotOctets
      const header = i * MMSGHDR_WORDS
      copyPointer(this.#addressAt, i, this.#receiveWords, header + WORD_NAME)
      copyPointer(receiveIovAt, i, this.#receiveWords, header + WORD_IOV)
      this.#receiveWords[header + WORD_IOV_COUNT] = 1
      copyPointer(sendIovAt, i, this.#sendWords, header + WORD_IOV)
      this.#sendWords[header + WORD_IOV_COUNT] = 1
    }
  }

  /** Octets of the datagram in a slot after `receive`; of one that was cut, what the slot holds. */
  lengthOf(slot: number): number {
    return this.#receiveWords[slot * MMSGHDR_WORDS + WORD_LENGTH]!
  }

  /** True when the datagram did not fit its slot. */
  wasCut(slot: number): boolean {
    return (this.#receiveWords[slot * MMSGHDR_WORDS + WORD_FLAGS]! & MSG_TRUNC) !== 0
  }

  /**
   * Reads what is there without waiting, into the slots from `start` (0 or 1) on: the number of
   * slots filled, `NOTHING` or `FAILED`.
   */
  receive(fd: number, start: number): number {
    const words = this.#receiveWords
    const slots = this.slots
    // Only slots that were filled have lost their room for an address.
    for (let i = start; i < this.#dirty; i++) {
      words[i * MMSGHDR_WORDS + WORD_NAME_LENGTH] = ADDRESS_OCTETS_MAX
    }
    const vector = start === 0 ? this.#receiveVector : this.#receiveVectorFrom1
    const received = this.#libc.recvmmsg(fd, vector, slots - start, MSG_DONTWAIT, null)
    this.#dirty = received > 0 ? start + received : start
    if (received >= 0) return received
    const errno = this.#libc.errno()
    return errno === EAGAIN ? NOTHING : FAILED
  }

  /** Says that a slot was filled by hand with a datagram and its address. */
  place(slot: number, octets: number, addressOctets: number): void {
    const header = slot * MMSGHDR_WORDS
    this.#receiveWords[header + WORD_NAME_LENGTH] = addressOctets
    this.#receiveWords[header + WORD_FLAGS] = 0
    this.#receiveWords[header + WORD_LENGTH] = octets
    if (this.#dirty <= slot) this.#dirty = slot + 1
  }

  /** Octets of the socket address in a slot after `receive`. */
  addressOctets(slot: number): number {
    return this.#receiveWords[slot * MMSGHDR_WORDS + WORD_NAME_LENGTH]!
  }

  /**
   * Queues the first `octets` of a slot to the address in it; 0 `addressOctets` for a connected
   * socket.
   */
  queue(slot: number, octets: number, addressOctets: number): void {
    const entry = this.#queued++
    const header = entry * MMSGHDR_WORDS
    copyPointer(this.#addressAt, slot, this.#sendWords, header + WORD_NAME)
    this.#sendWords[header + WORD_NAME_LENGTH] = addressOctets
    if (addressOctets === 0) {
      this.#sendWords[header + WORD_NAME] = 0
      this.#sendWords[header + WORD_NAME + 1] = 0
    }
    const iov = entry * IOVEC_WORDS
    copyPointer(this.#bufferAt, slot, this.#sendIov, iov + WORD_BASE)
    this.#sendIov[iov + WORD_BASE_LENGTH] = octets
  }

  get queued(): number {
    return this.#queued
  }

  /**
   * Sends all that is queued, in order; returns how many datagrams the system refused. A full
   * socket buffer refuses the rest; an ICMP report, or an address that cannot be reached, refuses
   * one.
   */
  send(fd: number): number {
    const queued = this.#queued
    this.#queued = 0
    let done = 0
    let refused = 0
    let interruptions = 0
    while (done < queued) {
      const vector = done === 0 ? this.#sendVector : this.#rest(done, queued)
      const sent = this.#libc.sendmmsg(fd, vector, queued - done, MSG_DONTWAIT)
      if (sent > 0) {
        done += sent
        continue
      }
      const errno = this.#libc.errno()
      if (errno === EINTR && interruptions++ < INTERRUPTIONS_MAX) continue
      if (errno === EAGAIN) return refused + queued - done
      refused++
      done++
    }
    return refused
  }

  /** Entries from `done` on: only reached when the system stopped in the middle. */
  #rest(done: number, queued: number): Uint8Array {
    return this.#sendVector.subarray(done * MMSGHDR_OCTETS, queued * MMSGHDR_OCTETS)
  }
}

function createPointers(base: bigint, slots: number, stride: number): Uint32Array {
  const pointers = new BigUint64Array(slots)
  for (let i = 0; i < slots; i++) pointers[i] = base + BigInt(i * stride)
  return new Uint32Array(pointers.buffer)
}

function copyPointer(from: Uint32Array, slot: number, into: Uint32Array, word: number): void {
  into[word] = from[slot * 2]!
  into[word + 1] = from[slot * 2 + 1]!
}
