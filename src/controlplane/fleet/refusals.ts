/** Why an image of the fleet was not taken. */
export const REFUSALS = ['signature', 'format', 'rollback', 'size', 'digest', 'safety'] as const

export type Refusal = (typeof REFUSALS)[number]
