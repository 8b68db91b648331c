/**
 * One rule of a list, as it travels from a parser to the compiler: octets and small integers, no
 * objects, so that a million rules cost no garbage.
 */

/** Which names a rule covers, as a bit set over {the name itself, all names below it}. */
export const COVERS_SELF = 1
export const COVERS_BELOW = 2
/** The name and all below it: what most list formats mean (`example.com`, `||example.com^`). */
export const COVERS_SUBTREE = 3

export type Coverage = typeof COVERS_SELF | typeof COVERS_BELOW | typeof COVERS_SUBTREE

export const ACTION_BLOCK = 0
/** An exception (`@@||x^`): opens names for the list that it stands in, and for no other. */
export const ACTION_EXCEPT = 1

export type RuleAction = typeof ACTION_BLOCK | typeof ACTION_EXCEPT

/** Receives the rules of one list, in the order of its lines. */
export interface RuleSink {
  /**
   * Takes one rule.
   *
   * @param name the rule's name in wire format (RFC 1035 3.1), ASCII lower case, root octet
   *   included; owned by the caller and reused after the call.
   * @param octets how many octets of `name` count, the root octet included (2..255).
   * @param line 1-based line of the source.
   */
  add(name: Uint8Array, octets: number, coverage: Coverage, action: RuleAction, line: number): void
}
