/** AES-256-GCM (NIST SP 800-38D) over buffers that are laid out once. */
export interface Gcm {
  /** What is to be encrypted, and what was decrypted, from its first octet on. */
  readonly text: Buffer
  /**
   * Writes the ciphertext of the first `octets` of `text`, and its tag of 16 behind it, to `out` at
   * `at`; `text` holds nothing of use afterwards. False when the cipher refuses.
   *
   * @param key 32 octets, never changed while it is in use.
   * @param nonce 12 octets, never used before under this key.
   * @param associated at most 64 octets.
   */
  encrypt(
    key: Uint8Array,
    nonce: Uint8Array,
    associated: Uint8Array,
    octets: number,
    out: Buffer,
    at: number,
  ): boolean
  /**
   * Decrypts what stands in `sealed` from `at` to its end, the tag included, into `text`; returns
   * its octets, or -1 when the tag is wrong or the text too long.
   */
  decrypt(
    key: Uint8Array,
    nonce: Uint8Array,
    associated: Uint8Array,
    sealed: Buffer,
    at: number,
  ): number
  /** Gives back what is not memory of Node; afterwards it is not to be used. */
  close(): void
}
