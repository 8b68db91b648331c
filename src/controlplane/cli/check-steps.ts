/** The way of a question through the policy, step by step: for `check`. */

import type { Finding, Reason } from './finding.ts'

/** One step, in the order of the data plane. */
export interface Step {
  readonly step: string
  readonly result: string
  readonly isDecided: boolean
}

const NUMBER_CHARS = 3
const STEP_CHARS = 17

/** The step at which each reason decides. */
const DECIDES: Readonly<Record<Exclude<Reason, 'client'>, number>> = {
  'special-name': 0,
  operator: 1,
  paused: 1,
  essential: 2,
  rule: 3,
  exception: 3,
  'refused-rule': 3,
  'no-rule': 3,
  'category-off': 4,
}

/**
 * Lists the steps; none for a client that gets no answer.
 *
 * @param filter what the lists are, such as `generation 87`.
 */
export function stepsOf(finding: Finding, filter: string): readonly Step[] {
  const { list, others, reason, rule, verdict } = finding
  if (reason === 'client') return []
  const decides = DECIDES[reason]
  const rules = others.length + (rule === undefined ? 0 : 1)
  const spoken = list === undefined ? `${rules} rules` : `${list}: blocks it`
  const said = reason === 'rule' || reason === 'category-off' ? spoken : finding.why
  const answer =
    verdict === 'passed' ? 'its aliases, targets and addresses are judged as well' : NOT_REACHED
  const steps = [
    { step: 'special names', result: 'none' },
    { step: 'operator', result: 'no rule, no pause' },
    { step: 'essential names', result: 'none' },
    { step: 'lists', result: `${decides >= 3 ? said : ''} (${filter})`.trimStart() },
    {
      step: 'categories',
      result: reason === 'rule' ? `${finding.category} is blocked` : NOT_REACHED,
    },
    { step: 'answer', result: answer },
  ]
  return steps.map(({ step, result }, index) => {
    if (index === decides && index !== 3) return { step, result: finding.why, isDecided: true }
    const isPast = index > decides && index < 4
    return { step, result: isPast ? NOT_REACHED : result, isDecided: index === decides }
  })
}

const NOT_REACHED = 'not reached'

/** One line of the way. */
export function stepText({ isDecided, result, step }: Step, index: number): string {
  const number = String(index + 1).padStart(NUMBER_CHARS)
  return `${number} ${step.padEnd(STEP_CHARS)}${result}${isDecided ? '   <- decided here' : ''}`
}
