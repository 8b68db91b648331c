/**
 * The kinds of values that niveau3.yaml is made of: texts that a parser must accept, amounts of
 * octets, whole numbers with a default, names.
 */

import * as z from 'zod'
import { isFault, parseAddress, parsePrefix, type Fault } from './addresses.ts'
import { formatOctets, parseOctets } from './quantities.ts'

/** Words that metrics and commands use for something else than a category. */
const RESERVED_CATEGORIES: ReadonlySet<string> = new Set([
  'all',
  'essential',
  'exception',
  'local',
  'none',
  'operator',
  'other',
  'private-address',
  'special',
])
/** Names of categories, lists and sites. */
export const NAME_CHARS_MAX = 63
/** Prefixes in one list, and in all sites together. */
export const PREFIXES_MAX = 10_000

type Parse = (text: string) => object | string

/** A text that `parse` must accept; its fault becomes the problem's message. */
export function parsedText(parse: Parse) {
  return z.string().superRefine((text, context) => {
    const parsed = parse(text)
    if (isFault(parsed)) report(context, parsed)
  })
}

/** Makes a parser's fault a problem of the value. */
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

const CATEGORY_NAME = /^[a-z][a-z0-9-]*$/

/** The name of a category. */
export const categoryName = z
  .string()
  .max(NAME_CHARS_MAX)
  .superRefine((name, context) => {
    if (!CATEGORY_NAME.test(name)) {
      const fault = `category "${name}" is not a lower-case letter, then letters, digits, hyphens`
      const repaired = name.toLowerCase().replaceAll(/[^a-z0-9-]+/g, '-')
      const usable = CATEGORY_NAME.test(repaired) && { suggestion: `write ${repaired}` }
      report(context, { fault, ...usable })
    } else if (RESERVED_CATEGORIES.has(name)) {
      report(context, { fault: `category "${name}" is a reserved word` })
    }
  })
  .meta({ pattern: CATEGORY_NAME.source })

/** An address of one family. */
export function ipText(family: 4 | 6) {
  return parsedText((text) => {
    const address = parseAddress(text)
    if (typeof address !== 'string') return address
    const isFamily = address.includes(':') === (family === 6) && !address.includes('%')
    return isFamily ? address : { fault: `"${text}" is not an IPv${family} address` }
  })
}

/** A list of CIDR prefixes. */
export function prefixes() {
  return z.array(parsedText(parsePrefix)).max(PREFIXES_MAX)
}
