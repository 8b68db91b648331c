/** Units with their names, so that no limit is a bare number. */

export const KiB = 1024
export const MiB = 1024 * KiB
export const GiB = 1024 * MiB

export const SECOND_MS = 1000
export const MINUTE_S = 60
export const HOUR_S = 3600
export const DAY_S = 86_400
