/** Why an image of the fleet was not taken. */
export const REFUSALS = ['signature', 'format', 'rollback', 'size', 'digest', 'safety'] as const

/** One of them. */
export type Refusal = (typeof REFUSALS)[number]
