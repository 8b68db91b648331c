/** Writes bits into 32-bit words, the highest bit of a word first. */

export class BitWriter {
  #words = new Uint32Array(1 << 10)
  #at = 0

  /** Bits written so far. */
  get bits(): number {
    return this.#at
  }

  /** Appends the lowest `count` (0 to 32) bits of `value`. */
  write(value: number, count: number): void {
    if (count === 0) return
    if (((this.#at + count) >>> 5) + 1 >= this.#words.length) {
      const wider = new Uint32Array(this.#words.length * 2)
      wider.set(this.#words)
      this.#words = wider
    }
    const index = this.#at >>> 5
    const free = 32 - (this.#at & 31)
    const masked = count === 32 ? value >>> 0 : value & (2 ** count - 1)
    if (count <= free) {
      this.#words[index]! |= masked << (free - count)
    } else {
      this.#words[index]! |= masked >>> (count - free)
      this.#words[index + 1] = masked << (32 - (count - free))
    }
    this.#at += count
  }

  /** Puts a word in the place of 32 zeros at bit `at`. */
  rewrite(at: number, word: number): void {
    const index = at >>> 5
    const shift = at & 31
    this.#words[index]! |= word >>> shift
    if (shift > 0) this.#words[index + 1]! |= word << (32 - shift)
  }

  /** The words written, the last one filled up with zeros. */
  finish(): Uint32Array<ArrayBuffer> {
    return this.#words.slice(0, (this.#at + 31) >>> 5)
  }
}
