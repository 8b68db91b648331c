/** What zod found, in the operator's words, at the operator's line. */

import type * as z from 'zod'
import { formatPath, leafPaths, schemaAt, valueAt, type KeyPath } from './keys.ts'
import type { Layered } from './layers.ts'
import type { Origin, Problem } from './problems.ts'
import { SHIPPED_CATEGORIES } from './schema.ts'
import { nearest } from './suggest.ts'

type Issue = z.core.$ZodIssue

/** A problem together with the key that it concerns. */
export interface KeyProblem extends Problem {
  readonly path: KeyPath
}

interface Explanation {
  readonly message: string
  readonly suggestion?: string | undefined
}

/** Returns the problems that stand behind one issue: several when several keys are unknown. */
export function explainIssue(issue: Issue, layered: Layered): readonly KeyProblem[] {
  const path = issue.path.map((step) => (typeof step === 'number' ? step : String(step)))
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => unknownKey([...path, key], layered))
  }
  if (issue.code === 'invalid_key') {
    return issue.issues.map((inner) => {
      const message = inner.code === 'too_big' ? 'the category name is too long' : inner.message
      return problemAt(path, { message, ...suggestionOf(inner) }, layered.originOf(path, 'key'))
    })
  }
  const value = valueAt(layered.tree, path)
  if (value === undefined && path.length > 0) {
    const group = path.slice(0, -1)
    const place = group.length > 0 ? `${formatPath(group)}: ` : ''
    const message = `${place}key "${path.at(-1)}" is missing`
    return [problemAt(path, { message }, layered.originOf(group))]
  }
  const { message, suggestion } = explainValue(issue, value)
  const explained = { message: `${formatPath(path)}: ${message}`, suggestion }
  return [problemAt(path, explained, layered.originOf(path))]
}

function problemAt(path: KeyPath, explanation: Explanation, origin: Origin): KeyProblem {
  const { message, suggestion } = explanation
  return { code: 'ERR_CONFIG', message, origin, path, ...(suggestion && { suggestion }) }
}

function unknownKey(path: KeyPath, layered: Layered): KeyProblem {
  const key = String(path.at(-1))
  const group = path.slice(0, -1)
  const within = group.length > 0 ? ` in ${formatPath(group)}` : ''
  const siblings = Object.keys(schemaAt(group)?.properties ?? {})
  const near = nearest(key, siblings) ?? elsewhere(key)
  const suggestion = near && `did you mean "${near}"?`
  const message = `unknown key "${key}"${within}`
  return problemAt(path, { message, suggestion }, layered.originOf(path, 'key'))
}

/** The full path of a key that was put into the wrong group. */
function elsewhere(key: string): string | undefined {
  const path = leafPaths(SHIPPED_CATEGORIES).find((leaf) => leaf.at(-1) === key)
  return path?.join('.')
}

function explainValue(issue: Issue, value: unknown): Explanation {
  switch (issue.code) {
    case 'custom':
      return { message: issue.message, ...suggestionOf(issue) }
    case 'invalid_type':
      return explainType(issue.expected, value)
    case 'invalid_value':
      return explainChoice(issue.values.map(String), value)
    case 'too_small':
      return explainRange(issue.origin, 'at least', issue.minimum, value)
    case 'too_big':
      return explainRange(issue.origin, 'at most', issue.maximum, value)
    case 'invalid_union':
      return { message: `${show(value)} ${issue.message}` }
    case 'invalid_format':
      return {
        message: `${show(value)} may hold lower-case letters, digits, dots, hyphens, underscores`,
      }
    default:
      return { message: issue.message }
  }
}

function suggestionOf(issue: Issue): { suggestion?: string } {
  const params: unknown = issue.code === 'custom' ? issue.params : undefined
  const suggestion = valueAt(params, ['suggestion'])
  return typeof suggestion === 'string' ? { suggestion } : {}
}

const TYPE_WORDS: Readonly<Record<string, string>> = {
  array: 'a list',
  object: 'a group of keys',
  record: 'a group of keys',
  string: 'text',
  number: 'a whole number',
  int: 'a whole number',
  boolean: 'true or false',
}

function explainType(expected: string, value: unknown): Explanation {
  const message = `${show(value)} is not ${TYPE_WORDS[expected] ?? expected}`
  if (expected === 'array' && typeof value === 'string') {
    return { message, suggestion: `write [${JSON.stringify(value)}]` }
  }
  if (expected === 'string' && (typeof value === 'number' || typeof value === 'boolean')) {
    return { message, suggestion: `put quotes around it: "${value}"` }
  }
  if (expected === 'boolean' && typeof value === 'string') {
    if (/^(yes|on|y)$/i.test(value)) return { message, suggestion: 'write true' }
    if (/^(no|off|n)$/i.test(value)) return { message, suggestion: 'write false' }
  }
  if (expected === 'number' && typeof value === 'string') {
    const number = /^\s*(\d+)\s*(ms|s|m|h|d)?\s*$/.exec(value)?.[1]
    if (number) return { message, suggestion: `write ${number}, the key names the unit` }
  }
  return { message }
}

function explainChoice(choices: readonly string[], value: unknown): Explanation {
  const message = `${show(value)} is none of ${choices.join(', ')}`
  const near = typeof value === 'string' ? nearest(value, choices) : undefined
  return { message, suggestion: near && `did you mean "${near}"?` }
}

function explainRange(
  origin: string,
  side: 'at least' | 'at most',
  limit: number | bigint,
  value: unknown,
): Explanation {
  if (origin === 'array' || origin === 'string') {
    if (side === 'at least') {
      const what = origin === 'array' ? 'the list' : 'the text'
      return { message: `${what} is empty`, suggestion: 'leave the key out for its default' }
    }
    const unit = origin === 'array' ? 'elements' : 'characters'
    return { message: `has more than ${limit} ${unit}` }
  }
  return { message: `${show(value)} is out of range: it must be ${side} ${limit}` }
}

const SHOWN_CHARS_MAX = 60

/** A value as it is quoted in a message. */
function show(value: unknown): string {
  if (typeof value === 'object') return Array.isArray(value) ? 'a list' : 'a group of keys'
  const text = JSON.stringify(value) ?? 'nothing'
  return text.length > SHOWN_CHARS_MAX ? `${text.slice(0, SHOWN_CHARS_MAX)}..."` : text
}
