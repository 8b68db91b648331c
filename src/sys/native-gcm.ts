/**
 * AES-256-GCM by the OpenSSL that is in Node already, called without the objects that `node:crypto`
 * makes for each value: some 2 us instead of 9 for an answer. The functions are part of OpenSSL's
 * stable interface (EVP_EncryptInit(3)), and Node hands them out to native modules; where it does
 * not, there is no native cipher, and who asked uses `node:crypto`.
 */
import type { Gcm } from './gcm.ts'

const KEY_OCTETS = 32
const NONCE_OCTETS = 12
const TAG_OCTETS = 16
/** `EVP_CTRL_AEAD_GET_TAG` and `EVP_CTRL_AEAD_SET_TAG`. */
const GET_TAG = 0x10
const SET_TAG = 0x11
/** Parts of the memory that OpenSSL reads and writes, each on a cache line of its own. */
const AT_KEY = 0
const AT_NONCE = 64
const AT_TAG = 128
const AT_LENGTH = 192
const AT_ASSOCIATED = 256
const ASSOCIATED_OCTETS_MAX = 64
const AT_TEXT = AT_ASSOCIATED + ASSOCIATED_OCTETS_MAX

/** An address; OpenSSL's `NULL` is null. */
type Pointer = bigint | null
type Init = (
  context: unknown,
  cipher: unknown,
  engine: null,
  key: Pointer,
  nonce: Pointer,
) => number
type Update = (
  context: unknown,
  out: Pointer,
  length: Pointer,
  input: Pointer,
  octets: number,
) => number
type Final = (context: unknown, out: Pointer, length: Pointer) => number

interface OpenSsl {
  createContext(): unknown
  freeContext(context: unknown): void
  aes256Gcm(): unknown
  encryptInit: Init
  encryptUpdate: Update
  encryptFinal: Final
  decryptInit: Init
  decryptUpdate: Update
  decryptFinal: Final
  control(context: unknown, type: number, octets: number, memory: Pointer): number
  addressOf(buffer: Uint8Array): bigint
}

/** Returns a maker of ciphers, or undefined where Node does not hand out OpenSSL's functions. */
export async function openNativeGcm(): Promise<((textOctetsMax: number) => Gcm) | undefined> {
  try {
    const { default: koffi } = await import('koffi')
    const library = koffi.load(null)
    const init = 'int %(void *, void *, void *, void *, void *)'
    const update = 'int %(void *, void *, void *, void *, int)'
    const final = 'int %(void *, void *, void *)'
    const get = (name: string, shape: string) => library.func(shape.replace('%', name))
    const openSsl: OpenSsl = {
      createContext: get('EVP_CIPHER_CTX_new', 'void *%()'),
      freeContext: get('EVP_CIPHER_CTX_free', 'void %(void *)'),
      aes256Gcm: get('EVP_aes_256_gcm', 'void *%()'),
      encryptInit: get('EVP_EncryptInit_ex', init),
      encryptUpdate: get('EVP_EncryptUpdate', update),
      encryptFinal: get('EVP_EncryptFinal_ex', final),
      decryptInit: get('EVP_DecryptInit_ex', init),
      decryptUpdate: get('EVP_DecryptUpdate', update),
      decryptFinal: get('EVP_DecryptFinal_ex', final),
      control: get('EVP_CIPHER_CTX_ctrl', 'int %(void *, int, int, void *)'),
      addressOf: (buffer) => koffi.address(buffer),
    }
    if (!openForCheck(openSsl)) return undefined
    return (textOctetsMax) => new NativeGcm(openSsl, textOctetsMax)
  } catch {
    return undefined
  }
}

class NativeGcm implements Gcm {
  readonly text: Buffer
  readonly #openSsl: OpenSsl
  readonly #encryption: unknown
  readonly #decryption: unknown
  readonly #memory: Buffer
  /** Addresses within the memory, which stays where it is for as long as this is used. */
  readonly #key: bigint
  readonly #nonce: bigint
  readonly #tag: bigint
  readonly #length: bigint
  readonly #associated: bigint
  readonly #text: bigint
  #encryptionKey: Uint8Array | null = null
  #isClosed = false

  constructor(openSsl: OpenSsl, textOctetsMax: number) {
    this.#openSsl = openSsl
    this.#memory = Buffer.alloc(AT_TEXT + textOctetsMax)
    this.text = this.#memory.subarray(AT_TEXT)
    const address = openSsl.addressOf(this.#memory)
    this.#key = address + BigInt(AT_KEY)
    this.#nonce = address + BigInt(AT_NONCE)
    this.#tag = address + BigInt(AT_TAG)
    this.#length = address + BigInt(AT_LENGTH)
    this.#associated = address + BigInt(AT_ASSOCIATED)
    this.#text = address + BigInt(AT_TEXT)
    this.#encryption = openSsl.createContext()
    this.#decryption = openSsl.createContext()
    const cipher = openSsl.aes256Gcm()
    const isOpen =
      openSsl.encryptInit(this.#encryption, cipher, null, null, null) === 1 &&
      openSsl.decryptInit(this.#decryption, cipher, null, null, null) === 1
    if (!isOpen) throw new Error('OpenSSL has no AES-256-GCM')
  }

  encrypt(
    key: Uint8Array,
    nonce: Uint8Array,
    associated: Uint8Array,
    octets: number,
    out: Buffer,
    at: number,
  ): boolean {
    const memory = this.#memory
    if (!this.#fits(key, nonce, associated, octets)) return false
    memory.set(nonce, AT_NONCE)
    memory.set(associated, AT_ASSOCIATED)
    const openSsl = this.#openSsl
    const context = this.#encryption
    let newKey: Pointer = null
    if (key !== this.#encryptionKey) {
      memory.set(key, AT_KEY)
      newKey = this.#key
      this.#encryptionKey = key
    }
    const text = this.#text
    const length = this.#length
    const isDone =
      openSsl.encryptInit(context, null, null, newKey, this.#nonce) === 1 &&
      openSsl.encryptUpdate(context, null, length, this.#associated, associated.length) === 1 &&
      openSsl.encryptUpdate(context, text, length, text, octets) === 1 &&
      openSsl.encryptFinal(context, text, length) === 1 &&
      openSsl.control(context, GET_TAG, TAG_OCTETS, this.#tag) === 1
    if (!isDone) return false
    memory.copy(out, at, AT_TEXT, AT_TEXT + octets)
    memory.copy(out, at + octets, AT_TAG, AT_TAG + TAG_OCTETS)
    return true
  }

  decrypt(
    key: Uint8Array,
    nonce: Uint8Array,
    associated: Uint8Array,
    sealed: Buffer,
    at: number,
  ): number {
    const memory = this.#memory
    const octets = sealed.length - at - TAG_OCTETS
    if (octets < 0 || !this.#fits(key, nonce, associated, octets)) return -1
    memory.set(key, AT_KEY)
    memory.set(nonce, AT_NONCE)
    memory.set(associated, AT_ASSOCIATED)
    sealed.copy(memory, AT_TEXT, at, at + octets)
    sealed.copy(memory, AT_TAG, at + octets)
    const openSsl = this.#openSsl
    const context = this.#decryption
    const text = this.#text
    const length = this.#length
    const isGenuine =
      openSsl.decryptInit(context, null, null, this.#key, this.#nonce) === 1 &&
      openSsl.decryptUpdate(context, null, length, this.#associated, associated.length) === 1 &&
      openSsl.decryptUpdate(context, text, length, text, octets) === 1 &&
      openSsl.control(context, SET_TAG, TAG_OCTETS, this.#tag) === 1 &&
      openSsl.decryptFinal(context, text, length) === 1
    return isGenuine ? octets : -1
  }

  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#memory.fill(0, AT_KEY, AT_KEY + KEY_OCTETS)
    this.#openSsl.freeContext(this.#encryption)
    this.#openSsl.freeContext(this.#decryption)
  }

  /** OpenSSL writes where it is told to: nothing may reach beyond our memory. */
  #fits(key: Uint8Array, nonce: Uint8Array, associated: Uint8Array, octets: number): boolean {
    return (
      !this.#isClosed &&
      key.length === KEY_OCTETS &&
      nonce.length === NONCE_OCTETS &&
      associated.length <= ASSOCIATED_OCTETS_MAX &&
      octets <= this.text.length
    )
  }
}

/** A cipher that does not compute what AES-256-GCM is (NIST's test case 14) is not used. */
function openForCheck(openSsl: OpenSsl): boolean {
  const gcm = new NativeGcm(openSsl, 16)
  const zeros = new Uint8Array(KEY_OCTETS)
  const nonce = new Uint8Array(NONCE_OCTETS)
  const nothing = new Uint8Array(0)
  const out = Buffer.alloc(16 + TAG_OCTETS)
  gcm.text.fill(0)
  const expected = 'cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919'
  const isSame =
    gcm.encrypt(zeros, nonce, nothing, 16, out, 0) &&
    out.toString('hex') === expected &&
    gcm.decrypt(zeros, nonce, nothing, out, 0) === 16
  gcm.close()
  return isSame
}
