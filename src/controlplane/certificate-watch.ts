/**
 * The certificate of the encrypted listeners: read at the start, and again whenever its files have
 * changed. A new one that cannot be used leaves the old one in force, loudly.
 */
import { randomBytes } from 'node:crypto'
import { statSync } from 'node:fs'
import { OperationalError } from '../base/errors.ts'
import { DAY_S, SECOND_MS } from '../base/units.ts'
import type { TlsIdentity } from '../dataplane/settings.ts'
import { isFault } from './config/addresses.ts'
import { readIdentity, type Certificate } from './config/certificates.ts'
import type { CertificateFiles } from './config/settings.ts'

const TICKET_KEY_OCTETS = 48
/** Sessions are resumed with the keys of one day (RFC 9325 7.4 asks for keys that change). */
const TICKET_KEYS_MS_MAX = DAY_S * SECOND_MS

/** What the watch tells about. */
export interface CertificateEvents {
  /** The listeners have to greet with this from now on; `isNew` is false for new ticket keys. */
  changed(identity: TlsIdentity, isNew: boolean): void
  /** The files have changed, and what they hold cannot be used. */
  refused(reason: string): void
}

/** One pair of files, looked at again and again. */
export class CertificateWatch {
  #files: CertificateFiles
  readonly #events: CertificateEvents
  #certificate: Certificate
  #ticketKeys = randomBytes(TICKET_KEY_OCTETS)
  #ticketKeysMs = performance.now()
  /** The files as they were when they were read, and as they were at the look before this one. */
  #readState: string
  #seenState: string
  #timer: NodeJS.Timeout | undefined

  /** @throws OperationalError (ERR_CERTIFICATE) when the files cannot be used. */
  constructor(files: CertificateFiles, events: CertificateEvents) {
    this.#files = files
    this.#events = events
    this.#readState = stateOf(files)
    this.#seenState = this.#readState
    const read = readIdentity(files.certificateFile, files.keyFile)
    if (isFault(read)) {
      throw new OperationalError('ERR_CERTIFICATE', `tls: ${read.fault}`, {
        file: files.certificateFile,
      })
    }
    this.#certificate = read
  }

  get identity(): TlsIdentity {
    const { certificate, key } = this.#certificate
    return { certificate, key, ticketKeys: this.#ticketKeys }
  }

  /** When the certificate in force ends, in seconds since 1970. */
  get expiresAtSeconds(): number {
    return this.#certificate.expiresAtSeconds
  }

  /** Looks at the files every so often. */
  start(intervalMs: number): void {
    this.#timer = setInterval(() => this.look(), intervalMs)
    this.#timer.unref()
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  /**
   * Reads the files when they have changed, and then stayed as they are for one look: certificate
   * and key are seldom written in one moment.
   */
  look(): void {
    if (performance.now() - this.#ticketKeysMs > TICKET_KEYS_MS_MAX) this.#renewTicketKeys()
    const state = stateOf(this.#files)
    const isSettled = state === this.#seenState
    this.#seenState = state
    if (isSettled && state !== this.#readState) this.#read(state)
  }

  /** Reads the files now, whether they have changed or not. */
  reread(files: CertificateFiles): void {
    this.#files = files
    this.#read(stateOf(files))
  }

  #read(state: string): void {
    this.#readState = state
    this.#seenState = state
    const read = readIdentity(this.#files.certificateFile, this.#files.keyFile)
    if (isFault(read)) {
      this.#events.refused(read.fault)
      return
    }
    const before = this.#certificate
    if (read.certificate === before.certificate && read.key === before.key) return
    this.#certificate = read
    this.#events.changed(this.identity, true)
  }

  #renewTicketKeys(): void {
    this.#ticketKeys = randomBytes(TICKET_KEY_OCTETS)
    this.#ticketKeysMs = performance.now()
    this.#events.changed(this.identity, false)
  }
}

/** Changes with the files, and with where links lead. */
function stateOf({ certificateFile, keyFile }: CertificateFiles): string {
  return [certificateFile, keyFile]
    .map((file) => {
      const stat = statSync(file, { throwIfNoEntry: false, bigint: true })
      return stat === undefined ? 'none' : `${stat.dev} ${stat.ino} ${stat.size} ${stat.mtimeNs}`
    })
    .join(' ')
}
