/** Guards for values whose shape nobody has vouched for yet. */

/** A map of keys: no list, no null. */
export function isGroup(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** The code of a system call's failure, such as ENOENT. */
export function systemCode(error: unknown): string {
  const code: unknown = isGroup(error) ? error['code'] : undefined
  return typeof code === 'string' ? code : 'unknown failure'
}
