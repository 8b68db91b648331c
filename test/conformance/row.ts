/** One row of the conformance table. */
export interface Row {
  /** RFC and section, or the attack by its usual name or number. */
  readonly source: string
  /** The behaviour, in our words. */
  readonly says: string
  /** Why it is not for us to do. A row without this and without `deviates` holds, and is tested. */
  readonly doesNotApply?: string
  /** What we do instead, and why; never from a MUST. */
  readonly deviates?: string
}
