/**
 * Derives the verdict on a kept answer from the names that it led through, under the policy of the
 * moment: for new answers, and for kept ones whenever the policy has changed.
 */
import { judgeAnswer, type JudgedAnswer } from './policy/judge-answer.ts'
import type { Policy } from './policy/policy.ts'
import type { SpecialNames } from './policy/special-names.ts'
import { AskedName } from './query.ts'

/** Stamp of a verdict that holds for one client's site only: it is derived anew for each use. */
const STAMP_ONCE = ''

/** A kept answer with its verdict. */
export interface StampedAnswer extends JudgedAnswer {
  /** Policy stamp under which `matched` and `bar` hold for everybody. */
  stamp: string
}

/** One worker's. */
export class Verdicts {
  policy: Policy
  /** After `judge`: the name of the first category that matched. */
  readonly asked = new AskedName()
  readonly #special: SpecialNames

  constructor(policy: Policy, special: SpecialNames) {
    this.policy = policy
    this.#special = special
  }

  /** Derives the verdict, unless that was done under this very policy. */
  refresh(answer: StampedAnswer, site: number): void {
    if (answer.stamp !== this.policy.stamp) this.judge(answer, site)
  }

  /** Derives the verdict for a client of that site. */
  judge(answer: StampedAnswer, site: number): void {
    const isCommon = judgeAnswer(answer, this.asked, this.#special, this.policy, site)
    answer.stamp = isCommon ? this.policy.stamp : STAMP_ONCE
  }
}
