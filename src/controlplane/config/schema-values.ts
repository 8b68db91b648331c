/** Kinds of values that the keys of niveau3.yaml hold. */

import { z } from 'zod'
import { isFault, type Fault } from './addresses.ts'
import { formatOctets, parseOctets } from './quantities.ts'

type Parse = (text: string) => object | string

/** A text that `parse` must accept; its fault becomes the problem's message. */
export function parsedText(parse: Parse) {
  return z.string().superRefine((text, context) => {
    const parsed = parse(text)
    if (isFault(parsed)) report(context, parsed)
  })
}

/** Makes a fault the problem of the value that is being looked at. */
export function report(context: z.RefinementCtx, { fault, suggestion }: Fault): void {
  context.addIssue({ code: 'custom', message: fault, params: { suggestion } })
}

/** An amount of octets between two limits; the default is written with its unit. */
export function octets(min: number, max: number, defaultText: string) {
  const accepted = z.union([z.int().min(0), z.string()], { error: 'is not an amount of octets' })
  return accepted
    .transform((value, context) => {
      const parsed = parseOctets(value)
      if (typeof parsed !== 'number') {
        report(context, parsed)
        return z.NEVER
      }
      if (parsed < min || parsed > max) {
        const range = `${formatOctets(min)} to ${formatOctets(max)}`
        report(context, { fault: `${formatOctets(parsed)} is out of range: ${range}` })
        return z.NEVER
      }
      return parsed
    })
    .prefault(defaultText)
    .meta({ 'x-unit': 'octets', 'x-min': formatOctets(min), 'x-max': formatOctets(max) })
}

/** A whole number between two limits. */
export function whole(min: number, max: number, defaultValue: number) {
  return z.int().min(min).max(max).default(defaultValue)
}
