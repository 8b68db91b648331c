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

/**
 * An address, and what stands at it. As a number it costs a third less to hand over than as a
 * bigint; addresses of programs have 48 bits on the machines that we know.
 */
type Address = number
const NULL: Address = 0
type Init = (
  context: Address,
  cipher: Address,
  engine: Address,
  key: Address,
  nonce: Address,
) => number
type Update = (
  context: Address,
  out: Address,
  length: Address,
  input: Address,
  octets: number,
) => number
type Final = (context: Address, out: Address, length: Address) => number

interface OpenSsl {
  createContext(): Address
  freeContext(context: Address): void
  aes256Gcm(): Address
  encryptInit: Init
  encryptUpdate: Update
  encryptFinal: Final
  decryptInit: Init
  decryptUpdate: Update
  decryptFinal: Final
  control(context: Address, type: number, octets: number, memory: Address): number
  addressOf(buffer: Uint8Array): Address
}

/** Returns a maker of ciphers, or undefined where Node does not hand out OpenSSL's functions. */
export async function openNativeGcm(): Promise<((textOctetsMax: number) => Gcm) | undefined> {
  try {
    const { default: koffi } = await import('koffi')
    const library = koffi.load(null)
    const init = 'int %(int64_t, int64_t, int64_t, int64_t, int64_t)'
    const update = 'int %(int64_t, int64_t, int64_t, int64_t, int)'
    const final = 'int %(int64_t, int64_t, int64_t)'
    const get = (name: string, shape: string) => library.func(shape.replace('%', name))
    const openSsl: OpenSsl = {
      createContext: get('EVP_CIPHER_CTX_new', 'int64_t %()'),
      freeContext: get('EVP_CIPHER_CTX_free', 'void %(int64_t)'),
      aes256Gcm: get('EVP_aes_256_gcm', 'int64_t %()'),
      encryptInit: get('EVP_EncryptInit_ex', init),
      encryptUpdate: get('EVP_EncryptUpdate', update),
      encryptFinal: get('EVP_EncryptFinal_ex', final),
      decryptInit: get('EVP_DecryptInit_ex', init),
      decryptUpdate: get('EVP_DecryptUpdate', update),
      decryptFinal: get('EVP_DecryptFinal_ex', final),
      control: get('EVP_CIPHER_CTX_ctrl', 'int %(int64_t, int, int, int64_t)'),
      addressOf: (buffer) => Number(koffi.address(buffer)),
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
  readonly #encryption: Address
  readonly #decryption: Address
  readonly #memory: Buffer
  /** Addresses within the memory, which stays where it is for as long as this is used. */
  readonly #key: Address
  readonly #nonce: Address
  readonly #tag: Address
  readonly #length: Address
  readonly #associated: Address
  readonly #text: Address
  #encryptionKey: Uint8Array | null = null
  #isClosed = false

  constructor(openSsl: OpenSsl, textOctetsMax: number) {
    this.#openSsl = openSsl
    this.#memory = Buffer.alloc(AT_TEXT + textOctetsMax)
    this.text = this.#memory.subarray(AT_TEXT)
    const address = openSsl.addressOf(this.#memory)
    this.#key = address + AT_KEY
    this.#nonce = address + AT_NONCE
    this.#tag = address + AT_TAG
    this.#length = address + AT_LENGTH
    this.#associated = address + AT_ASSOCIATED
    this.#text = address + AT_TEXT
    this.#encryption = openSsl.createContext()
    this.#decryption = openSsl.createContext()
    const cipher = openSsl.aes256Gcm()
    const isOpen =
      Number.isSafeInteger(address) &&
      this.#encryption !== NULL &&
      this.#decryption !== NULL &&
      openSsl.encryptInit(this.#encryption, cipher, NULL, NULL, NULL) === 1 &&
      openSsl.decryptInit(this.#decryption, cipher, NULL, NULL, NULL) === 1
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
    put(nonce, memory, AT_NONCE)
    put(associated, memory, AT_ASSOCIATED)
    const openSsl = this.#openSsl
    const context = this.#encryption
    let newKey = NULL
    if (key !== this.#encryptionKey) {
      memory.set(key, AT_KEY)
      newKey = this.#key
      this.#encryptionKey = key
    }
    const text = this.#text
    const length = this.#length
    const isDone =
      openSsl.encryptInit(context, NULL, NULL, newKey, this.#nonce) === 1 &&
      openSsl.encryptUpdate(context, NULL, length, this.#associated, associated.length) === 1 &&
      openSsl.encryptUpdate(context, text, length, text, octets) === 1 &&
      openSsl.encryptFinal(context, text, length) === 1 &&
      openSsl.control(context, GET_TAG, TAG_OCTETS, this.#tag) === 1
    if (!isDone) {
      // The context may still have the key before.
      this.#encryptionKey = null
      return false
    }
    memory.copy(out, at, AT_TEXT, AT_TEXT + octets)
    for (let index = 0; index < TAG_OCTETS; index++) {
      out[at + octets + index] = memory[AT_TAG + index]!
    }
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
    put(nonce, memory, AT_NONCE)
    put(associated, memory, AT_ASSOCIATED)
    sealed.copy(memory, AT_TEXT, at, at + octets)
    sealed.copy(memory, AT_TAG, at + octets)
    const openSsl = this.#openSsl
    const context = this.#decryption
    const text = this.#text
    const length = this.#length
    const isGenuine =
      openSsl.decryptInit(context, NULL, NULL, this.#key, this.#nonce) === 1 &&
      openSsl.decryptUpdate(context, NULL, length, this.#associated, associated.length) === 1 &&
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

/** For some dozen octets a loop is faster than a call of Node's own. */
function put(from: Uint8Array, to: Uint8Array, at: number): void {
  for (let index = 0; index < from.length; index++) to[at + index] = from[index]!
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
