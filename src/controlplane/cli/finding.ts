/** What `check` has found out about a name, and how it is told. */

import { nameToText } from '../blocklist/name-text.ts'
import { ACTION_BLOCK } from '../blocklist/rule.ts'
import type { ShownEntry } from '../overrule/requests.ts'
import { stepText, type Step } from './check-steps.ts'
import type { MessageText } from './dns-text.ts'
import { sinceText, type RuleSince } from './explained-filter.ts'
import { operatorText } from './overruled.ts'
import { coverageText, type ListedRule } from './rule-search.ts'
import { printable, type Terminal } from './terminal.ts'
import type { Verdict } from './verdict.ts'

export type Reason =
  | 'client'
  | 'special-name'
  | 'operator'
  | 'paused'
  | 'rule'
  | 'essential'
  | 'category-off'
  | 'exception'
  | 'refused-rule'
  | 'no-rule'

/** What `check` tells of one name. */
export interface Finding {
  readonly name: string
  readonly verdict: Verdict['kind'] | 'dropped'
  readonly reason: Reason
  /** One sentence for people. */
  readonly why: string
  readonly category: string | undefined
  /** The rule that decided; undefined where the image's source is not at hand. */
  readonly rule: ListedRule | undefined
  readonly list: string | undefined
  /** The operator's rule or pause that decided, instead of a list. */
  readonly operator?: ShownEntry | undefined
  readonly answer: MessageText | undefined
  readonly others: readonly ListedRule[]
  /** Since which of the kept generations the deciding rule is in force; undefined elsewhere. */
  readonly since?: RuleSince | undefined
  /** The way of the question, step by step; empty where it gets no answer. */
  readonly steps?: readonly Step[] | undefined
  /** The command that would change the verdict; undefined where none would. */
  readonly change?: string | undefined
}

/** A finding for machines. */
export function findingJson(finding: Finding): object {
  const { name, verdict, reason, why, category, list, rule, operator, answer, others } = finding
  const { change, since, steps } = finding
  return {
    name,
    verdict,
    reason,
    why,
    category: category ?? null,
    list: list ?? null,
    rule: rule === undefined ? null : ruleJson(rule),
    operator: operator ?? null,
    change: change ?? null,
    since: since ?? null,
    steps: steps ?? [],
    answer:
      answer === undefined
        ? null
        : {
            rcode: answer.rcode,
            answers: answer.answers,
            authorities: answer.authorities,
            errors: answer.edns?.errors ?? [],
          },
    otherRules: others.map(ruleJson),
  }
}

function ruleJson(rule: ListedRule): object {
  const { list, line, text, name, action, fate } = rule
  return {
    list: list.name,
    category: list.category,
    file: list.file,
    line,
    text,
    name: nameToText(name),
    covers: coverageText(rule),
    action: action === ACTION_BLOCK ? 'block' : 'except',
    fate,
  }
}

/** A finding for people: a few lines. */
export function findingText(finding: Finding, { paint }: Terminal): string {
  const { name, verdict, why, rule, list, operator, answer, others } = finding
  const { change, since, steps = [] } = finding
  const style = verdict === 'passed' ? 'green' : verdict === 'blocked' ? 'red' : 'yellow'
  const lines = [`${paint('bold', name)}  ${paint(style, VERDICT_WORDS[verdict])}: ${why}`]
  lines.push(...steps.map(stepText))
  if (operator !== undefined) lines.push(`  rule    ${operatorText(operator)}`)
  if (rule !== undefined && operator !== undefined) lines.push(`  lists   ${ruleText(rule)}`)
  else if (rule !== undefined) lines.push(`  rule    ${ruleText(rule)}`)
  else if (list !== undefined) lines.push(`  rule    of list ${list}; its source is not here`)
  if (since !== undefined) lines.push(`  since   ${sinceText(since)}`)
  if (answer !== undefined) lines.push(`  answer  ${answerText(answer)}`)
  lines.push(...others.map((other) => `  also    ${ruleText(other)}`))
  if (change !== undefined) lines.push(`  change  ${change}`)
  return `${lines.join('\n')}\n`
}

const VERDICT_WORDS = {
  blocked: 'BLOCKED',
  passed: 'not blocked',
  local: 'answered here',
  dropped: 'DROPPED',
} as const

function ruleText(rule: ListedRule): string {
  const { list, action, fate } = rule
  const what = action === ACTION_BLOCK ? list.category : 'exception'
  const outcome = fate === 'obeyed' ? '' : `, ${fate}`
  const place = `list ${list.name} (${what}${outcome}), ${list.file}:${rule.line}`
  const covers = coverageText(rule)
  const line = printable(rule.text.trim())
  return covers.startsWith(`${line} `) ? `${place}: ${covers}` : `${place}: ${line} (${covers})`
}

function answerText({ rcode, answers, authorities, edns }: MessageText): string {
  const records = [...answers, ...authorities].map(
    ({ name, ttl, type, data }) => `${name} ${ttl} ${type} ${data}`,
  )
  const errors = (edns?.errors ?? []).map(({ code, name, text }) => `EDE ${code} (${name}) ${text}`)
  const nothing = rcode === 'NOERROR' && answers.length === 0 ? ' without data' : ''
  return [`${rcode}${nothing}`, ...records, ...errors].join('; ')
}
