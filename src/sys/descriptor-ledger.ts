/**
 * Which descriptors a worker has opened by system calls of its own. Node closes its handles when a
 * thread ends, however it ends; of these it knows nothing, so the thread that outlives the worker
 * reads them here, in shared memory, and closes them.
 */
import type { Libc } from './libc.ts'

const WORD_BITS = 32
/** Descriptors above this are not used: systemd's and the kernel's usual limits end below. */
const DESCRIPTORS_MAX = 1 << 20

/** One worker's descriptors, a bit each. One writer; read after that writer has ended. */
export class DescriptorLedger {
  readonly words: Int32Array

  /** @param words of `createLedgerWords`, zeroed for each new thread. */
  constructor(words: Int32Array) {
    this.words = words
  }

  /** Notes an open descriptor; false when there is no room for its number. */
  note(fd: number): boolean {
    const word = fd >>> 5
    if (word >= this.words.length) return false
    this.words[word] = this.words[word]! | (1 << (fd & (WORD_BITS - 1)))
    return true
  }

  /** The descriptor is about to be closed. */
  forget(fd: number): void {
    const word = fd >>> 5
    this.words[word] = this.words[word]! & ~(1 << (fd & (WORD_BITS - 1)))
  }

  /** Closes what the ended worker has left open; returns how many those were. */
  closeAll(libc: Libc): number {
    let closed = 0
    for (let word = 0; word < this.words.length; word++) {
      let bits = this.words[word]!
      while (bits !== 0) {
        const bit = WORD_BITS - 1 - Math.clz32(bits & -bits)
        libc.close(word * WORD_BITS + bit)
        closed++
        bits &= bits - 1
      }
      this.words[word] = 0
    }
    return closed
  }
}

/** Makes room for descriptors below `descriptorsMax`, in memory that threads share. */
export function createLedgerWords(descriptorsMax: number): Int32Array {
  const words = Math.ceil(Math.min(descriptorsMax, DESCRIPTORS_MAX) / WORD_BITS)
  return new Int32Array(new SharedArrayBuffer(words * Int32Array.BYTES_PER_ELEMENT))
}
