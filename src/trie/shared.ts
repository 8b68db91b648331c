/**
 * Memory for what is made of an image when it is opened, such as tables: all threads see it, so
 * that one of them opens the image and the others take it as it is.
 */

/** Numbers of 8 bits without sign. */
export function createOctets(length: number): Uint8Array {
  return new Uint8Array(new SharedArrayBuffer(length))
}

/** Numbers of 16 bits without sign. */
export function createHalves(length: number): Uint16Array {
  return new Uint16Array(new SharedArrayBuffer(2 * length))
}

/** Numbers of 32 bits without sign. */
export function createWords(length: number): Uint32Array {
  return new Uint32Array(new SharedArrayBuffer(4 * length))
}

/** Numbers of 32 bits. */
export function createIntegers(length: number): Int32Array {
  return new Int32Array(new SharedArrayBuffer(4 * length))
}
