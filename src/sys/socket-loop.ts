/**
 * Waits for sockets without Node's own event loop for as long as there is traffic. Node wakes an
 * idle worker; from then on the worker waits in an epoll instance of its own, which watches its
 * datagram sockets and, as one more descriptor, Node's epoll instance. A wake-up then costs one
 * system call instead of the way through libuv and `dgram`, and sockets towards upstreams need no
 * handle in Node at all. When Node has work (a connection, a message, a signal), when its timers
 * may be due, or when nothing more comes, the worker goes back to it.
 *
 * While the worker waits here, Node's instance does not report the listeners: it would say that
 * Node has work with every datagram. TCP connections are Node's; busy ones are read here meanwhile.
 */
import type { DescriptorLedger } from './descriptor-ledger.ts'
import { Epoll } from './epoll.ts'
import { NOT_FOUND, findEventLoop } from './event-loop.ts'
import type { Libc } from './libc.ts'

/** Silence after which Node's loop takes over again, unless answers are awaited. */
const QUIET_MS = 2
/** How long Node's loop waits for its turn: its timers are late by as much. */
const AWAY_MS_MAX = 2
/** Callbacks of Node that follow each other for longer let the sockets have their turn between. */
const CATCH_UP_MS = 1
/** Callbacks for the end of one turn: one a listener, upstream and connection that had answers. */
const TURN_END_MAX = 4096
const NONE = -1

/** A socket whose datagrams are read here. */
export interface ReadableSocket {
  /**
   * Something can be read, or the socket has an error. True when it has read as much as one turn
   * may and more is there: others get their turn before it.
   */
  readable(nowMs: number): boolean
}

/** A connection of Node's that is read here for as long as there is traffic. */
export interface AdoptedSocket extends ReadableSocket {
  /** The loop goes to sleep, or ends: calls `handBack` if it is open, `forget` if not. */
  leaveLoop(): void
}

/** Runs callbacks when the work of the moment is done. */
export interface TurnEnd {
  /** Calls back at the end of this turn; each callback asks once a turn. */
  atTurnEnd(callback: () => void): void
}

/** Without a loop of our own a turn ends where Node ends it. */
export const NODE_TURN_END: TurnEnd = {
  atTurnEnd: (callback) => process.nextTick(callback),
}

/** One worker's loop. */
export class SocketLoop implements TurnEnd {
  readonly #epoll: Epoll
  readonly #readables: (ReadableSocket | undefined)[] = []
  /** Listeners that Node watches too, to be woken from idleness. */
  readonly #wakers: number[] = []
  /** By descriptor; Node's instance does not report what can be read from them. */
  readonly #adopted = new Map<number, AdoptedSocket>()
  /** The first `#turnEndCount` are due; an array that is emptied has to get its memory anew. */
  readonly #turnEnd: (() => void)[] = []
  #turnEndCount = 0
  readonly #resume: () => void
  readonly #nodeFd: number
  /** Where sockets are noted that Node knows nothing of. */
  readonly ledger: DescriptorLedger
  #isAwake = false
  #isInside = false
  #isClosed = false
  #isNodeDue = false
  /** Node reports a listener still that it should leave to us. */
  #isMaskDue = false
  /** Who has had all that one turn may read, and has more. */
  #greedyFd = NONE
  /** When sockets were read last. */
  #readMs = 0
  /** Datagrams that upstreams owe us: as long as there are any, nobody else would wake us. */
  awaited = 0

  /** @param nodeFd Node's own epoll instance, which `epoll` watches. */
  constructor(epoll: Epoll, nodeFd: number, ledger: DescriptorLedger) {
    this.ledger = ledger
    this.#epoll = epoll
    this.#nodeFd = nodeFd
    this.#resume = () => this.#run()
  }

  /** Watches a socket that Node knows nothing of; false when the system refuses. */
  add(fd: number, socket: ReadableSocket): boolean {
    if (!this.#epoll.add(fd)) return false
    this.#readables[fd] = socket
    return true
  }

  /** Watches a listener that Node watches too; false when the system refuses. */
  addListener(fd: number, listener: ReadableSocket): boolean {
    if (!this.add(fd, listener)) return false
    this.#wakers.push(fd)
    if (this.#isAwake) this.#isMaskDue = true
    return true
  }

  /** Before the socket is closed. */
  remove(fd: number): void {
    this.#readables[fd] = undefined
    this.#epoll.remove(fd)
    const index = this.#wakers.indexOf(fd)
    if (index !== -1) this.#wakers.splice(index, 1)
  }

  /**
   * Reads a connection instead of Node, whose buffers must be empty both ways: what Node waits for
   * is overwritten. False when the system refuses. Node still sees when the connection breaks.
   */
  adopt(fd: number, socket: AdoptedSocket): boolean {
    if (this.#isClosed || !this.add(fd, socket)) return false
    if (!this.#epoll.listen(this.#nodeFd, fd, false)) {
      this.remove(fd)
      return false
    }
    this.#adopted.set(fd, socket)
    this.wake()
    return true
  }

  /** Gives an open connection back to Node, which must have nothing to write to it. */
  handBack(fd: number): void {
    this.#adopted.delete(fd)
    this.remove(fd)
    this.#epoll.listen(this.#nodeFd, fd, true)
  }

  /** The connection is closed; its descriptor may be another's by now. */
  forget(fd: number, socket: AdoptedSocket): void {
    if (this.#adopted.get(fd) === socket) this.#adopted.delete(fd)
    if (this.#readables[fd] === socket) this.remove(fd)
  }

  /** There is traffic: this worker waits by itself from the end of Node's present turn on. */
  wake(): void {
    if (this.#isAwake || this.#isClosed) return
    this.#isAwake = true
    this.#hearListeners(false)
    setImmediate(this.#resume)
  }

  /** True in a turn of this loop, false in one of Node's. */
  get isInside(): boolean {
    return this.#isInside
  }

  atTurnEnd(callback: () => void): void {
    if (this.#isInside && this.#turnEndCount < TURN_END_MAX) {
      this.#turnEnd[this.#turnEndCount++] = callback
      return
    }
    process.nextTick(callback)
    this.#isNodeDue = true
  }

  /**
   * Reads what has come meanwhile, from within a callback of Node: a thousand connections that come
   * or go in one turn of Node would keep every datagram waiting. Not from within a query.
   */
  catchUp(): void {
    if (this.#isInside || this.#isClosed) return
    const nowMs = performance.now()
    if (nowMs - this.#readMs < CATCH_UP_MS) return
    this.#isInside = true
    this.#readAll(this.#epoll.wait(0), nowMs)
    this.#endTurn()
    this.#isInside = false
  }

  /** Something was given to Node that it does only when it gets its turn. */
  yieldSoon(): void {
    this.#isNodeDue = true
  }

  close(): void {
    if (this.#isClosed) return
    this.#handAllBack()
    this.#isClosed = true
    this.#epoll.close()
  }

  /** Waits and reads until Node has to get its turn, or there is nothing more to wait for. */
  #run(): void {
    if (this.#isClosed) return
    let nowMs = performance.now()
    const endMs = nowMs + AWAY_MS_MAX
    if (this.#isMaskDue) this.#hearListeners(false)
    this.#isNodeDue = false
    this.#isInside = true
    let ready = 0
    while (!this.#isNodeDue && !this.#isClosed && nowMs < endMs) {
      ready = this.#epoll.wait(Math.ceil(endMs - nowMs))
      nowMs = performance.now()
      if (ready === 0) break
      this.#readAll(ready, nowMs)
      this.#endTurn()
    }
    this.#isInside = false
    if (this.#isClosed) return
    const isQuiet = ready === 0 && nowMs - this.#readMs >= QUIET_MS
    if (isQuiet && this.awaited === 0) this.#sleep()
    else setImmediate(this.#resume)
  }

  #readAll(ready: number, nowMs: number): void {
    const start = this.#startOf(ready)
    for (let turn = 0; turn < ready; turn++) {
      const index = start + turn
      const fd = this.#epoll.readyAt(index < ready ? index : index - ready)
      if (fd === this.#nodeFd) {
        this.#isNodeDue = true
        continue
      }
      this.#readMs = nowMs
      // The rest is ready still: after Node, and before this one.
      if (this.#readables[fd]?.readable(nowMs) === true) {
        this.#isNodeDue = true
        this.#greedyFd = fd
        return
      }
    }
  }

  /** The system names them in the same order every time: who took a whole turn comes last. */
  #startOf(ready: number): number {
    const greedyFd = this.#greedyFd
    if (greedyFd === NONE) return 0
    this.#greedyFd = NONE
    for (let index = 0; index < ready; index++) {
      if (this.#epoll.readyAt(index) === greedyFd) return index + 1 === ready ? 0 : index + 1
    }
    return 0
  }

  /** Calls who asked until here; who asks again meanwhile is called when Node gets its turn. */
  #endTurn(): void {
    const callbacks = this.#turnEnd
    const due = this.#turnEndCount
    if (due === 0) return
    for (let index = 0; index < due; index++) callbacks[index]!()
    for (let index = due; index < this.#turnEndCount; index++) {
      process.nextTick(callbacks[index]!)
      this.#isNodeDue = true
    }
    // Nobody who is closed meanwhile is held here.
    for (let index = 0; index < this.#turnEndCount; index++) callbacks[index] = nothing
    this.#turnEndCount = 0
  }

  #sleep(): void {
    this.#isAwake = false
    this.#handAllBack()
    this.#hearListeners(true)
  }

  #handAllBack(): void {
    for (const socket of this.#adopted.values()) socket.leaveLoop()
  }

  /** Node may not watch a new listener before its next turn: then it is told once more. */
  #hearListeners(isHeard: boolean): void {
    this.#isMaskDue = false
    for (let index = 0; index < this.#wakers.length; index++) {
      const isDone = this.#epoll.listen(this.#nodeFd, this.#wakers[index]!, isHeard)
      if (!isDone && !isHeard) this.#isMaskDue = true
    }
  }
}

function nothing(): void {}

/** Makes this thread's loop; undefined where it cannot be had. */
export async function openSocketLoop(
  libc: Libc,
  ledger: DescriptorLedger,
): Promise<SocketLoop | undefined> {
  const nodeFd = await findEventLoop(libc)
  if (nodeFd === NOT_FOUND) return undefined
  const epoll = new Epoll(libc, ledger)
  if (epoll.isOpen && epoll.add(nodeFd)) return new SocketLoop(epoll, nodeFd, ledger)
  epoll.close()
  return undefined
}
