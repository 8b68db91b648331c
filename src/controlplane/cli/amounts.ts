/** Shares, rates and times as `status` and `top` write them. */
import { groupDigits } from './filter-image.ts'

/** `3.1 %` of 0 to 1. */
export function percent(share: number): string {
  return `${(share * 100).toFixed(1)} %`
}

/** A rate per second. */
export function rateText(perSecond: number): string {
  return perSecond < 10 ? perSecond.toFixed(1) : groupDigits(Math.round(perSecond))
}

/** `0.06 ms`, `4.2 ms`, `120 ms`; `-` where there is none. */
export function msText(ms: number | null): string {
  if (ms === null) return '-'
  return `${ms < 1 ? ms.toFixed(2) : ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`
}
