/** Values of a fleet in Redis: under keys that say nothing, sealed with the fleet's secret. */

import { NodeGcm } from '../../dataplane/cache/node-gcm.ts'
import type { RedisLink } from '../../dataplane/cache/redis-link.ts'
import { KeyRow } from '../../dataplane/cache/redis-rows.ts'
import { createWire, type RedisWire } from '../../dataplane/cache/redis-wire.ts'
import { createSealed, OPENED, Seal } from '../../dataplane/cache/seal.ts'
import { createId, createKey, SharedKeys } from '../../dataplane/cache/shared-keys.ts'
import type { RedisSettings } from '../../dataplane/settings.ts'

/** What stands under a key. */
export type SealedValue =
  | { readonly kind: 'absent' }
  /** Nobody with our secret has sealed it. */
  | { readonly kind: 'foreign'; readonly sealed: Buffer }
  | { readonly kind: 'opened'; readonly octets: Buffer }

/** Reads and writes one value at a time. */
export class SealedValues {
  readonly #link: RedisLink
  readonly #wire: RedisWire
  readonly #keys: SharedKeys
  readonly #seal: Seal

  /**
   * @param purpose keeps these values apart from others under the same secret.
   * @param octetsMax of one value.
   */
  constructor(link: RedisLink, settings: RedisSettings, purpose: string, octetsMax: number) {
    this.#link = link
    this.#wire = createWire(link, settings.deployment === 'cluster')
    this.#keys = new SharedKeys(settings.keyOfKeys, settings.prefix)
    this.#seal = new Seal(settings.secret, purpose, new NodeGcm(octetsMax))
  }

  /** @throws Error of Redis, or of the connection to it. */
  async read(text: string): Promise<SealedValue> {
    const id = createId(this.#keys, text)
    const row = new KeyRow(this.#keys)
    row.add(id)
    const value = await new Promise<Buffer | null>((resolve, reject) => {
      this.#wire.read(row, (error, values) => {
        if (values === undefined) reject(error instanceof Error ? error : new Error(String(error)))
        else resolve(values[0] ?? null)
      })
    })
    this.#link.noteReply()
    if (value === null) return { kind: 'absent' }
    if (this.#seal.unseal(value, id) !== OPENED) return { kind: 'foreign', sealed: value }
    return { kind: 'opened', octets: Buffer.from(this.#seal.opened) }
  }

  /** @throws Error of Redis, or of the connection to it; RangeError for more than `octetsMax`. */
  async write(text: string, octets: Uint8Array, ttlMs: number): Promise<void> {
    const id = createId(this.#keys, text)
    const sealed = createSealed(this.#seal, octets, id)
    if (sealed === null) throw new RangeError(`${octets.length} octets are too many for one value`)
    await this.#link.client.set(createKey(this.#keys, id), sealed, 'PX', ttlMs)
    this.#link.noteReply()
  }

  /** Closes the cipher; the link is its owner's. */
  close(): void {
    this.#seal.close()
  }
}
